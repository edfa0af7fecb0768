"""Whole runs, small: what they leave behind, and that nothing is lost when they are stopped."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nam import callbacks, evaluate, events, machine, models, predict, runs, train, training
from nam.accuracy import Evaluator
from nam.config import FORMAT, Config, Execution
from nam.configs import load_config, named_configs
from nam.data import images
from nam.errors import UserError
from nam.runs import STATE
from nam.signals import Stopped
from tests.data.test_sources import offline
from tests.small import FLAGS, JIT, SMALL, run

ROOT = Path(__file__).parents[1]
# As `python -m nam.train`, but Ctrl-C is obeyed in the background of a script too.
MAIN = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module('nam.train', run_name='__main__')"
)


def scalars(folder):
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]
    }, accumulator


@pytest.fixture
def command(start):
    """The command line in a process of its own."""

    def command(logs, *flags, **environment):
        words = [sys.executable, "-c", MAIN, *FLAGS, "--logs", str(logs), "--name", "run", "--jit", "off", *flags]
        return start(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment})

    return command


def test_a_run_leaves_its_folder(finished):
    folder, result = finished
    files = sorted(path.name for path in folder.iterdir())
    assert [name for name in files if "tfevents" not in name] == [
        "config.json", "dataset.json", "hardware.json", "model.keras", "result.json", "train", "validation",
    ]  # fmt: skip
    assert json.loads((folder / "result.json").read_text()) == {"format": FORMAT, **result}
    assert Config.from_json((folder / "config.json").read_text()) == Config(**SMALL).resolved("digits")


def test_the_result_says_what_was_measured(finished):
    _, result = finished
    assert set(result) == {
        "test", "validation", "epochs", "best_epoch", "seconds", "images_per_second", "parameters", "cost", "dataset",
    }  # fmt: skip
    for split in ("test", "validation"):
        assert set(result[split]) == {"deterministic", "sampled", "vote", "votes"} and result[split]["votes"] == 10
        assert all(0 < result[split][kind] < 1 for kind in ("deterministic", "sampled", "vote"))
    assert set(result["seconds"]) == {"total", "per_epoch"}
    assert result["dataset"] == {
        "name": "digits", "task": "translated", "train": 1920, "validation": 429, "test": 3590,
        "classes": list("0123456789"), "checksum": result["dataset"]["checksum"], "substituted": False,
    }  # fmt: skip


def test_the_machine_is_described_first(finished):
    card = json.loads((finished[0] / "hardware.json").read_text())
    assert {"gpu", "cpu", "cores", "ram_gib", "python", "keras", "backend", "commit"} <= set(card)
    assert card["python"] == ".".join(map(str, sys.version_info[:3])) and card["backend"] == keras.backend.backend()


def test_the_best_model_is_kept_without_its_optimizer(finished):
    folder, result = finished
    model = models.load(folder / "model.keras")
    assert keras.saving.load_model(folder / "model.keras").compiled is False
    assert model.count_params() == result["parameters"]
    values, _ = scalars(folder / "validation")
    best = max(values["accuracy"], key=lambda event: event[1])
    assert result["best_epoch"] == best[0] + 1


def test_events_hold_scalars_cards_pictures_and_hparams(finished):
    folder, result = finished
    for group in ("", "train", "validation"):
        _, accumulator = scalars(folder / group)
        texts = accumulator.Tags()["tensors"]
        assert {"machine", "config"} <= set(texts)
        text = accumulator.Tensors("config")[0].tensor_proto.string_val[0].decode()
        assert "| glimpses | 2 |" in text
    train_values, _ = scalars(folder / "train")
    assert {
        "accuracy",
        "loss",
        "classification",
        "reinforce",
        "baseline",
        "reward",
        "learning_rate",
        "images_per_second",
        "seconds",
    } <= set(train_values)
    assert all([step for step, _ in events] == [0, 1, 2] for events in train_values.values())
    validation, accumulator = scalars(folder / "validation")
    assert {"accuracy", "sampled_accuracy", "vote_accuracy", "loss"} <= set(validation)
    assert {"gradient_norm/location_network", "policy/spread", "gaze/hits", "advantage_variance"} <= set(validation)
    assert {"answer_entropy", "gradient_norm/core", "policy/mean_x"} <= set(validation)
    assert all(value > 0 for _, value in validation["gradient_norm/location_network"])
    assert accumulator.Tags()["images"] == ["gaze"]
    own, accumulator = scalars(folder)
    shown = {"": own, "train": train_values, "validation": validation}
    assert all(tag in shown[group] for group, tag in events.METRICS)  # no column of HParams stays empty
    assert own["test/deterministic"][0][1] == pytest.approx(result["test"]["deterministic"])
    plugin = accumulator.summary_metadata
    assert {"_hparams_/experiment", "_hparams_/session_start_info", "_hparams_/session_end_info"} <= set(plugin)


def test_a_finished_run_is_not_trained_again(finished, capsys):
    folder, result = finished
    before = (folder / "model.keras").stat().st_mtime_ns
    assert run(folder.parents[1]) == result
    assert (folder / "model.keras").stat().st_mtime_ns == before
    assert "finished before" in capsys.readouterr().out


def test_another_run_is_kept_out_of_the_folder(finished):
    before = sorted(finished[0].rglob("*"))
    with pytest.raises(UserError, match=r"holds another run \(glimpses 2 there and 3 here\): choose another --name"):
        run(finished[0].parents[1], glimpses=3)
    with pytest.raises(UserError, match=f"or go on with that run by --config {finished[0]} --name run"):
        run(finished[0].parents[1], glimpses=3)
    assert sorted(finished[0].rglob("*")) == before


@pytest.mark.fault
def test_two_processes_never_train_the_same_run(tmp_path, command):
    held = runs.Run(tmp_path / "runs" / "run")
    with held.claim():
        process = command(tmp_path)
        _, err = process.communicate(timeout=300)
        assert process.returncode == runs.Busy.status
        assert "error: another process trains" in err and "Traceback" not in err
    with held.claim():  # free again
        pass


class Crash(Exception):
    """Ends a run at a chosen moment."""


@pytest.mark.parametrize(
    "moment",
    ["in_epoch", *(pytest.param(moment, marks=pytest.mark.slow) for moment in ("while_saving", "after_epoch"))],
)
@pytest.mark.fault
def test_a_broken_run_goes_on_and_ends_as_if_whole(tmp_path, finished, monkeypatch, moment):
    def crash(*args, **kwargs):
        raise Crash

    with monkeypatch.context() as patch:
        if moment == "in_epoch":
            on_batch = callbacks.Epochs.on_train_batch_end

            def on_train_batch_end(self, batch, logs=None):
                on_batch(self, batch, logs)
                if self.epoch == 1 and batch == 10:
                    raise Crash

            patch.setattr(callbacks.Epochs, "on_train_batch_end", on_train_batch_end)
        elif moment == "while_saving":
            savez = np.savez

            def half(file, **arrays):
                if len(json.loads(str(arrays["meta"]))["history"]) == 2:
                    file.write(b"half")
                    raise Crash
                savez(file, **arrays)

            patch.setattr(np, "savez", half)
        else:
            patch.setattr(models, "load", crash)
        with pytest.raises(Crash):
            run(tmp_path)
    folder = tmp_path / "runs" / "run"
    assert not (folder / "result.json").exists() and not list(folder.glob(".*"))
    result = run(tmp_path)
    whole, _ = scalars(finished[0] / "validation")
    resumed, _ = scalars(folder / "validation")
    # The same draws, weights, optimizer and gaze: the same curve, and no epoch twice.
    for tag in ("accuracy", "loss", "vote_accuracy"):
        np.testing.assert_allclose(resumed[tag], whole[tag], rtol=1e-5)
    assert result["test"] == finished[1]["test"] and result["best_epoch"] == finished[1]["best_epoch"]


RECIPE = dict(
    averaging=0.9, exploration="annealed", warmup=1, curriculum="canvas", curriculum_epochs=2, policy_gradient="stopped"
)


def test_the_average_of_the_weights_is_validated_and_kept(tmp_path, monkeypatch):
    evaluated, last, averages, rates = [], [], [], []
    evaluate, ended = callbacks.Evaluator.__call__, callbacks.Resume.on_epoch_end

    def watching(self, batches):
        evaluated.append(self.model.action_network.get_weights()[0])
        return evaluate(self, batches)

    def on_epoch_end(self, epoch, logs=None):
        ended(self, epoch, logs)
        kernel = self.model.action_network.kernel
        place = [variable is kernel for variable in self.model.trainable_variables].index(True)
        last.append(np.array(kernel))
        rates.append(float(self.model.optimizer.learning_rate))
        averages.append(np.array(self.model.optimizer._model_variables_moving_average[place]))

    monkeypatch.setattr(callbacks.Evaluator, "__call__", watching)
    monkeypatch.setattr(callbacks.Resume, "on_epoch_end", on_epoch_end)
    schedule = dict(learning_rate=1e-3, schedule="exponential")
    result = run(tmp_path, averaging=0.9, **schedule, execution={"jit": "on" if JIT else "off"})
    np.testing.assert_array_equal(evaluated[:3], averages)
    np.testing.assert_allclose(rates, [1e-3 * 0.97**epoch for epoch in range(3)], rtol=1e-6)
    assert not any(np.array_equal(*pair) for pair in zip(averages, last, strict=True))
    best = models.load(tmp_path / "runs" / "run" / runs.MODEL)
    np.testing.assert_array_equal(best.action_network.get_weights()[0], averages[result["best_epoch"] - 1])


def test_a_finished_run_can_be_tested_later(tmp_path, finished, capsys):
    assert run(tmp_path, execution={"no_test": True})["test"] is None
    folder = tmp_path / "runs" / "run"
    result = run(tmp_path)
    assert result["test"] == finished[1]["test"] and result["validation"] == finished[1]["validation"]
    assert "finished before" in capsys.readouterr().out and runs.Run(folder).read("result.json") == result
    told, accumulator = scalars(folder)
    assert told["test/vote"] == [(3, pytest.approx(result["test"]["vote"]))]
    assert {*accumulator.PluginTagToContent("hparams")} == {
        "_hparams_/experiment", "_hparams_/session_start_info", "_hparams_/session_end_info"
    }  # fmt: skip
    assert run(tmp_path, execution={"no_test": True}) == result  # what is known stays
    runs.Run(folder).write("result.json", {**result, "test": None})
    before = runs.Run(folder).read("dataset.json")
    runs.Run(folder).write("dataset.json", {**before, "checksum": 1})
    with pytest.raises(UserError, match="the dataset has changed since"):
        run(tmp_path)
    (folder / runs.MODEL).unlink()  # as it is not kept with the study's runs
    assert run(tmp_path)["test"] is None


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"exploration": "fixed"}, "val_accuracy"),
        ({"exploration": "annealed"}, "val_sampled_accuracy"),
        ({"model": "cnn"}, "val_accuracy"),
        ({"policy": "center"}, "val_accuracy"),
        ({"policy": "frozen", "exploration": "learned"}, "val_vote_accuracy"),
    ],
)
def test_the_best_epoch_is_that_of_what_is_asked_for(fields, kind):
    assert training._monitored(Config(**fields)) == kind


def test_an_epoch_is_validated_with_as_many_gazes_as_asked_for(tmp_path, monkeypatch):
    asked, measure = [], Evaluator.__call__
    monkeypatch.setattr(Evaluator, "__call__", lambda self, data: asked.append(self.votes) or measure(self, data))
    found = run(tmp_path, votes=1, epochs=2)
    assert asked == [1, 1, 10, 10]
    assert found["test"]["votes"] == found["validation"]["votes"] == 10


@pytest.mark.skipif(JIT, reason="JAX makes an optimizer's variables before it traces")
def test_a_step_is_traced_once(tmp_path, monkeypatch):
    step, traced = models.RecurrentAttention.train_step, []

    def counted(self, data):
        traced.append(data)
        return step(self, data)

    monkeypatch.setattr(models.RecurrentAttention, "train_step", counted)
    run(tmp_path, epochs=1, train_size=256)
    assert len(traced) == 1


@pytest.mark.slow
def test_a_recipe_goes_on_alike(tmp_path, monkeypatch):
    deviations, evaluate, saved = [], callbacks.Evaluator.__call__, callbacks.Resume._save_model

    def watching(self, batches):
        deviations.append(float(np.exp(self.model.location_network.log_std)))
        return evaluate(self, batches)

    def breaks(self):
        saved(self)
        if len(self.history) == 2:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Evaluator, "__call__", watching)
        whole = run(tmp_path / "whole", **RECIPE)
    np.testing.assert_allclose(deviations[:3], [0.22, 0.22 - 0.17 / 1.5, 0.05], rtol=1e-5)
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(callbacks.Resume, "_save_model", breaks)
        run(tmp_path / "broken", **RECIPE)
    again = run(tmp_path / "broken", **RECIPE)
    assert again["validation"] == whole["validation"] and again["best_epoch"] == whole["best_epoch"]


@pytest.mark.slow
def test_averaged_weights_in_float16(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "half", lambda: "mixed_float16")  # whose optimizer is wrapped
    result = run(tmp_path, averaging=0.9, epochs=1, execution={"mixed_precision": True})
    assert result["best_epoch"] == 1


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow),
    ],
)
@pytest.mark.fault
def test_a_stopped_command_goes_on(tmp_path, command, number, status):
    process = command(tmp_path, "--epochs", "8", "--no-test")
    state = tmp_path / "runs" / "run" / callbacks.STATE
    while not state.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == status, out + err
    if number != signal.SIGKILL:
        assert re.search(r"stopped after \d+ of 8 epochs: the same command goes on from there", out)
        assert "stopping at the end of this step" in err and "Traceback" not in err
    process = command(tmp_path, "--epochs", "8", "--no-test")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert (
        re.search(r"going on with (epoch \d+ of 8|the final test)", out)
        and "tensorboard --logdir" in out
        and "Traceback" not in err
    )
    assert not state.exists()


def test_a_changed_state_file_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "load", lambda path: (_ for _ in ()).throw(Crash))
    with pytest.raises(Crash):
        run(tmp_path, epochs=1)
    state = tmp_path / "runs" / "run" / callbacks.STATE
    whole = state.read_bytes()
    state.write_bytes(whole[:1000])
    with pytest.raises(UserError, match="cannot resume from .*remove that file"):
        run(tmp_path, epochs=1)
    with np.load(io.BytesIO(whole)) as found:
        arrays = dict(found)
    for meta in ({}, {"history": [5], "best_epoch": 0}, {"history": [{"loss": "a"}], "best_epoch": 0}):
        with state.open("wb") as file:
            np.savez(file, **{**arrays, "meta": np.array(json.dumps(meta))})
        with pytest.raises(UserError, match="cannot resume from .*remove that file"):
            run(tmp_path, epochs=1)


@pytest.mark.fault
def test_a_signal_ends_validation_too(tmp_path, monkeypatch):
    probabilities = Evaluator.probabilities

    def signalled(self, batches):
        os.kill(os.getpid(), signal.SIGTERM)
        probabilities(self, batches)
        pytest.fail("validated to its end")

    monkeypatch.setattr(Evaluator, "probabilities", signalled)
    with pytest.raises(Stopped):
        run(tmp_path, epochs=1)


def test_without_mnist_it_trains_on_the_bundled_digits_and_says_so(tmp_path, monkeypatch, capsys):
    def stop(self, logs=None):
        raise KeyboardInterrupt

    offline(monkeypatch)
    monkeypatch.setattr(callbacks.Epochs, "on_train_begin", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "logs", dataset=None, execution={"data_dir": str(tmp_path)})
    told = json.loads((tmp_path / "logs" / "runs" / "run" / "dataset.json").read_text())
    assert told["name"] == "digits" and told["substituted"] and told["train"] == 1920
    assert "training on the 1,797 digits bundled with scikit-learn instead" in capsys.readouterr().out


def test_a_loss_that_is_not_a_number_stops_with_the_cause(tmp_path):
    with pytest.raises(
        UserError, match=r"the loss became (nan|inf) in epoch 1: most likely the learning rate of 100 is too high"
    ):
        run(tmp_path, optimizer="sgd", learning_rate=100, clip_norm=None, core="rnn", schedule="constant")
    assert not (tmp_path / "runs" / "run" / "result.json").exists()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (dict(task="translated", canvas=20), "canvas must hold the digit"),
        (dict(dataset="folder:/nowhere"), "no folder"),
        (dict(execution=dict(name="../up")), "name must be a plain folder name"),
    ],
)
def test_a_mistake_leaves_nothing_behind(tmp_path, values, sentence):
    values = dict(values)
    execution = {"name": "run", **values.pop("execution", {})}
    with pytest.raises(UserError, match=sentence):
        train.train(Config(**{**SMALL, **values}), Execution(logs=str(tmp_path), **execution))
    assert not list(tmp_path.iterdir())


def test_an_unwritable_folder_is_told(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match=r"cannot write to .*Permission denied.*name a writable folder with --logs"):
        run(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def photos(tmp_path, rng):
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(40):
            Image.fromarray(rng.integers(0, 256, (30, 30)).astype("uint8")).save(
                tmp_path / "photos" / name / f"{i}.png"
            )
    return tmp_path / "photos"


FOLDER = dict(task=None, canvas=None, batch_size=8, epochs=1)


def test_a_folder_of_photos_trains(tmp_path, photos):
    result = run(tmp_path / "logs", dataset=f"folder:{photos}", **FOLDER)
    assert result["dataset"]["task"] == "original" and result["dataset"]["train"] == 64
    assert predict.open_model(str(tmp_path / "logs" / "runs" / "run"))[1] == ["cats", "dogs"]


def test_a_broken_photo_is_named_before_anything_is_written(tmp_path, photos):
    file = photos / "dogs" / "37.png"
    file.write_bytes(file.read_bytes()[:400])
    with pytest.raises(UserError, match=r"cannot read the image .*37.png.*repair or remove it"):
        run(tmp_path / "logs", dataset=f"folder:{photos}", **FOLDER)
    assert not (tmp_path / "logs").exists()


def test_a_photo_that_breaks_while_training_is_named(tmp_path, photos, monkeypatch):
    decode = images.decode

    def breaks(path, *args):
        if path.name == "7.png":
            raise UserError(f"cannot read the image {path}: repair or remove it.")
        return decode(path, *args)

    monkeypatch.setattr(images, "decode", breaks)
    with pytest.raises(UserError, match=r"cannot read the image .*7.png"):
        run(tmp_path / "logs", dataset=f"folder:{photos}", **FOLDER)


def test_a_run_does_not_go_on_with_other_images(tmp_path, photos, monkeypatch):
    def stop(self, epoch, logs=None):
        raise KeyboardInterrupt

    values = {**FOLDER, "dataset": f"folder:{photos}", "epochs": 2}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(callbacks.Obey, "on_epoch_end", stop)
        run(tmp_path / "logs", **values)
    folder = tmp_path / "logs" / "runs" / "run"
    assert (folder / STATE).exists()
    before = (folder / "dataset.json").read_text()
    shutil.copy(photos / "cats" / "0.png", photos / "cats" / "40.png")
    with pytest.raises(UserError, match=r"has changed since .* was begun \(checksum .* now\): bring its images back"):
        run(tmp_path / "logs", **values)
    with pytest.raises(UserError, match="has changed since"):
        evaluate.main([str(folder)])
    assert (folder / "dataset.json").read_text() == before


def test_the_command_tells_a_mistake_in_one_sentence(tmp_path, command):
    process = command(tmp_path, "--glimpse", "3")
    out, err = process.communicate(timeout=300)
    assert (
        process.returncode == 2 and out == "" and err == "error: unknown flag --glimpse. Did you mean '--glimpses'?\n"
    )


@pytest.mark.parametrize("name", ["adam", "rmsprop", "adagrad", "adadelta", "sgd"])
def test_optimizers(name):
    optimizer = training.optimizer(Config(optimizer=name, learning_rate=0.5, clip_norm=2.0))
    assert type(optimizer).__name__.lower() == name
    assert float(optimizer.learning_rate) == 0.5 and optimizer.global_clipnorm == 2.0
    if name != "sgd":
        with pytest.raises(UserError, match="momentum belongs to the optimizer sgd"):
            Config(optimizer=name, momentum=0.9)
        return
    assert (optimizer.momentum, optimizer.nesterov) == (0, False)
    optimizer = training.optimizer(Config(optimizer=name, momentum=0.9))
    assert (optimizer.momentum, optimizer.nesterov) == (0.9, True)


def test_run_names_tell_what_differs():
    def name(dataset="digits", **values):
        return runs.name_of(Config(**values).resolved(dataset))

    assert name() == "digits_augmented_100"
    assert name(glimpses=8, seed=3) == "digits_augmented_100_glimpses=8_seed=3"
    assert name(scales=3) == "digits_augmented_100_scales=3"
    assert name(scale_factors=(1, 2, 3, 4)) == "digits_augmented_100_scale_factors=1-2-3-4"
    assert name("mnist", task="cluttered", canvas=100, distractors=3) == "mnist_cluttered_100_distractors=3"
    assert name(model="fc", hidden=64) == "digits_augmented_100_model=fc_hidden=64"
    assert name("folder:/data/pets") == "pets_original"
    assert name("folder:/data/pets", **named_configs()["cnn"]).startswith("cnn_dataset=pets_task=original")
    assert name(task="original", digit_size=14) == "digits_original_14_digit_size=14"
    assert name(task="translated", digit_size=14, canvas=20) == "digits_translated_20_digit_size=14"
    assert name(task="translated", canvas=4096, batch_size=32) == "digits_translated_4096_batch_size=32"
    nine = {"scales": 9, "scale_factors": tuple(range(1, 10))}
    assert name(**nine) == "digits_augmented_100_scales=9_scale_factors=1-2-3-4-5-6-7-8-9"
    published = load_config("published")
    assert runs.name_of(published) == "published"
    assert runs.name_of(published.model_copy(update={"epochs": 10})) == "published_epochs=10"


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="starts from TensorFlow")
def test_trains_on_jax_where_tensorflow_cannot_be_imported(tmp_path, command):
    pytest.importorskip("jax")
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('tensorflow', 'tensorflow_datasets'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Block())\n"
    )
    environment = dict(KERAS_BACKEND="jax", PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    check = subprocess.run(
        [sys.executable, "-c", "import tensorflow"], env={**os.environ, **environment}, capture_output=True
    )
    assert check.returncode != 0
    process = command(tmp_path / "logs", "--epochs", "1", **environment)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    folder = tmp_path / "logs" / "runs" / "run"
    assert json.loads((folder / "hardware.json").read_text())["backend"] == "jax"
    assert (folder / "model.keras").exists() and scalars(folder / "validation")[0]["accuracy"]
