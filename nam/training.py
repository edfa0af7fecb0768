"""How a run is trained: from its config to its result."""

import contextlib
import math
import sys
from functools import partial
from typing import Any

import keras
from keras import ops

from nam import callbacks, data, machine, models, schedule
from nam.accuracy import Evaluator
from nam.config import FOLDER, VOTES, Config, Execution
from nam.events import EventFile, Events, tell
from nam.runs import MODEL, STATE, Run, lost
from nam.signals import Signals, Stopped


def train(config: Config, execution: Execution) -> dict[str, Any]:
    """Trains the run of `config`, or goes on with it, see `nam.train.train`."""
    substituted = False
    if config.dataset is None:
        found, notice = data.default(execution.data_dir)
        substituted = notice is not None
        if notice:
            print(notice, flush=True)
        config = config.model_copy(update={"dataset": found})
    config = config.resolved(config.dataset)
    run = Run.of(config, execution)
    finished = run.read("result.json")
    if finished is not None:
        (run.path / STATE).unlink(missing_ok=True)  # if killed in between
        print(f"finished before: {run.path}")
        if finished["test"] or execution.no_test or not (run.path / MODEL).exists():
            return finished

    machine.keep_memory()
    splits = data.load(config, execution.data_dir)
    machine.share(math.gcd(config.batch_size, splits.train.size))
    if finished is not None:
        return _tested(run, finished, splits, execution)
    keras.config.set_dtype_policy(machine.half() if execution.mixed_precision else "float32")
    keras.utils.set_random_seed(config.seed)
    model = models.build(config, splits.spec)
    splits.train.with_boxes = model.learns_boxes and not config.dataset.startswith(FOLDER)  # whose targets have none
    compile_model(model, config, execution)
    dataset = {
        "name": config.dataset,
        "task": config.task,
        **splits.told(),
        "substituted": substituted,
    }
    with run.claim():
        finished = run.read("result.json")  # another process may have ended it meanwhile
        if finished is None:
            run.create(config, dataset, jit=execution.jit, mixed_precision=execution.mixed_precision)
            try:
                finished = _complete(run, config, execution, model, splits)
            except BrokenPipeError:  # whoever read the output has seen enough
                raise
            except OSError as error:
                raise lost(run, error) from None
        return finished


