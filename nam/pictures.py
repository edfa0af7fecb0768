"""What a model looks at, as Figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops
from matplotlib.figure import Figure

from nam import data, numbers, plots
from nam.attention import Reader
from nam.config import Config
from nam.data.pipeline import Batch, Batches
from nam.gaze import Seen, Viewer, Watcher, heat_map
from nam.layers import GlimpseSensor, LocationNetwork
from nam.models import EDRAM, RecurrentAttention, SelfAttention

SHOWN = 8  # images


def gaze(viewer: Viewer, batch: Batch, classes: Sequence[str]) -> Figure:
    """The deterministic gaze on the first images of a batch."""
    images = batch.images[:SHOWN]
    seen = viewer(images)
    if batch.labels.ndim == 2:
        answers = numbers.read([numbers.log(numbers.answers(seen.probabilities, viewer.model.targets))])
    else:
        answers = seen.probabilities[:, -1].argmax(-1)
    titles = [
        f"{numbers.text(label, classes)}, read as {numbers.text(answer, classes)}"
        for label, answer in zip(batch.labels, answers, strict=False)
    ]
    return plots.gaze(images, seen.locations, viewer.model.sensor.window, titles)


def attention(reader: Reader, images, titles: Sequence[str] = ()) -> Figure:
    """What a `SelfAttention` attends to in a few images."""
    return plots.attention(images, reader(images).maps, reader.model.STRIDE, reader.model.OFFSET, titles)


def windows(reader: Reader, images, titles: Sequence[str] = ()) -> Figure:
    """The windows that an `EDRAM` reads in a few images."""
    return plots.windows(images, reader(images).thetas, titles)


def steps(reader: Reader, images, classes: Sequence[str]) -> Figure:
    """What an `EDRAM` reads in a few images, look by look, and how it answers."""
    read, model = reader(images), reader.model
    looks = read.thetas.shape[1]
    repeated = np.repeat(images, looks, axis=0).astype("float32") / 255
    patches = ops.convert_to_numpy(model.sensor(repeated, read.thetas.reshape(-1, 6)))
    titles = [[f"{classes[p.argmax()]}: {p.max():.0%}" for p in answers] for answers in read.looks]
    return plots.steps(images, read.thetas, patches.reshape(len(images), looks, *patches.shape[1:]), titles)


def of_split(model, split: Batches, classes: Sequence[str]) -> dict[str, Figure]:
    """What a model looks at on a split, by name; nothing for one that looks at everything alike.

    Of a gaze: its way, what it sees, and where it looks, of all images and of each class.
    """
    if isinstance(model, SelfAttention):
        images = split.batch(0).images[:SHOWN]
        return {"attention": attention(Reader(model), images, [classes[label] for label in split.labels(0)])}
    if isinstance(model, EDRAM):
        batch, reader = split.batch(0), Reader(model)
        images, few = batch.images[:SHOWN], batch.images[:3]
        return {
            "windows": windows(reader, images, [numbers.text(label, classes) for label in batch.labels]),
            "steps": steps(reader, few, classes),
        }
    if not isinstance(model, RecurrentAttention):
        return {}
    viewer, batch = Viewer(model), split.batch(0)
    locations = Watcher(model).watch(split).locations
    labels = split.all_labels()
    looks = locations.shape[1]
    later = locations[:, 1:] if looks > 1 else locations  # the first is the centre, and would outshine them
    groups = [
        {f"look {look + 1}": heat_map(locations[:, [look]]) for look in range(looks)}
        | {"all after the first": heat_map(later)},
    ]
    if labels.ndim == 1:
        groups.append({name: heat_map(later[labels == i]) for i, name in enumerate(classes) if (labels == i).any()})
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


def example(config: Config, index: int = 2) -> np.ndarray:
    """A bundled digit in all its greys among fragments, on the canvas of a config; index 2 lies in the middle."""
    fields = {"dataset": "digits", "task": "cluttered", "distractors": None, "distractor_size": None}
    return data.load(config.model_copy(update=fields).resolved("digits")).validation.batch(0).images[index]


def untrained(config: Config, image) -> Figure:
    """What an untrained policy happens to see of an image, look by look."""
    first = np.zeros((1, 2), "float32")
    locations = np.concatenate([first, _draws(config, config.glimpses - 1)])
    return plots.retina(image, locations, _patches(config, image, locations), config.scale_factors)


def sensors(configs: Mapping[str, Config], image) -> Figure:
    """One look at the centre of an image by the sensor of each config, by title."""
    center = np.zeros((1, 2), "float32")
    seen = {title: (_patches(config, image, center)[0], config.scale_factors) for title, config in configs.items()}
    return plots.sensors(image, center[0], seen)


def spreads(configs: Mapping[str, Config], looks: int = 20_000) -> Figure:
    """Where the untrained policy of each config looks, by title."""
    return plots.heat([{title: heat_map(_draws(config, looks)[:, None]) for title, config in configs.items()}])


def _draws(config: Config, looks: int) -> np.ndarray:
    """Locations `(looks, 2)` of an untrained policy."""
    network = LocationNetwork(config.std, "frozen", config.seed)
    return ops.convert_to_numpy(network(np.zeros((looks, config.hidden), "float32"))[0])


def _patches(config: Config, image, locations) -> np.ndarray:
    """What the sensor of a config reads at `(looks, 2)`: `(looks, scales, bandwidth, bandwidth, channels)`."""
    sensor = GlimpseSensor(config.bandwidth, config.scales, config.scale_factors, config.padding, config.seed)
    patches = ops.convert_to_numpy(sensor(np.repeat(image[None], len(locations), 0), locations))
    return np.moveaxis(patches.reshape(*patches.shape[:3], config.scales, -1), 3, 1)
