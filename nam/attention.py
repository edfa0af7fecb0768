"""What a network that reads whole images makes of them, and what its self-attention attends to."""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from nam.models import SelfAttention


class Read(NamedTuple):
    """What was read in each image."""

    probabilities: np.ndarray  # (n, classes)
    # (n, heads, rows, columns): how much each place is attended to, the mean over all places; sums to 1 over the map.
    # `None` for a model without attention.
    maps: np.ndarray | None


class Reader:
    """Reads a few images, one by one, so that none depends on the others; compiled once for each size of image.

    Args:
        model: A `Classifier` that looks at whole images.
    """

    def __init__(self, model):
        self.model = model
        self._reading = _Reading(model)
        # Few images do not pay for TensorFlow's XLA; JAX without it is slower still.
        self._reading.compile(jit_compile=keras.backend.backend() == "jax")

    def __call__(self, images: np.ndarray) -> Read:
        """What is read in `images (n, height, width, channels)`."""
        found = [self._reading.predict_on_batch(image[None]) for image in images]
        parts = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
        return Read(parts["probabilities"], parts.get("maps"))


class _Reading(keras.Model):
    def __init__(self, model):
        super().__init__(autocast=False, name="reading")
        self.model = model

    def call(self, images):
        if not isinstance(self.model, SelfAttention):
            return {"probabilities": ops.softmax(self.model(images)["logits"])}
        outputs = self.model(images, return_attention=True)
        weights = ops.cast(ops.mean(outputs["attention"], axis=2), "float32")
        maps = ops.reshape(weights, (-1, self.model.config["heads"], *self.model.map_shape))
        return {"probabilities": ops.softmax(outputs["logits"]), "maps": maps}
