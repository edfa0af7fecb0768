"""What a network without sampled gazes makes of images: what it attends to, or which windows it reads."""

from typing import NamedTuple

import numpy as np
from keras import ops

from nam.accuracy import Recorder
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
    """Reads a few images, one by one, so that none depends on the others; compiled once, for images of one size.

    Args:
        model: A `Classifier` that samples no gazes.
    """

    def __init__(self, model):
        self.model = model
        self._recorder = Recorder(model, self._ask)

    def __call__(self, images: np.ndarray) -> Read:
        """What is read in `images (n, height, width, channels)`."""
        return Read(**self._recorder.one_by_one(images))

    def read(self, batches: Batches) -> Read:
        """What is read in all images of a split, many at once; without maps, which would not fit."""
        return Read(**Recorder(self.model, self._without_maps, self.model.faster_with_xla).record(batches))

    def _ask(self, images):
        if not isinstance(self.model, SelfAttention):
            return self._without_maps(images)
        outputs = self.model(images, return_attention=True)
        weights = ops.cast(ops.mean(outputs["attention"], axis=2), "float32")
        maps = ops.reshape(weights, (-1, self.model.config["heads"], *self.model.map_shape))
        return {"probabilities": ops.softmax(outputs["logits"]), "maps": maps}

    def _without_maps(self, images):
        outputs = self.model(images)
        found = {"probabilities": ops.softmax(outputs["logits"])}
        if "thetas" in outputs:
            found |= {"looks": ops.softmax(outputs["look_logits"]), "thetas": outputs["thetas"]}
        return found
