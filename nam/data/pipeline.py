"""Batches of a task for Keras: drawn when asked for, the same for the same seed, epoch and batch."""

from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np

from nam.config import Config
from nam.data import sequences, tasks
from nam.data.boxes import framing
from nam.data.sources import Examples
from nam.errors import UserError

# The first word of every seed: what images are drawn from for one purpose is not what they are for another, and for
# validation and test the same whatever the seed of the run, which but chooses the digits that validate.
TRAIN, ORDER, VALIDATION, TEST = range(4)
BLOCK = 128  # images that one generator draws where a split is always the same
# How Keras draws batches while a step is computed: with more than one worker it does without the autotuning of tf.data,
# whose thread keeps an iterator that is no longer used, and with it the next epoch, waiting for up to a minute.
DRAWN_AHEAD = {"workers": 2, "max_queue_size": 4}


class Batch(NamedTuple):
    images: np.ndarray  # (n, height, width, channels) uint8
    labels: np.ndarray  # (n,) int32; of a number (n, targets), see `sequences`
    boxes: np.ndarray  # (n, 4) (x, y, width, height) of the target, pixels; of a number (n, targets, 4)
    examples: np.ndarray  # (n,) which digit of the split each was drawn from


class Batches(keras.utils.PyDataset):
    """Images of one split, drawn afresh each epoch for training (but of task `belaid`), always the same otherwise.

    Item i is `(images, labels)`; `batch(i)` has the boxes too. A pure function of the config, the epoch and i: items
    may be asked for in any order, and a resumed run sees what it would have seen. Training drops the short last batch
    (of images drawn afresh, others fall into it each epoch). What is always the same does not depend on the batch size
    either.

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
        super().__init__(**DRAWN_AHEAD)
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

    @property
    def learnt(self) -> float:
        """The share of the curriculum, if there is one, that the epoch has reached; all of it but in training."""
        return min((self.epoch + 1) / (self.config.curriculum_epochs + 1), 1) if self.split == TRAIN else 1.0

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
            labels, made_of = self._labels(rng, chosen)

            def fragments(n: int, size: int, inclusive: bool = True, rng=rng) -> np.ndarray:
                donors = clutter[rng.integers(0, len(clutter), n)]
                height, width = donors.shape[1:3]
                corners = rng.integers(0, (width - size, height - size), (n, 2), endpoint=inclusive)
                return tasks.crop(donors, corners, size)

            if self.config.task == "sequence":
                images, boxes = self._numbers(rng, chosen, labels, made_of)
            else:
                digits = self.examples.images[chosen]
                if self.split == TRAIN:
                    digits = tasks.distorted(digits, self.config.distortion, rng)
                images, boxes = tasks.draw(self.config, digits, fragments, rng, self.learnt)
            drawn.append((images[taken], labels[taken], boxes[taken], chosen[taken]))
        return Batch(*(np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*drawn, strict=True)))

    def labels(self, index: int) -> np.ndarray:
        """The labels of a batch, without drawing its images."""
        return np.concatenate([self._labels(rng, chosen)[0][taken] for rng, chosen, taken in self._parts(index)])

    def all_labels(self) -> np.ndarray:
        """The labels of the whole split, as they stand in its batches."""
        return np.concatenate([self.labels(i) for i in range(len(self))])

    def all_but_images(self) -> Batch:
        """The whole split, as it stands in its batches, without the images; they are drawn for it."""
        batches = [self.batch(i)[1:] for i in range(len(self))]
        return Batch(None, *(np.concatenate(parts) for parts in zip(*batches, strict=True)))

    def _parts(self, index: int) -> Iterator[tuple[np.random.Generator, np.ndarray, slice]]:
        """The generators that draw batch `index`, the digits that each draws, and which of them the batch takes."""
        config, count = self.config, len(self.examples.labels)
        first, last = index * config.batch_size, min((index + 1) * config.batch_size, self.size)
        seed = config.seed if self.split == TRAIN else 0
        if not self.fixed:
            rng = np.random.default_rng([self.split, seed, self.epoch, index])
            yield rng, self._shuffled(seed)[first:last], slice(None)
            return
        for block in range(first // BLOCK, (last - 1) // BLOCK + 1):
            start, stop = block * BLOCK, min((block + 1) * BLOCK, self.total)
            rng = np.random.default_rng([self.split, seed, block])
            # The published code drew each of its images of a random digit.
            chosen = rng.integers(0, count, stop - start) if config.task == "belaid" else np.arange(start, stop) % count
            yield rng, chosen, slice(max(first - start, 0), min(last, stop) - start)

    def _labels(self, rng: np.random.Generator, chosen) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
        """Labels of what is made of the examples `chosen`; of numbers made of digits, also `sequences.choose`'s word.

        Those begin with the digits `chosen`; photographed ones are what they are.
        """
        labels, made_of = self.examples.labels, None
        if self.config.task == "sequence" and self.examples.boxes is None:
            layouts, digits = made_of = sequences.choose(rng, chosen, len(labels))
            labels = sequences.labels_of(layouts, labels[digits])
        else:
            labels = labels[chosen].astype("int32")
        return sequences.backward(labels, labels) if self.config.reading == "backward" else labels, made_of

    def _numbers(self, rng: np.random.Generator, chosen, labels, made_of) -> tuple[np.ndarray, np.ndarray]:
        """Images and boxes of numbers, see `_labels`."""
        images, boxes = self.examples.images, self.examples.boxes
        if made_of:
            layouts, digits = made_of
            images, boxes = sequences.compose(layouts, images[digits])
        else:
            images, boxes = images[chosen], boxes[chosen]
        images, boxes = sequences.jitter(images, boxes, rng if self.split == TRAIN else None)
        images = tasks.noisy(images, self.config.noise, rng)
        return images, sequences.backward(labels, boxes) if self.config.reading == "backward" else boxes

    def _shuffled(self, seed: int) -> np.ndarray:
        epoch, order = self._order
        if epoch != self.epoch:
            rng, count = np.random.default_rng([ORDER, seed, self.epoch]), len(self.examples.labels)
            digits = np.arange(self.total) % count
            if more := self.total % count:  # which are drawn once more than the others changes from epoch to epoch
                digits[-more:] = rng.permutation(count)[:more]
            epoch, order = self.epoch, digits[rng.permutation(self.total)]
            self._order = (epoch, order)
        return order

    def on_epoch_end(self):
        self.epoch += 1
