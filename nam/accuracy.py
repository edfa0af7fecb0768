"""Accuracy of every kind, always named: deterministic, sampled, and the vote of M sampled gazes."""

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from nam import numbers
from nam.data.boxes import overlaps
from nam.data.pipeline import DRAWN_AHEAD, Batches

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
    overlap: float | None = None  # of windows with their targets (IoU), mean over all looks at what is known to be one

    def shares(self) -> dict[str, float]:
        """The accuracies that there are, and the number of votes, as `result.json` holds them."""
        return {name: value for name, value in self._asdict().items() if name != "loss" and value is not None}


class Whole(keras.utils.PyDataset):
    """The images of `batches`, and of `more (n, …)` what belongs to them; the last, short batch is filled up.

    Another shape would be compiled for that batch alone, and several devices could not share it.
    """

    def __init__(self, batches: Batches, more: np.ndarray | None = None):
        super().__init__(**DRAWN_AHEAD)
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


class Recorder(keras.Model):
    """What is asked of a built model, of many images; compiled once.

    Args:
        model: The model, whose variables are all that it has.
        ask: From a batch to a dict of tensors: what `model` says of it.
        jit: Compile with XLA. `None`: for a few images, which do not pay for TensorFlow's; JAX without is slower still.
    """

    def __init__(self, model, ask: Callable[[Any], dict[str, Any]], jit: bool | None = None):
        super().__init__(autocast=False, name="recorder")
        self.model = model
        self.ask = ask
        self.built = True  # or Keras on JAX builds it on the first batch, and begins its answers with the second
        self.compile(jit_compile=keras.backend.backend() == "jax" if jit is None else jit)

    def call(self, inputs):
        return self.ask(inputs)

    def record(
        self, batches: Batches, more: np.ndarray | None = None, between: Callable[[], None] = lambda: None
    ) -> dict[str, np.ndarray]:
        """What is said of all images of `batches`, see `Whole`. `between` is called after each batch."""
        after = keras.callbacks.LambdaCallback(on_predict_batch_end=lambda batch, logs: between())
        found = self.predict(Whole(batches, more), verbose=0, callbacks=[after])
        return {name: part[: batches.size] for name, part in found.items()}

    def one_by_one(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What is said of `images (n, height, width, channels)`, of each as if it were alone, with the same draws."""
        found = []
        for image in images:
            with draws_from(self.model, SEED):
                found.append(self.predict_on_batch(image[None]))
        return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


class Evaluator:
    """Measures a model's accuracies; compiled once, for use after every epoch.

    Args:
        model: A `Classifier`.
        votes: Sampled gazes per image; 0: the deterministic one alone.
        jit: Compile with XLA.
        between: Called after each batch, to end it early by an exception.
    """

    def __init__(self, model, votes: int, jit: bool = True, between: Callable[[], None] = lambda: None):
        self.model = model
        self.between = between
        self.votes = votes
        self._recorder = Recorder(model, self._ask, jit)
        self._framed: dict[Batches, tuple[np.ndarray, int, int]] = {}  # boxes and size of images, always the same

    def probabilities(self, batches: Batches) -> dict[str, np.ndarray]:
        """Of the classes: `deterministic (n, classes)`, and `sampled (n, votes, classes)` if the model samples.

        Beside them the `thetas (n, looks, 6)` of a model that looks through windows.
        """
        with draws_from(self.model, SEED):
            return self._recorder.record(batches, between=self.between)

    def _ask(self, images):
        """All of it in one pass over the images."""
        outputs = self.model(images, training=False)
        found = {"deterministic": ops.softmax(outputs["logits"])}
        if "thetas" in outputs:
            found["thetas"] = outputs["thetas"]
        if self.votes and self.model.samples_gazes:
            found["sampled"] = ops.softmax(self.model(images, samples=self.votes)["logits"])
        return found

    def __call__(self, batches: Batches) -> Accuracies:
        labels, found = batches.all_labels(), self.probabilities(batches)

        def share(answers) -> float:  # of the images that are read right
            return float((answers == labels).reshape(len(labels), -1).all(-1).mean())

        log_p, answers = numbers.log(found["deterministic"]), read(found["deterministic"])
        of_labels = np.take_along_axis(log_p, np.maximum(labels, 0)[..., None], -1)[..., 0] * (labels >= 0)
        told = Accuracies(deterministic=share(answers), loss=float(-of_labels.sum() / len(labels)))
        if labels.ndim == 2:
            told = told._replace(digits=numbers.digits_right(answers, labels, batches.config.reading))
        if "thetas" in found:
            if batches not in self._framed:
                self._framed[batches] = batches.all_but_images().boxes, *batches.batch(0).images.shape[1:3]
            each = overlaps(found["thetas"], *self._framed[batches])
            told = told._replace(overlap=float(each.mean()) if each.count() else None)
        if "sampled" in found:
            each = [share(read(copy)) for copy in found["sampled"].swapaxes(0, 1)]
            vote = share(read(found["sampled"].mean(axis=1)))
            told = told._replace(sampled=float(np.mean(each)), vote=vote, votes=self.votes)
        return told


def read(probabilities: np.ndarray) -> np.ndarray:
    """The answers to class probabilities: `(n,)` to `(n, classes)`; numbers `(n, targets)` to those of their places."""
    return numbers.read([numbers.log(probabilities)]) if probabilities.ndim == 3 else probabilities.argmax(-1)


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
