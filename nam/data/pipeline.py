"""Batches of a task for Keras: drawn when asked for, the same for the same seed, epoch and batch."""

from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np

from nam.config import Config
from nam.data import sequences, tasks
from nam.data.sources import Examples
from nam.errors import UserError

# The first word of every seed: what is drawn for one purpose is independent of the others, and validation and test
# images are the same whatever the seed of the run.
TRAIN, ORDER, VALIDATION, TEST = range(4)
BLOCK = 128  # images that one generator draws where a split is always the same


class Batch(NamedTuple):
    images: np.ndarray  # (n, height, width, channels) uint8
    labels: np.ndarray  # (n,) int32; of a number (n, targets), see `sequences`
    boxes: np.ndarray  # (n, 4) (x, y, width, height) of the target, pixels; of a number (n, targets, 4)
    examples: np.ndarray  # (n,) which digit of the split each was drawn from


def framing(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """The transformations `(…, 6)` that frame boxes `(…, 4)` of an image, see `nam.layers.sampling.affine_grid`."""
    x, y, w, h = np.moveaxis(boxes.astype("float32"), -1, 0)
    zero = np.zeros_like(x)
    return np.stack([w / width, zero, (2 * x + w) / width - 1, zero, h / height, (2 * y + h) / height - 1], axis=-1)


class Batches(keras.utils.PyDataset):
    """Images of one split, drawn afresh each epoch for training and always the same otherwise.

    Item i is `(images, labels)`; `batch(i)` has the boxes too. A pure function of the config, the epoch and i: items
    may be asked for in any order, and a resumed run sees what it would have seen. Training drops the short last batch
    (other images fall into it each epoch). What is always the same does not depend on the batch size either.

    Args:
        config: A resolved config.
        examples: The digits of the split, with those that clutter is cut from.
        split: `TRAIN`, `VALIDATION` or `TEST`.
        draws: How often one epoch draws each digit.

    Attributes:
        epoch: Epoch that the next items belong to. Keras moves it on; set it to start elsewhere.
        with_boxes: Whether items are `(images, {"labels": labels, "thetas": thetas})`, see `framing`.
        failure: The `UserError` that ended the drawing, if any; a backend may hide it behind an error of its own.
    """

    def __init__(self, config: Config, examples: Examples, split: int, draws: float = 1):
        super().__init__()
        self.config = config
        self.examples = examples
        self.split = split
        self.total = int(len(examples.labels) * draws)
        self.fixed = split != TRAIN or config.task == "belaid"  # whose published code drew its images once
        self.epoch = 0
        self.with_boxes = False
        self.failure: UserError | None = None
        self._order = (-1, np.arange(0))  # an epoch, and its digits in order

    @property
    def size(self) -> int:
        """Images per epoch."""
        if self.split == TRAIN and self.total >= self.config.batch_size:
            return self.total - self.total % self.config.batch_size
        return self.total

    def __len__(self) -> int:
        return -(-self.size // self.config.batch_size)

    def __getitem__(self, index: int):
        try:
            batch = self.batch(index)
        except UserError as error:
            self.failure = error
            raise
        if self.with_boxes:
            return batch.images, {"labels": batch.labels, "thetas": framing(batch.boxes, *batch.images.shape[1:3])}
        return batch.images, batch.labels

    def batch(self, index: int) -> Batch:
        clutter = self.examples.clutter
        drawn = []
        for rng, chosen, taken in self._parts(index):
            if self.config.task == "sequence":
                images, labels, boxes = self._numbers(rng, chosen)
                drawn.append((images[taken], labels[taken], boxes[taken], chosen[taken]))
                continue

            def fragments(n: int, size: int, inclusive: bool = True, rng=rng) -> np.ndarray:
                donors = clutter[rng.integers(0, len(clutter), n)]
                height, width = donors.shape[1:3]
                corners = rng.integers(0, (width - size, height - size), (n, 2), endpoint=inclusive)
                return tasks.crop(donors, corners, size)

            images, boxes = tasks.draw(self.config, self.examples.images[chosen], fragments, rng)
            drawn.append((images[taken], self._labels(chosen)[taken], boxes[taken], chosen[taken]))
        return Batch(*(np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*drawn, strict=True)))

    def labels(self, index: int) -> np.ndarray:
        """The labels of a batch, but for numbers without drawing its images."""
        if self.config.task == "sequence":
            return self.batch(index).labels
        return np.concatenate([self._labels(chosen)[taken] for _, chosen, taken in self._parts(index)])

    def all_labels(self) -> np.ndarray:
        """The labels of the whole split, as they stand in its batches."""
        return np.concatenate([self.labels(i) for i in range(len(self))])

    def _parts(self, index: int) -> Iterator[tuple[np.random.Generator, np.ndarray, slice]]:
        """The generators that draw batch `index`, the digits that each draws, and which of them the batch takes."""
        config, count = self.config, len(self.examples.labels)
        first, last = index * config.batch_size, min((index + 1) * config.batch_size, self.size)
        seed = config.seed if self.split == TRAIN else 0
        if not self.fixed:
            rng = np.random.default_rng([self.split, seed, self.epoch, index])
            yield rng, self._shuffled(seed)[first:last] % count, slice(None)
            return
        for block in range(first // BLOCK, (last - 1) // BLOCK + 1):
            start, stop = block * BLOCK, min((block + 1) * BLOCK, self.total)
            rng = np.random.default_rng([self.split, seed, block])
            # The published code drew each of its images of a random digit.
            chosen = rng.integers(0, count, stop - start) if config.task == "belaid" else np.arange(start, stop) % count
            yield rng, chosen, slice(max(first - start, 0), min(last, stop) - start)

    def _numbers(self, rng: np.random.Generator, chosen) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images, labels and boxes of numbers: photographed ones, or made of digits of which `chosen` come first."""
        images, labels, boxes = self.examples.images, self.examples.labels, self.examples.boxes
        if boxes is None:
            layouts, digits = sequences.choose(rng, chosen, len(labels))
            images, boxes = sequences.compose(layouts, images[digits])
            labels = sequences.labels_of(layouts, labels[digits])
        else:
            images, labels, boxes = images[chosen], labels[chosen], boxes[chosen]
        images, boxes = sequences.jitter(images, boxes, rng if self.split == TRAIN else None)
        images = tasks.noisy(images, self.config.noise, rng)
        if self.config.reading == "backward":
            labels, boxes = sequences.backward(labels, boxes)
        return images, labels, boxes

    def _shuffled(self, seed: int) -> np.ndarray:
        epoch, order = self._order
        if epoch != self.epoch:
            epoch, order = self.epoch, np.random.default_rng([ORDER, seed, self.epoch]).permutation(self.total)
            self._order = (epoch, order)
        return order

    def _labels(self, chosen) -> np.ndarray:
        return self.examples.labels[chosen].astype("int32")

    def on_epoch_end(self):
        self.epoch += 1
