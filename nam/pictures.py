"""What a model looks at, as Figures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nam import plots
from nam.data.pipeline import Batch, Batches
from nam.gaze import Seen, Viewer, Watcher, heat_map

SHOWN = 8  # images


def gaze(viewer: Viewer, batch: Batch, classes: Sequence[str]) -> Figure:
    """The deterministic gaze on the first images of a batch."""
    images = batch.images[:SHOWN]
    seen = viewer(images)
    answers = seen.probabilities[:, -1].argmax(-1)
    titles = [
        f"{classes[label]}, read as {classes[answer]}" for label, answer in zip(batch.labels, answers, strict=False)
    ]
    return plots.gaze(images, seen.locations, viewer.model.sensor.window, titles)


def of_split(model, data: Batches, classes: Sequence[str]) -> dict[str, Figure]:
    """The gaze on a split by name: its way, what it sees, and where it looks, of all images and of each class."""
    viewer, batch = Viewer(model), data.batch(0)
    locations = Watcher(model).watch(data).locations
    labels = np.concatenate([data.labels(i) for i in range(len(data))])
    looks = locations.shape[1]
    later = locations[:, 1:] if looks > 1 else locations  # the first is the centre, and would outshine them
    groups = (
        {f"look {look + 1}": heat_map(locations[:, [look]]) for look in range(looks)}
        | {"all after the first": heat_map(later)},
        {name: heat_map(later[labels == i]) for i, name in enumerate(classes) if (labels == i).any()},
    )
    return {
        "gaze": gaze(viewer, batch, classes),
        "retina": plots.retina(**story(viewer, batch.images[0], classes)),
        "heat": plots.heat(groups, f"where {len(labels):,} images are looked at (deterministic gaze)"),
    }


def story(viewer: Viewer, image, classes: Sequence[str], seen: Seen | None = None) -> dict[str, Any]:
    """What `plots.retina` and `plots.frames` tell of an image; `seen` saves looking at it again."""
    seen = seen or viewer(image[None])
    return {
        "image": image,
        "locations": seen.locations[0],
        "patches": seen.patches[0],
        "factors": viewer.model.sensor.scale_factors,
        "titles": [f"{classes[p.argmax()]}: {p.max():.0%}" for p in seen.probabilities[0]],
    }
