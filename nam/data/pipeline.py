"""Batches of a task for Keras: drawn when asked for, the same for the same seed, epoch and batch."""

from typing import NamedTuple

import keras
import numpy as np

from nam.config import Config
from nam.data import tasks
from nam.data.sources import Examples

# The first word of every seed: what is drawn for one purpose is independent of the others, and validation and test
# images are the same whatever the seed of the run.
TRAIN, ORDER, VALIDATION, TEST = range(4)


class Batch(NamedTuple):
    images: np.ndarray  # (n, height, width, channels) uint8
    labels: np.ndarray  # (n,) int32
    boxes: np.ndarray  # (n, 4) (x, y, width, height) of the target, pixels


class Batches(keras.utils.PyDataset):
    """Images of one split, drawn afresh each epoch for training and always the same otherwise.

    Item i is `(images, labels)`; `batch(i)` has the boxes too. A pure function of the config, the epoch and i: items
    may be asked for in any order, and a resumed run sees what it would have seen. Training drops the short last batch
    (other images fall into it each epoch).

    Args:
        config: A resolved config.
        examples: The digits of the split, with those that clutter is cut from.
        split: `TRAIN`, `VALIDATION` or `TEST`.
        draws: How often one epoch draws each digit.

    Attributes:
        epoch: Epoch that the next items belong to. Keras moves it on; set it to start elsewhere.
    """

    def __init__(self, config: Config, examples: Examples, split: int, draws: int = 1):
        super().__init__()
        self.config = config
        self.examples = examples
        self.split = split
        self.draws = draws
        self.epoch = 0

    @property
    def size(self) -> int:
        """Images per epoch."""
        total = len(self.examples.labels) * self.draws
        if self.split == TRAIN and total >= self.config.batch_size:
            return total - total % self.config.batch_size
        return total

    def __len__(self) -> int:
        return -(-self.size // self.config.batch_size)

    def __getitem__(self, index: int):
        batch = self.batch(index)
        return batch.images, batch.labels

    def batch(self, index: int) -> Batch:
        rng, chosen = self._choose(index)
        clutter = self.examples.clutter

        def fragments(n: int, size: int, last_corner: int | None) -> np.ndarray:
            donors = clutter[rng.integers(0, len(clutter), n)]
            height, width = donors.shape[1:3]
            lasts = (width - size, height - size) if last_corner is None else (last_corner, last_corner)
            return tasks.crop(donors, rng.integers(0, lasts, (n, 2), endpoint=True), size)

        images, boxes = tasks.draw(self.config, self.examples.images[chosen], fragments, rng)
        return Batch(images, self._labels(chosen), boxes)

    def labels(self, index: int) -> np.ndarray:
        """The labels of a batch, without drawing its images."""
        return self._labels(self._choose(index)[1])

    def _choose(self, index: int) -> tuple[np.random.Generator, np.ndarray]:
        """The generator that draws batch `index`, and the digits that it holds."""
        config, train = self.config, self.split == TRAIN
        fixed = config.task == "belaid"  # the published code drew its images once, each of a random digit
        seed = config.seed if train else 0
        epoch = self.epoch if train and not fixed else 0
        rng = np.random.default_rng([self.split, seed, epoch, index])
        positions = np.arange(index * config.batch_size, min((index + 1) * config.batch_size, self.size))
        count = len(self.examples.labels)
        if fixed:
            return rng, rng.integers(0, count, len(positions))
        if train:
            order = np.random.default_rng([ORDER, seed, epoch]).permutation(count * self.draws)
            return rng, order[positions] % count
        return rng, positions % count

    def _labels(self, chosen) -> np.ndarray:
        return self.examples.labels[chosen].astype("int32")

    def on_epoch_end(self):
        self.epoch += 1
