import os
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.small import run

# Prepared copies of MNIST and Fashion-MNIST: where the variable says, or beside the checkout.
PREPARED = [Path(folder) for folder in (os.environ.get("TFDS_DATA_DIR"), "../shared/tensorflow_datasets") if folder]
PREPARED = [Path(__file__).parents[1] / folder for folder in PREPARED]


def pytest_terminal_summary(terminalreporter):
    """Prints how many cases the tests tried that record them as a property."""
    tried = {
        report.nodeid: count
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, count in getattr(report, "user_properties", ())
        if name == "cases"
    }
    if tried:
        terminalreporter.section("cases tried")
        for test, count in tried.items():
            terminalreporter.line(f"{count:>6,}  {test}")
        terminalreporter.line(f"{sum(tried.values()):>6,}  in all")


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a small finished run, and its result."""
    logs = tmp_path_factory.mktemp("logs")
    result = run(logs)
    return logs / "runs" / "run", result


@pytest.fixture(scope="session")
def mnist_dir():
    """Folder with prepared MNIST and Fashion-MNIST."""
    for folder in PREPARED:
        if (folder / "mnist").is_dir():
            return str(folder)
    pytest.skip("no prepared MNIST: set TFDS_DATA_DIR")
