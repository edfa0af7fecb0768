"""What happens around the epochs of a run: validation, events, the best model, resuming."""

import contextlib
import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from nam import health, plots
from nam.accuracy import Evaluator
from nam.data.pipeline import Batch, Batches
from nam.errors import UserError
from nam.events import Events
from nam.files import read_arrays, replacing
from nam.models import RecurrentAttention
from nam.pictures import View, view
from nam.runs import MODEL, STATE, Run
from nam.signals import Signals

PROBED = 128  # validation images that health is told from, at most
PICTURES = 10  # times per run that they are shown, at most
MAX_META = 2**26  # bytes of a state beside its arrays: the numbers of every epoch
AHEAD = 2  # steps that are begun before the loss of the first is looked at


class Ahead(keras.callbacks.Callback):
    """Lets JAX compute one step while the next is drawn, but `AHEAD` steps at most, as their images stay in memory.

    If every callback is `async_safe`, Keras looks at a step's logs, which waits for the step, in a thread of its own.
    """

    async_safe = True

    def __init__(self):
        super().__init__()
        self._free = threading.Semaphore(AHEAD)

    def on_train_batch_begin(self, batch, logs=None):
        # A step that failed is never seen to end; what follows raises its error.
        self._free.acquire(timeout=60)

    def on_train_batch_end(self, batch, logs=None):
        self._free.release()


class Epochs(keras.callbacks.Callback):
    """Sets each epoch's data and learning rate, measures its speed and every kind of validation accuracy (`val_…`).

    Raises `UserError` when the loss is not a number, at most `AHEAD` steps later.

    Args:
        train: Training data.
        validation: Validation data.
        rate: Learning rate of an epoch, asked for when it begins.
        std: Standard deviation of the policy in an epoch, alike; `None`: it is not ours to change.
        evaluator: Of the model in training.
    """

    async_safe = True  # see `Ahead`

    def __init__(
        self,
        train: Batches,
        validation: Batches,
        rate: Callable[[int], float],
        std: Callable[[int], float] | None,
        evaluator: Evaluator,
    ):
        super().__init__()
        self.train = train
        self.validation = validation
        self.rate = rate
        self.std = std
        self.evaluator = evaluator

    def on_train_begin(self, logs=None):
        self.told = time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.train.epoch = epoch
        self.learning_rate = self.rate(epoch)
        self.model.optimizer.learning_rate = self.learning_rate
        if self.std:
            self.model.location_network.set_std(self.std(epoch))
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._check(logs["loss"])

    def on_epoch_end(self, epoch, logs=None):
        logs["learning_rate"] = self.learning_rate
        logs["images_per_second"] = self.train.size / (time.perf_counter() - self.start)
        with averaged(self.model):
            found = self.evaluator(self.validation)
        # Of all that happens in an epoch; what comes after validation counts for the next.
        logs["seconds"], self.told = time.perf_counter() - self.told, time.perf_counter()
        self._check(found.loss)  # only here the weights of the epoch's last step are seen
        logs["val_accuracy"] = found.deterministic
        if found.votes:
            logs["val_sampled_accuracy"] = found.sampled
            logs["val_vote_accuracy"] = found.vote
        if found.digits is not None:
            logs["val_digits_accuracy"] = found.digits
        if found.overlap is not None:
            logs["val_overlap"] = found.overlap
        logs["val_loss"] = found.loss

    def _check(self, loss):
        if not math.isfinite(float(loss)):
            raise UserError(
                f"the loss became {float(loss)} in epoch {self.epoch + 1}: most likely the learning rate of "
                f"{self.learning_rate:g} is too high; try a lower --learning-rate or --clip-norm."
            )