def _complete(run, config: Config, execution: Execution, model, splits) -> dict[str, Any]:
    """Trains the compiled model from where its run stands to the end, and returns the result."""
    resume = callbacks.Resume(run, _monitored(config), partial(schedule.is_over, config))
    first_epoch = resume.restore(model)
    epochs = first_epoch if schedule.is_over(config, resume.values) else config.epochs
    if first_epoch:
        left = f"epoch {first_epoch + 1} of {epochs}" if first_epoch < epochs else "the final test"
        print(f"going on with {left}: {run.path}", flush=True)
    events, signals, jit = Events(run, first_epoch), Signals(), model.jit_compile
    try:
        with signals, _plainly(splits):
            model.fit(
                splits.train,
                epochs=epochs,
                initial_epoch=first_epoch,
                shuffle=False,  # the data does it, in an order that a resumed run finds again
                callbacks=[
                    callbacks.Ahead(),
                    callbacks.Epochs(
                        splits.train,
                        splits.validation,
                        lambda epoch: schedule.learning_rate(config, epoch, resume.values),
                        partial(schedule.std, config) if config.anneals else None,
                        Evaluator(model, config.votes, jit, signals.check),
                    ),
                    callbacks.Record(
                        events, splits.validation, config.epochs, splits.spec.classes, not execution.no_pictures
                    ),
                    resume,
                    callbacks.Obey(signals),
                ],
                verbose=1 if sys.stdout.isatty() else 2,
            )
            evaluator = Evaluator(models.load(run.path / MODEL), VOTES, jit, signals.check)
            found = {
                "test": None if execution.no_test else evaluator(splits.test).shares(),
                "validation": evaluator(splits.validation).shares(),
            }
            signals.check()
            epochs = len(resume.history)
            events.final(found, epochs)
            events.close()
    except (KeyboardInterrupt, Stopped) as stop:
        done = f"stopped after {len(resume.history)} of {config.epochs} epochs"
        stop.add_note(f"{done}: the same command goes on from there ({run.path})")
        raise
    finally:
        with contextlib.suppress(OSError):  # what kept it from being written has been told
            events.close()

    speeds = sorted(epoch["images_per_second"] for epoch in resume.history)
    seconds = sum(epoch["seconds"] for epoch in resume.history)
    result = {
        **found,
        "epochs": epochs,
        "best_epoch": resume.best_epoch + 1,
        "seconds": {"total": round(seconds, 1), "per_epoch": round(seconds / epochs, 2)},
        "images_per_second": round(speeds[len(speeds) // 2], 1),
        "parameters": model.count_params(),
        "cost": model.cost(*splits.spec[:2])._asdict(),
        "dataset": run.read("dataset.json"),
    }
    run.write("result.json", result)
    resume.finish()
    print(f"finished: {run.path}")
    return result


def _monitored(config: Config) -> str:
    """The accuracy whose highest value marks the best epoch."""
    # An untrained gaze is only ever seen sampled: its mean is a place where the network never learned to look.
    if config.policy in ("frozen", "random"):
        return "val_vote_accuracy"
    # The deterministic gaze does not see how far the std has fallen, which the best model keeps.
    return "val_sampled_accuracy" if config.std_changes else "val_accuracy"


def _tested(run, result: dict[str, Any], splits, execution: Execution) -> dict[str, Any]:
    """The result of a finished run, its best model's accuracies on the test split added."""
    run.check_data(splits.told())
    with run.claim():
        result = run.read("result.json") or result
        if result.get("test"):  # another process has asked meanwhile
            return result
        model = models.load(run.path / MODEL)
        with _plainly(splits):
            found = Evaluator(model, VOTES, _jit(model, execution))(splits.test).shares()
        result = {**result, "test": found}
        try:
            run.write("result.json", result)
            with contextlib.closing(EventFile(run.path)) as file:
                tell(file, {"test": found}, result["epochs"])
        except OSError as error:
            raise lost(run, error) from None
        return result


@contextlib.contextmanager
def _plainly(splits):
    """Raises what ended the drawing of a split, and not the backend's own error which that becomes."""
    try:
        yield
    except Exception:
        for split in splits[:3]:
            if split.failure:
                raise split.failure from None
        raise


def _jit(model, execution: Execution) -> bool:
    return model.faster_with_xla if execution.jit == "auto" else execution.jit == "on"


def compile_model(model, config: Config, execution: Execution) -> None:
    """Compiles the model of a config with its optimizer, in the way that is fastest where it runs."""
    # Weighted, so that what a number has no digit for does not count.
    model.compile(optimizer(config), weighted_metrics=["accuracy"], jit_compile=_jit(model, execution))
    # Updates the metrics once, which builds them: else `fit` does so with a first batch, and on JAX then trains on the
    # batches that were drawn ahead with it, of whichever epoch.
    model.compute_metrics(None, ops.zeros(1, "int32"), {"logits": ops.zeros((1, model.config["classes"]))})
    model.reset_metrics()
    # TensorFlow traces a step that creates variables a second time: half of what a run waits for at its start.
    model.optimizer.build(model.trainable_variables)


def optimizer(config: Config):
    """The config's optimizer, which clips the gradient to `clip_norm` over all weights together."""
    # What is added to a divisor: Kingma & Ba's 1e-8, which the published study used too. Keras's 1e-7 is as large as
    # the first gradients of small weights are.
    kinds = {
        "adam": partial(keras.optimizers.Adam, epsilon=1e-8),
        "rmsprop": partial(keras.optimizers.RMSprop, epsilon=1e-10),
        "adagrad": keras.optimizers.Adagrad,
        "adadelta": partial(keras.optimizers.Adadelta, epsilon=1e-8),
        "sgd": partial(keras.optimizers.SGD, momentum=config.momentum, nesterov=config.momentum > 0),
    }
    average = {} if config.averaging is None else {"use_ema": True, "ema_momentum": config.averaging}
    return kinds[config.optimizer](config.learning_rate, global_clipnorm=config.clip_norm, **average)
