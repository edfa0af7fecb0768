"""Gazes of a model on a split: its own recorded, any other followed, and what is read from them."""

from typing import NamedTuple

import numpy as np
from keras import ops

from nam.accuracy import SEED, Recorder, draws_from
from nam.data.pipeline import Batches


class Gazes(NamedTuple):
    """What a model answers after each look, and where it looked. `copies` is missing for the deterministic gaze."""

    probabilities: np.ndarray  # (n, copies, looks, classes)
    locations: np.ndarray  # (n, copies, looks, 2), (x, y) in [-1, 1]
    means: np.ndarray  # (n, copies, looks, 2), of the policy


class Watcher:
    """Records gazes of a model and makes it follow others; compiled once, for many passes over the same images.

    Args:
        model: A `RecurrentAttention`.
        looks: Looks per gaze, which may be more than the model was trained for. `None`: as many.
        votes: Sampled gazes per image.
    """

    def __init__(self, model, looks: int | None = None, votes: int = 1):
        def own(samples: int | None) -> Recorder:
            def ask(images):
                return _answers(model(images, samples=samples, glimpses=looks))

            return Recorder(model, ask, model.faster_with_xla)

        def follow(inputs):
            images, locations = inputs
            return {"probabilities": ops.softmax(model(images, locations=locations)["look_logits"])}

        self.model = model
        self._deterministic, self._sampled = own(None), own(votes)
        self._led = Recorder(model, follow, model.faster_with_xla)

    def watch(self, batches: Batches) -> Gazes:
        """The deterministic gaze on all images."""
        return self._record(self._deterministic, batches, SEED)

    def sample(self, batches: Batches, seed: int = SEED) -> Gazes:
        """`votes` sampled gazes on all images, drawn from `seed`."""
        return self._record(self._sampled, batches, seed)

    def follow(self, batches: Batches, locations: np.ndarray) -> np.ndarray:
        """Class probabilities `(n, looks, classes)` after each look at `locations (n, looks, 2)`."""
        with draws_from(self.model, SEED):  # of the noise that some sensors see
            return self._led.record(batches, locations.astype("float32"))["probabilities"]

    def _record(self, recorder, batches: Batches, seed: int) -> Gazes:
        with draws_from(self.model, seed):
            return Gazes(**recorder.record(batches))


class Seen(NamedTuple):
    """The deterministic gaze at each image, and what it saw, but for noise beyond the image, which is drawn anew."""

    probabilities: np.ndarray  # (n, looks, classes)
    locations: np.ndarray  # (n, looks, 2), (x, y) in [-1, 1]
    patches: np.ndarray  # (n, looks, scales, bandwidth, bandwidth, channels) in [0, 1]


class Viewer:
    """Looks at a few images, one by one, so that none depends on the others; compiled once, for images of one size."""

    def __init__(self, model):
        self._recorder = Recorder(model, self._ask)
        self.model = model

    def __call__(self, images: np.ndarray) -> Seen:
        """What is seen of `images (n, height, width, channels)`."""
        return Seen(**self._recorder.one_by_one(images))

    def _ask(self, images):
        sensor, found = self.model.sensor, _answers(self.model(images))
        patches = sensor.read(sensor.prepare(images), found["locations"])
        patches = ops.reshape(patches, (*patches.shape[:-1], sensor.scales, -1))
        return {
            "probabilities": found["probabilities"],
            "locations": found["locations"],
            "patches": ops.transpose(patches, (0, 1, 4, 2, 3, 5)),
        }


def _answers(outputs) -> dict:
    """What `Gazes` and `Seen` hold of what a `RecurrentAttention` returns, as tensors."""
    named = {name: outputs[name] for name in ("locations", "means")}
    return {"probabilities": ops.softmax(outputs["look_logits"]), **named}


def looks_taken(probabilities: np.ndarray, confidence: float) -> np.ndarray:
    """Looks `(…)` that a gaze takes which ends as soon as a class is more probable than `confidence`, else all.

    `probabilities` is `(…, looks, classes)`. No probability is above 1, so a confidence of 1 takes all looks.
    """
    sure = probabilities.max(-1) > confidence
    return np.where(sure.any(-1), sure.argmax(-1) + 1, sure.shape[-1])


def heat_map(locations: np.ndarray, cells: int = 25) -> np.ndarray:
    """Looks per image in each of `cells` × `cells` parts of the image, rows from the top; its sum is their number.

    `locations` is `(n, looks, 2)` as `(x, y)` in [-1, 1].
    """
    x, y = locations.reshape(-1, 2).T
    return np.histogram2d(y, x, cells, ((-1, 1), (-1, 1)))[0] / len(locations)
