"""That the whole learns, on real digits: minutes each, so marked slow."""

import re
from pathlib import Path

import keras
import pytest

from nam import train
from nam.config import Config, Execution


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_default_recipe_learns_translated_mnist_and_beats_a_frozen_gaze(mnist_dir, tmp_path):
    results = {
        policy: train.train(
            Config(dataset="mnist", task="translated", canvas=60, policy=policy, epochs=2),
            Execution(logs=str(tmp_path), data_dir=mnist_dir),
        )["test"]
        for policy in ("learned", "frozen")
    }
    assert results["learned"]["deterministic"] > 0.88
    # A frozen gaze was trained sampled, so it is compared sampled.
    assert results["learned"]["sampled"] > results["frozen"]["sampled"] + 0.02
    assert results["learned"]["vote"] > results["frozen"]["vote"]


@pytest.mark.slow
def test_the_example_of_the_readme_runs(rng, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), re.DOTALL)
    digits = rng.integers(0, 256, (256, 28, 28)).astype("uint8"), rng.integers(0, 10, 256).astype("uint8")
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: (digits, digits))
    told = {}
    exec(code, told)
    assert told["outputs"]["logits"].shape == (256, 10) and told["outputs"]["locations"].shape == (256, 6, 2)
