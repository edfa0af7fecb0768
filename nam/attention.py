"""What a network without sampled gazes makes of images: what it attends to, or which windows it reads."""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from nam.accuracy import record
from nam.data.pipeline import Batches
from nam.models import SelfAttention


class Read(NamedTuple):
    """What was read in each image. What a model does not have is `None`."""

    probabilities: np.ndarray  # (n, classes)
    # (n, heads, rows, columns): how much each place is attended to, the mean over all places; sums to 1 over the map.
    maps: np.ndarray | None = None
    looks: np.ndarray | None = None  # (n, looks, classes), probabilities after each look alone
    thetas: np.ndarray | None = None  # (n, looks, 6), the windows looked through, see `affine_grid`


class Reader:
    """Reads a few images, one by one, so that none depends on the others; compiled once for each size of image.

    Args:
        model: A `Classifier` that samples no gazes.
    """

    def __init__(self, model):
        self.model = model
        self._reading = _Reading(model)
        # Few images do not pay for TensorFlow's XLA; JAX without it is slower still.
        self._reading.compile(jit_compile=keras.backend.backend() == "jax")

    def __call__(self, images: np.ndarray) -> Read:
        """What is read in `images (n, height, width, channels)`."""
        found = [self._reading.predict_on_batch(image[None]) for image in images]
        return Read(**{name: np.concatenate([one[name] for one in found]) for name in found[0]})

    def read(self, batches: Batches) -> Read:
        """What is read in all images of a split, many at once; without maps, which would not fit."""
        every = _Reading(self.model, maps=False)
        every.compile(jit_compile=self.model.faster_with_xla)
        return Read(**record(every, batches))


class _Reading(keras.Model):
    def __init__(self, model, maps: bool = True):
        super().__init__(autocast=False, name="reading")
        self.model = model
        self.asked = {"return_attention": True} if maps and isinstance(model, SelfAttention) else {}

    def call(self, images):
        outputs = self.model(images, **self.asked)
        found = {"probabilities": ops.softmax(outputs["logits"])}
        if "attention" in outputs:
            weights = ops.cast(ops.mean(outputs["attention"], axis=2), "float32")
            found["maps"] = ops.reshape(weights, (-1, self.model.config["heads"], *self.model.map_shape))
        if "thetas" in outputs:
            found |= {"looks": ops.softmax(outputs["look_logits"]), "thetas": outputs["thetas"]}
        return found
