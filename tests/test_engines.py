"""Runs on a Ray cluster."""

import json
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import psutil
import pytest

from nam import engines
from nam.config import Config, Execution
from nam.errors import UserError
from nam.events import history
from nam.runs import Run
from tests.test_study import TINY

EPOCHS = 20
CODE = f"""
from nam import command, configs, study
from tests.test_study import tiny
fixed = {{"epochs": {EPOCHS}, "optimizer": "sgd", "clip_norm": None, "schedule": "constant", "core": "rnn"}}
configs.studies = lambda: {{"tiny": tiny(vary={{"learning_rate": [0.001, 0.002, 100.0]}}, fixed=fixed)}}
command.run(study.main)
"""


@pytest.fixture
def address():
    """Of a cluster of two nodes, one run each."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    cluster = cluster_utils.Cluster()
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture
def process(start, address, tmp_path):
    """A study on that cluster."""
    words = [sys.executable, "-c", CODE, "tiny", "--logs", str(tmp_path), "--engine", "ray", "--address", address]
    return start(words, stdout=subprocess.PIPE)


def title(process) -> str:
    """What a process calls itself; nothing if it has ended."""
    try:
        return process.cmdline()[0]
    except (psutil.NoSuchProcess, IndexError):
        return ""


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.fault
def test_a_lost_worker_is_replaced_and_its_run_goes_on(tmp_path, process):
    folder = tmp_path / "tiny" / "learning_rate=0.001_frozen_seed=0"
    failed = tmp_path / "tiny" / "learning_rate=100.0_frozen_seed=0"
    wait_for(folder / "state.npz", process)
    (worker,) = (child for child in psutil.Process().children(recursive=True) if title(child) == f"ray::{folder.name}")
    worker.kill()
    out, _ = process.communicate(timeout=500)
    assert process.returncode == 1  # one of them fails, and the rest goes on
    assert "learning_rate=0.002_frozen_seed=0: vote" in out and f"{folder.name}: vote" in out
    result = json.loads((folder / "result.json").read_text())
    assert result["epochs"] == EPOCHS and result["test"] is None and not (folder / "state.npz").exists()
    assert len(history(Run(folder))["loss"]) == EPOCHS  # none twice, none missing
    assert len(list((folder / "train").glob("events*"))) == 2  # it did go on, rather than begin anew
    assert f"{failed.name}: the loss became" in out
    text = (failed / engines.FAILURE).read_text()
    assert "nam/train.py" in text and "the loss became" in text


@pytest.mark.slow
@pytest.mark.fault
def test_a_stopped_study_leaves_no_run_behind(tmp_path, process):
    folder = tmp_path / "tiny" / "learning_rate=0.001_frozen_seed=0"
    wait_for(folder / "state.npz", process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130 and "the same command goes on from there" in out
    with Run(folder).claim():  # nothing trains on
        assert (folder / "state.npz").exists() and not (folder / "result.json").exists()


def test_the_two_threads_of_a_core_go_to_one_worker(monkeypatch):
    monkeypatch.setattr(
        Path, "read_text", lambda path: f"{int(path.parts[-3][3:]) % 2},{int(path.parts[-3][3:]) % 2 + 2}"
    )
    assert sorted(range(4), key=engines._place) == [0, 2, 1, 3]
    monkeypatch.undo()
    assert sorted({5, 4}, key=engines._place) == [4, 5]  # which this machine may not have


def test_a_cluster_that_is_not_there_is_told():
    pytest.importorskip("ray")
    with pytest.raises(UserError, match=r"no Ray cluster answers at auto .*ray start --head"):
        engines.OnRay("auto")


def test_ray_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install -e \"\.\[ray\]\", or use --engine local"):
        engines.OnRay("auto")


class Pretended(types.ModuleType):
    """As much of Ray as `OnRay` asks for; `get` runs the task at once, by `train`."""

    exceptions = types.SimpleNamespace(
        TaskCancelledError=InterruptedError, RayTaskError=RuntimeError, RayError=ConnectionResetError
    )

    def __init__(self, train, gpus=0):
        super().__init__("ray")
        self.train, self.gpus, self.cancelled = train, gpus, []

    def init(self, **options):
        self.variables = options["runtime_env"]["env_vars"]

    def cluster_resources(self):
        return {"CPU": 4, "GPU": self.gpus}

    def remote(self, **resources):
        task = types.SimpleNamespace(remote=self.submit)
        return lambda function: types.SimpleNamespace(options=lambda name: task)

    def submit(self, config, execution):
        self.execution = execution
        return execution["name"]

    def get(self, task):
        return self.train(self.execution)

    def cancel(self, task, recursive):
        self.cancelled.append(task)

    def shutdown(self):
        pass


@pytest.fixture
def pretend(monkeypatch):
    def start(train, **options):
        ray = Pretended(train, **options)
        monkeypatch.setitem(sys.modules, "ray", ray)
        return ray

    return start


def run_on(engine, tmp_path, **values):
    config = Config(**TINY).resolved("digits")
    return engine(config, Execution(study="tiny", name="run", **values)), Run(tmp_path / "logs" / "tiny" / "run")


def test_a_node_is_told_all_that_is_said_here(tmp_path, monkeypatch, pretend):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("TFDS_DATA_DIR", "/data")
    told = {}
    ray = pretend(told.update)
    failure, _ = run_on(engines.OnRay("auto"), tmp_path, data_dir="sets")
    assert (told["logs"], told["data_dir"]) == (str(tmp_path / "logs"), str(tmp_path / "sets"))
    assert ray.variables.items() >= {"KERAS_BACKEND": "jax", "TFDS_DATA_DIR": "/data"}.items()
    assert "must be a folder that all nodes share" in failure  # as nothing was written here


def test_a_failure_on_a_node_is_kept(tmp_path, monkeypatch, pretend):
    monkeypatch.chdir(tmp_path)

    def fail(execution):
        error = RuntimeError("Traceback: all of it")
        error.cause = MemoryError()
        raise error

    pretend(fail)
    failure, run = run_on(engines.OnRay("auto"), tmp_path)
    assert failure.startswith("MemoryError (all it said") and "all of it" in (run.path / engines.FAILURE).read_text()


def test_what_is_handed_over_while_the_study_stops_is_cancelled(tmp_path, monkeypatch, pretend):
    monkeypatch.chdir(tmp_path)
    ray = pretend(lambda execution: None)
    engine = engines.OnRay("auto")
    remote = engine._train.options

    def options(name):
        engine.stop()
        return remote(name)

    engine._train.options = options
    run_on(engine, tmp_path)
    assert ray.cancelled == ["run"]
    assert run_on(engine, tmp_path)[0] == "stopped"  # and nothing else is begun


def test_more_gpus_than_there_are_is_told(pretend):
    pretend(lambda execution: None, gpus=1)
    with pytest.raises(UserError, match=r"the cluster has 1 GPUs: lower --gpus-per-run. Received: 2"):
        engines.OnRay("auto", 2)
