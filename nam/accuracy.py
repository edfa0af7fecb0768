"""Accuracy of every kind, always named: deterministic, sampled, and the vote of M sampled gazes."""

import contextlib
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from nam import numbers
from nam.data.pipeline import Batches

SEED = 20190621  # of the gazes drawn in evaluation: the same for every model and epoch


class Accuracies(NamedTuple):
    """Shares of right answers over one split; of numbers, of whole ones.

    A model that samples no gazes has the first and the loss only.
    """

    deterministic: float  # first look at the centre, then the means of the policy
    loss: float  # mean −log p(label) of the deterministic gaze, nats
    sampled: float | None = None  # one sampled gaze, mean over `votes` of them
    vote: float | None = None  # class probabilities averaged over `votes` sampled gazes
    votes: int | None = None
    digits: float | None = None  # of numbers: digits where they belong, by the deterministic gaze

    def shares(self) -> dict[str, float]:
        """The accuracies that there are, and the number of votes, as `result.json` holds them."""
        return {name: value for name, value in self._asdict().items() if name != "loss" and value is not None}


class _Both(keras.Model):
    """Class probabilities of the deterministic gaze and of `votes` sampled ones, in one pass over the images."""

    def __init__(self, model, votes: int):
        super().__init__(autocast=False, name="evaluator")
        self.model = model
        self.votes = votes

    def call(self, images):
        found = {"deterministic": ops.softmax(self.model(images, training=False)["logits"])}
        if self.model.samples_gazes:
            found["sampled"] = ops.softmax(self.model(images, samples=self.votes)["logits"])
        return found


class Whole(keras.utils.PyDataset):
    """The images of `batches`, and of `more (n, …)` what belongs to them; the last, short batch is filled up.

    Another shape would be compiled for that batch alone, and several devices could not share it.
    """

    def __init__(self, batches: Batches, more: np.ndarray | None = None):
        super().__init__()
        self.batches = batches
        self.more = more

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        images, _ = self.batches[index]
        size, found = self.batches.config.batch_size, len(images)
        more = () if self.more is None else (self.more[index * size :][:found],)
        filled = (part if found == size else part[np.arange(size) % found] for part in (images, *more))
        return (tuple(filled),) if more else tuple(filled)


class Evaluator:
    """Measures a model's accuracies; compiled once, for use after every epoch.

    Args:
        model: A `Classifier`.
        votes: Sampled gazes per image.
        jit: Compile with XLA.
    """

    def __init__(self, model, votes: int, jit: bool = True):
        self.model = model
        self.votes = votes
        self._both = _Both(model, votes)
        self._both.compile(jit_compile=jit)

    def probabilities(self, batches: Batches) -> dict[str, np.ndarray]:
        """Of the classes: `deterministic (n, classes)`, and `sampled (n, votes, classes)` if the model samples."""
        with draws_from(self.model, SEED):
            found = self._both.predict(Whole(batches), verbose=0)
        return {gaze: answers[: batches.size] for gaze, answers in found.items()}

    def __call__(self, batches: Batches) -> Accuracies:
        labels, answers = batches.all_labels(), self.probabilities(batches)
        answer = answers["deterministic"]
        right = np.take_along_axis(numbers.log(answer), np.maximum(labels, 0)[..., None], -1)[..., 0] * (labels >= 0)
        found = Accuracies(
            deterministic=float(np.mean(_right(answer, labels))), loss=float(-np.sum(right) / len(labels))
        )
        if labels.ndim == 2:
            found = found._replace(digits=numbers.digits_right(numbers.read([numbers.log(answer)]), labels))
        if "sampled" not in answers:
            return found
        return found._replace(
            sampled=float(np.mean([_right(copy, labels) for copy in answers["sampled"].swapaxes(0, 1)])),
            vote=float(np.mean(_right(answers["sampled"].mean(axis=1), labels))),
            votes=self.votes,
        )


def _right(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which images are read right, `(n,)`."""
    if labels.ndim == 2:
        return numbers.right(numbers.read([numbers.log(probabilities)]), labels)
    return probabilities.argmax(-1) == labels


@contextlib.contextmanager
def draws_from(model, seed: int):
    """Draws the gaze from `seed`, and leaves the generators as they were: evaluating does not change training."""
    generators = model.seed_generators
    kept = [ops.convert_to_numpy(generator.state).copy() for generator in generators]
    for i, generator in enumerate(generators):
        generator.state.assign(np.array([seed + i, 0], kept[i].dtype))
    try:
        yield
    finally:
        for generator, state in zip(generators, kept, strict=True):
            generator.state.assign(state)
