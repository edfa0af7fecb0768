"""What a model looks at, as Figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops
from matplotlib.figure import Figure

from nam import data, numbers, plots
from nam.accuracy import read
from nam.config import Config
from nam.data.pipeline import Batch, Batches
from nam.gaze import Seen, Viewer, Watcher, heat_map
from nam.layers import GlimpseSensor, LocationNetwork
from nam.models import EDRAM, RecurrentAttention, SelfAttention
from nam.reading import Read, Reader

SHOWN = 8  # images


class View:
    """Looks at images with a model, and draws what it looks at; one that takes in all of an image alike draws nothing.

    Args:
        model: A `Classifier`.
        classes: Names of its classes.
        reading: The way in which it reads numbers.

    Attributes:
        look: What is seen of a few images `(n, height, width, channels)`: a `Reader`, or a `Viewer` of gazes.
    """

    name = ""  # of what it draws; one without draws nothing, and has no `figure`
    looks_by: type = Reader

    def __init__(self, model, classes: Sequence[str], reading: str = "forward"):
        self.model = model
        self.classes = classes
        self.reading = reading
        self.look = self.looks_by(model)

    def figure(self, images, seen: Sequence[Read | Seen], titles: Sequence[str]) -> Figure:
        """What was `seen` of images, in their order, by one or more calls of `look`."""
        raise NotImplementedError

    def of_batch(self, batch: Batch) -> dict[str, Figure]:
        """What is seen of the first images of a batch, by name."""
        if not self.name:
            return {}
        images = batch.images[:SHOWN]
        seen = self.look(images)
        titles = [f"{self._text(label)}, read as {self._text(answer)}" for label, answer in zip(
            batch.labels, read(self._answers(seen)), strict=False)]  # fmt: skip
        return {self.name: self.figure(images, [seen], titles)}

    def of_split(self, split: Batches) -> dict[str, Figure]:
        """What a split shows, by name."""
        return self.of_batch(split.batch(0))

    def _answers(self, seen) -> np.ndarray:
        """Class probabilities of what was seen, those of the last look at each target."""
        return seen.probabilities

    def _text(self, label) -> str:
        return numbers.text(label, self.classes, self.reading)


class AttentionView(View):
    """Of a `SelfAttention`: what it attends to."""

    name = "attention"

    def figure(self, images, seen, titles):
        maps = np.concatenate([one.maps for one in seen])
        return plots.attention(images, maps, self.model.STRIDE, self.model.OFFSET, titles)


class WindowsView(View):
    """Of an `EDRAM`: the windows that it reads."""

    name = "windows"

    def figure(self, images, seen, titles):
        texts = [text for one in seen for text in self._texts(one)]
        return plots.windows(images, np.concatenate([one.thetas for one in seen]), texts, titles)

    def _texts(self, seen: Read) -> list[list[str]]:
        """What stands at each window of each image: its number, or the digit read there; nothing after the last."""
        looks, targets = seen.thetas.shape[1], self.model.targets
        if targets == 1:
            return [[str(look + 1) for look in range(looks)]] * len(seen.thetas)
        of_looks = np.repeat(read(seen.probabilities), looks // targets, axis=1)
        return [[self._text([label]) for label in labels] for labels in of_looks]

    def of_split(self, split):
        batch = split.batch(0)
        return {**self.of_batch(batch), "steps": self.steps(batch.images[:3])}

    def steps(self, images) -> Figure:
        """What is read in a few images, look by look, and the answers to it."""
        seen = self.look(images)
        looks = seen.thetas.shape[1]
        repeated = np.repeat(images, looks, axis=0).astype("float32") / 255
        patches = ops.convert_to_numpy(self.model.sensor(repeated, seen.thetas.reshape(-1, 6)))
        titles = [
            [text and _answer(p, self.classes) for p, text in zip(*pair, strict=True)]
            for pair in zip(seen.looks, self._texts(seen), strict=True)
        ]
        return plots.steps(images, seen.thetas, patches.reshape(len(images), looks, *patches.shape[1:]), titles)


class GazeView(View):
    """Of a `RecurrentAttention`: its deterministic gaze."""

    name = "gaze"
    looks_by = Viewer

    def figure(self, images, seen, titles):
        ways = [way for one in seen for way in one.locations]
        return plots.gaze(images, ways, self.model.sensor.window, titles)

    def of_split(self, split):
        """Beside the gaze what it sees, and where it looks, of all images and of each class."""
        batch = split.batch(0)
        locations = Watcher(self.model).watch(split).locations
        labels = split.all_labels()
        looks = locations.shape[1]
        later = locations[:, 1:] if looks > 1 else locations  # the first is the centre, and would outshine them
        groups = [
            {f"look {look + 1}": heat_map(locations[:, [look]]) for look in range(looks)}
            | {"all after the first": heat_map(later)},
        ]
        if labels.ndim == 1:
            of_classes = {name: labels == i for i, name in enumerate(self.classes)}
            groups.append({name: heat_map(later[of]) for name, of in of_classes.items() if of.any()})
        return {
            **self.of_batch(batch),
            "retina": plots.retina(**self.story(batch.images[0])),
            "heat": plots.heat(groups, f"where {len(labels):,} images are looked at (deterministic gaze)"),
        }

    def story(self, image, seen: Seen | None = None) -> dict[str, Any]:
        """What `plots.retina` and `plots.frames` tell of an image; `seen` saves looking at it again."""
        seen = seen or self.look(image[None])
        return {
            "image": image,
            "locations": seen.locations[0],
            "patches": seen.patches[0],
            "factors": self.model.sensor.scale_factors,
            "titles": [_answer(p, self.classes) for p in seen.probabilities[0]],
        }

    def _answers(self, seen):
        answers = numbers.answers(seen.probabilities, self.model.targets)
        return answers if self.model.targets > 1 else answers[:, 0]


def view(model, classes: Sequence[str], reading: str = "forward") -> View:
    """The view of a model of any kind."""
    kinds = {RecurrentAttention: GazeView, EDRAM: WindowsView, SelfAttention: AttentionView}
    return next((kind for of, kind in kinds.items() if isinstance(model, of)), View)(model, classes, reading)


def _answer(probabilities, classes: Sequence[str]) -> str:
    return f"{classes[probabilities.argmax()]}: {probabilities.max():.0%}"


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
