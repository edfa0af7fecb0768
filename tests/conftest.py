import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import filelock
import keras
import numpy as np
import pytest

from nam.models import RecurrentAttention
from tests.small import JIT, run

# Prepared copies of MNIST and Fashion-MNIST: where the variable says, or beside the checkout.
PREPARED = [Path(folder) for folder in (os.environ.get("TFDS_DATA_DIR"), "../shared/tensorflow_datasets") if folder]
PREPARED = [Path(__file__).parents[1] / folder for folder in PREPARED]

# Of these, and of those marked `fault`, every test is a case.
FAULTS = [f"tests/test_{name}.py" for name in ("faults", "security", "endurance", "reproducibility")]

# What a shell starts in the background ignores SIGINT, and hands that on to the processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter):
    """Prints how many cases the tests tried that record them as a property, and how many the tests of faults are."""
    tried = Counter()
    for report in terminalreporter.stats.get("passed", ()):
        cases = dict(report.user_properties).get("cases")
        file = report.nodeid.partition("::")[0]
        if cases or file in FAULTS or "fault" in report.keywords:
            tried[report.nodeid if cases else file] += cases or 1
    if tried:
        terminalreporter.section("cases tried")
        for test, count in tried.items():
            terminalreporter.line(f"{count:>6,}  {test}")
        terminalreporter.line(f"{sum(tried.values()):>6,}  in all")


@pytest.fixture(autouse=True)
def afresh():
    """Every test begins with the same seed, and leaves Keras as a process has it that has trained nothing."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
    keras.distribution.set_distribution(None)


@pytest.fixture
def uncompiled(monkeypatch):
    """Models are evaluated without XLA, for tests that are not about it; JAX is very slow without."""
    monkeypatch.setattr(RecurrentAttention, "faster_with_xla", JIT)


@pytest.fixture
def start():
    """Starts a process in the root of the checkout; it does not outlive the test."""
    processes = []

    def start(words, **how):
        processes.append(subprocess.Popen(words, cwd=Path(__file__).parents[1], text=True, **how))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a small finished run, and its result."""
    logs = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        logs = logs.parent  # of all processes: the first that comes trains it
    with filelock.FileLock(logs / "finished.lock"):
        result = run(logs, execution={"no_pictures": False})
    return logs / "runs" / "run", result


@pytest.fixture(scope="session")
def mnist_dir():
    """Folder with prepared MNIST and Fashion-MNIST."""
    for folder in PREPARED:
        if (folder / "mnist").is_dir():
            return str(folder)
    pytest.skip("no prepared MNIST: set TFDS_DATA_DIR")
