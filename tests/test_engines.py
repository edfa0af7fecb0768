"""Runs on a Ray cluster."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from nam import engines
from nam.errors import UserError
from nam.events import history
from nam.runs import Run

EPOCHS = 20
CODE = f"""
from nam import command, config, study
from tests.test_study import tiny
fixed = {{"epochs": {EPOCHS}, "optimizer": "sgd", "clip_norm": None, "schedule": "constant", "core": "rnn"}}
config.studies = lambda: {{"tiny": tiny(vary={{"learning_rate": [0.001, 0.002, 100.0]}}, fixed=fixed)}}
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


def start(address, logs):
    words = [sys.executable, "-c", CODE, "tiny", "--logs", str(logs), "--engine", "ray", "--address", address]
    return subprocess.Popen(words, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True)


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.05)


@pytest.mark.slow
def test_a_lost_worker_is_replaced_and_its_run_goes_on(tmp_path, address):
    folder = tmp_path / "tiny" / "learning_rate=0.001_frozen_seed=0"
    failed = tmp_path / "tiny" / "learning_rate=100.0_frozen_seed=0"
    process = start(address, tmp_path)
    wait_for(folder / "state.npz", process)
    (worker,) = (
        child for child in psutil.Process().children(recursive=True) if child.cmdline()[:1] == [f"ray::{folder.name}"]
    )
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
def test_a_stopped_study_leaves_no_run_behind(tmp_path, address):
    folder = tmp_path / "tiny" / "learning_rate=0.001_frozen_seed=0"
    process = start(address, tmp_path)
    wait_for(folder / "state.npz", process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130 and "the same command goes on from there" in out
    with Run(folder).claim():  # nothing trains on
        assert (folder / "state.npz").exists() and not (folder / "result.json").exists()


def test_a_cluster_that_is_not_there_is_told():
    pytest.importorskip("ray")
    with pytest.raises(UserError, match=r"no Ray cluster answers at auto .*ray start --head"):
        engines.OnRay("auto")


def test_ray_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install \"nam\[ray\]\", or use --engine local"):
        engines.OnRay("auto")