class Record(keras.callbacks.Callback):
    """Writes each epoch's numbers to the event files, and now and then what is looked at; of a gaze also its health.

    Tells if a location network gets no gradient although it should learn.
    """

    def __init__(self, events: Events, validation: Batches, epochs: int, classes: Sequence[str], pictures: bool = True):
        super().__init__()
        self.events = events
        self.classes = classes
        self.reading = validation.config.reading
        self.pictures = pictures
        self.every = max(1, round(epochs / PICTURES))
        self.epochs = epochs
        # The same in every epoch, so that its health can be compared.
        self.batch = Batch(*(part[:PROBED] for part in validation.batch(0)))
        self.view: View | None = None
        self.warned = False

    def on_epoch_end(self, epoch, logs=None):
        train = {name: value for name, value in logs.items() if not name.startswith("val_")}
        validation = {name[4:]: value for name, value in logs.items() if name.startswith("val_")}
        self.events.scalars("train", train, epoch)
        self.events.scalars("validation", validation, epoch)
        if self.pictures and (epoch == 0 or (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs):
            self.view = self.view or view(self.model, self.classes, self.reading)
            with averaged(self.model):
                figures = self.view.of_batch(self.batch)
            for name, figure in figures.items():
                self.events.image("validation", name, plots.pixels(figure), epoch)
        if isinstance(self.model, RecurrentAttention):
            self._tell_health(epoch)
        self.events.flush()

    def _tell_health(self, epoch: int) -> None:
        found = health.of_training(self.model, self.batch)
        self.events.scalars("validation", found, epoch)
        if not self.warned and health.never_learns(self.model, found):
            self.warned = True
            print(
                f"warning: the location network's gradient was 0 in epoch {epoch + 1}: it does not learn where to "
                "look. A reinforce_weight of 0 does that, and so does a gradient stopped at its means.",
                flush=True,
            )


class Resume(keras.callbacks.Callback):
    """Keeps the best model, and after every epoch all that it takes to go on: weights, optimizer, draws, best value.

    Each is a file, written beside and put in place in one step, so that a killed run always finds whole ones. The model
    comes first: a run that is killed between the two does that epoch again, with the same end on the same machine.

    Args:
        run: The run's folder.
        monitor: The log whose highest value marks the best epoch.
        is_over: Whether training ends, given the monitored value of each epoch so far.
    """

    def __init__(self, run: Run, monitor: str, is_over: Callable[[list[float]], bool]):
        super().__init__()
        self.run = run
        self.monitor = monitor
        self.is_over = is_over
        self.history: list[dict[str, float]] = []
        self.best_epoch: int | None = None
        self._copy: keras.Model | None = None

    @property
    def values(self) -> list[float]:
        """The monitored value of each epoch so far."""
        return [epoch[self.monitor] for epoch in self.history]

    def restore(self, model: keras.Model) -> int:
        """Puts the saved state, if there is one, into a compiled model; returns the epoch to go on from."""
        path = self.run.path / STATE
        if not path.exists():
            return 0
        model.optimizer.build(model.trainable_variables)
        try:
            variables = _variables(model)
            file = read_arrays(path, 2 * sum(keras.ops.convert_to_numpy(v).nbytes for v in variables) + MAX_META)
            meta = json.loads(str(file["meta"]))
            arrays = [file[f"v{i}"] for i in range(len(file) - 1)]
            if [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
                raise ValueError("it was written with another --mixed-precision, or by another version")
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(array)
            self.history = [{name: float(value) for name, value in epoch.items()} for epoch in meta["history"]]
            self.best_epoch = int(meta["best_epoch"])
            return len(self.values)
        except Exception as error:  # a cut or changed file shows as any of a dozen exceptions
            raise UserError(f"cannot resume from {path} ({error}): remove that file to start the run anew.") from None

    def on_epoch_end(self, epoch, logs=None):
        arrays = {f"v{i}": keras.ops.convert_to_numpy(variable) for i, variable in enumerate(_variables(self.model))}
        if not all(np.isfinite(array).all() for array in arrays.values()):  # which a gaze may hide from the loss
            raise UserError(
                f"a weight is no number after epoch {epoch + 1}: most likely the learning rate is too high; try a "
                "lower --learning-rate or --clip-norm."
            )
        self.history.append({name: float(value) for name, value in logs.items()})
        if self.best_epoch is None or logs[self.monitor] > self.history[self.best_epoch][self.monitor]:
            self.best_epoch = epoch
            self._save_model()
        meta = {"history": self.history, "best_epoch": self.best_epoch}
        with replacing(self.run.path / STATE) as temporary, temporary.open("wb") as file:
            np.savez(file, meta=np.array(json.dumps(meta)), **arrays)
        if self.is_over(self.values):
            self.model.stop_training = True

    def finish(self) -> None:
        """Removes the state: a finished run does not go on."""
        (self.run.path / STATE).unlink(missing_ok=True)

    def _save_model(self) -> None:
        # An uncompiled copy: a compiled model would take its optimizer along, three times the size.
        if self._copy is None:
            self._copy = type(self.model).from_config(self.model.get_config())
            self._copy.build((None, *self.model.images_shape))
        with averaged(self.model):
            self._copy.set_weights(self.model.get_weights())
        with replacing(self.run.path / MODEL) as temporary:
            self._copy.save(temporary)


@contextlib.contextmanager
def averaged(model: keras.Model):
    """Gives the model the averages that its optimizer keeps of its weights, if it does, until the block ends."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # in float16 it is wrapped
    if not optimizer.use_ema:
        yield
        return
    last = [keras.ops.convert_to_numpy(variable).copy() for variable in model.trainable_variables]
    optimizer.finalize_variable_values(model.trainable_variables)
    for variable in model.trainable_variables:  # a copy: JAX gives away what a compiled pass has read
        variable.assign(keras.ops.convert_to_numpy(variable).copy())
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, last, strict=True):
            variable.assign(value)


class Obey(keras.callbacks.Callback):
    """Ends training between two steps when a signal has come; comes last, so that a whole epoch is kept."""

    async_safe = True

    def __init__(self, signals: Signals):
        super().__init__()
        self.signals = signals

    def on_train_batch_end(self, batch, logs=None):
        self.signals.check()

    def on_epoch_end(self, epoch, logs=None):
        self.signals.check()


def _variables(model: keras.Model) -> list[Any]:
    """All that changes while training: weights, states of the random generators, the optimizer's variables."""
    metrics = {id(variable) for metric in model.metrics for variable in metric.variables}
    own = [variable for variable in model.variables if id(variable) not in metrics]
    return own + list(model.optimizer.variables)
