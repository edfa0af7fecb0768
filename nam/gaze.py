"""Gazes of a model on a split: its own recorded, any other followed."""

import time
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from nam.accuracy import SEED, Whole, draws_from
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
        votes: Sampled gazes per image.
        looks: Looks per gaze, which may be more than the model was trained for.
    """

    def __init__(self, model, votes: int, looks: int):
        self.model = model
        self._own = _Own(model, votes, looks)
        self._led = _Led(model)

    def watch(self, batches: Batches, seed: int) -> tuple[Gazes, Gazes]:
        """The deterministic and the sampled gazes on all images, drawn from `seed`."""
        with draws_from(self.model, seed):
            found = self._own.predict(Whole(batches), verbose=0)
        deterministic, sampled = (
            Gazes(*(found[f"{kind} {name}"][: batches.size] for name in Gazes._fields))
            for kind in ("deterministic", "sampled")
        )
        return deterministic, sampled

    def follow(self, batches: Batches, locations: np.ndarray) -> np.ndarray:
        """Class probabilities `(n, looks, classes)` after each look at `locations (n, looks, 2)`."""
        with draws_from(self.model, SEED):  # of the noise that some sensors see
            return self._led.predict(Whole(batches, locations.astype("float32")), verbose=0)[: batches.size]

    def milliseconds(self, batches: Batches, size: int) -> float:
        """Milliseconds per image of the model's `predict_on_batch` with `size` images: the median of ten."""
        images = batches.batch(0).images
        images = images[np.arange(size) % len(images)]
        times = []
        for _ in range(11):
            begun = time.perf_counter()
            self.model.predict_on_batch(images)
            times.append(time.perf_counter() - begun)
        return round(1e3 * float(np.median(times[1:])) / size, 4)


class _Own(keras.Model):
    def __init__(self, model, votes: int, looks: int):
        super().__init__(autocast=False, name="own_gaze")
        self.model = model
        self.votes = votes
        self.looks = looks

    def call(self, images):
        found = {}
        for kind, samples in (("deterministic", None), ("sampled", self.votes)):
            outputs = self.model(images, samples=samples, glimpses=self.looks)
            gazes = Gazes(ops.softmax(outputs["look_logits"]), outputs["locations"], outputs["means"])
            found |= {f"{kind} {name}": value for name, value in gazes._asdict().items()}
        return found


class _Led(keras.Model):
    def __init__(self, model):
        super().__init__(autocast=False, name="led_gaze")
        self.model = model

    def call(self, inputs):
        images, locations = inputs
        return ops.softmax(self.model(images, locations=locations)["look_logits"])
