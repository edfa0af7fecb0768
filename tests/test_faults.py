"""Faults that really happen: nothing is lost beyond the running epoch, and what was wrong is told."""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nam import callbacks, study
from nam.errors import UserError
from nam.models import load
from nam.runs import MODEL, STATE, Run
from tests.killed import MOMENTS
from tests.small import FLAGS, run

ROOT = Path(__file__).parents[1]
RANDOM = [f"{random.Random(i).random():.3f}" for i in range(14)]  # shares of a run's time
OF_A_RUN = [*MOMENTS][:-1]
QUICK = ("in an epoch", "while the state is saved", "while the result is written")


def killed(moment, module, *words):
    return subprocess.run(
        [sys.executable, "-m", "tests.killed", str(moment), module, *map(str, words)],
        cwd=ROOT, capture_output=True, text=True, timeout=500,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing happened to, its result, and how long it took from the start of its training."""
    logs, begun, begin = tmp_path_factory.mktemp("whole"), [], callbacks.Epochs.on_train_begin

    def on_train_begin(self, logs=None):
        begun.append(time.monotonic())
        begin(self, logs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks.Epochs, "on_train_begin", on_train_begin)
        result = run(logs)
    return logs / "runs" / "run", result, time.monotonic() - begun[0]


def curves(folder):
    found = {}
    for group in ("", "train", "validation"):
        accumulator = EventAccumulator(str(folder / group)).Reload()
        for tag in {*accumulator.Tags()["scalars"]} - {"seconds", "images_per_second"}:
            found[group, tag] = [(event.step, event.value) for event in accumulator.Scalars(tag)]
    return found


@pytest.mark.parametrize(
    "moment",
    [moment if moment in QUICK else pytest.param(moment, marks=pytest.mark.slow) for moment in OF_A_RUN + RANDOM],
)
def test_a_run_killed_at_any_moment_ends_as_if_whole(tmp_path, whole, moment):
    folder, result, seconds = whole
    at = moment if moment in MOMENTS else float(moment) * seconds
    words = [*FLAGS, "--logs", tmp_path, "--name", "run", "--jit", "off", "--no-pictures"]
    found, ended = killed(at, "nam.train", *words), tmp_path / "runs" / "run" / "result.json"
    while moment in RANDOM and ended.exists():  # a machine that hurries now
        shutil.rmtree(tmp_path / "runs")
        at *= 0.7
        found = killed(at, "nam.train", *words)
    assert found.returncode == -9, found.stderr
    again = run(tmp_path)
    same = [name for name in result if name not in ("seconds", "images_per_second")]
    assert {name: again[name] for name in same} == {name: result[name] for name in same}
    mended = tmp_path / "runs" / "run"
    assert {p.name for p in mended.iterdir() if "tfevents" not in p.name} == {
        p.name for p in folder.iterdir() if "tfevents" not in p.name
    }
    assert curves(mended) == curves(folder) and len(curves(folder)) > 10
    for ours, theirs in zip(load(mended / MODEL).get_weights(), load(folder / MODEL).get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_study_killed_between_two_runs_goes_on_with_the_next(tmp_path, mnist_dir):
    words = ["baseline", "--epochs", "1", "--seeds", "1", "--logs", tmp_path, "--data-dir", mnist_dir]
    found = killed("between two runs of a study", "nam.study", *words)
    assert found.returncode == -9, found.stderr
    (first,) = tmp_path.glob("*/*/result.json")
    before = first.read_bytes(), first.stat().st_mtime_ns
    assert study.main([str(word) for word in words]) == 0
    assert len(list(tmp_path.glob("*/*/result.json"))) == 2
    assert (first.read_bytes(), first.stat().st_mtime_ns) == before


# Bytes that are left, for some of the model, or for the model and some of the state.
@pytest.mark.parametrize(("spare", "begun"), [(2**14, [MODEL]), (2**17, [MODEL, STATE])])
def test_a_full_disk_is_told_and_loses_nothing(tmp_path, spare, begun):
    if os.getuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only the superuser can mount a small disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.decode().strip()}")
    try:
        fields = dict(epochs=3)
        folder, kept, ballast = tmp_path / "runs" / "run", callbacks.Resume.on_epoch_end, tmp_path / "ballast"
        written, replacing = [], callbacks.replacing

        def fills(self, epoch, logs=None):
            kept(self, epoch, logs)
            if not epoch:
                with pytest.raises(OSError), ballast.open("wb", buffering=0) as file:
                    while True:
                        file.write(b"0" * 256)
                os.truncate(ballast, ballast.stat().st_size - spare)
                self.history[0][self.monitor] = -1  # so that the next epoch is the best
                written.clear()

        def told(path):
            written.append(path.name)
            return replacing(path)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(callbacks.Resume, "on_epoch_end", fills)
            patch.setattr(callbacks, "replacing", told)
            with pytest.raises(UserError, match="No space left on device.*make room.*goes on from the last epoch"):
                run(tmp_path, **fields)
        assert written == begun
        with np.load(folder / STATE, allow_pickle=False) as state:
            assert str(state["meta"]).count("val_loss") == 1
        assert load(folder / MODEL) and not list(folder.glob(".partial-*"))
        ballast.unlink()
        assert run(tmp_path, **fields)["epochs"] == 3
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_folder_removed_while_its_run_is_trained_is_told(tmp_path, monkeypatch):
    begin = callbacks.Epochs.on_epoch_begin

    def removes(self, epoch, logs=None):
        begin(self, epoch, logs)
        if epoch:
            shutil.rmtree(tmp_path / "runs")

    monkeypatch.setattr(callbacks.Epochs, "on_epoch_begin", removes)
    with pytest.raises(UserError, match="was removed while its run was trained: the same command begins anew"):
        run(tmp_path)


def test_a_weight_that_the_loss_does_not_see_become_nan_is_not_kept(tmp_path, monkeypatch):
    recorded = callbacks.Record.on_epoch_end

    def poisons(self, epoch, logs=None):
        recorded(self, epoch, logs)
        if epoch:
            self.model.location_network.mean.bias.assign(np.full(2, np.nan))

    with monkeypatch.context() as patch, pytest.raises(UserError, match="a weight is no number after epoch 2"):
        patch.setattr(callbacks.Record, "on_epoch_end", poisons)
        run(tmp_path)
    assert run(tmp_path)["epochs"] == 3


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX holds the weights while an epoch lasts")
def test_a_weight_that_becomes_nan_stops_the_run_and_the_state_before_it_stays(tmp_path, monkeypatch):
    ended = callbacks.Epochs.on_train_batch_end

    def poisons(self, batch, logs=None):
        ended(self, batch, logs)
        if (self.epoch, batch) == (1, 7):
            self.model.action_network.bias.assign(np.full(10, np.nan))

    with monkeypatch.context() as patch, pytest.raises(UserError, match=r"the loss became nan in epoch 2"):
        patch.setattr(callbacks.Epochs, "on_train_batch_end", poisons)
        run(tmp_path)
    with np.load(tmp_path / "runs" / "run" / STATE, allow_pickle=False) as state:
        assert all(np.isfinite(state[name]).all() for name in state.files if name != "meta")
    assert run(tmp_path)["epochs"] == 3
    assert Run(tmp_path / "runs" / "run").read("result.json")
