"""A run that takes seconds."""

import keras

from nam import train
from nam.config import OWNERS, Config, Execution

SMALL = dict(
    dataset="digits", task="translated", canvas=30, glimpses=2, scales=1, bandwidth=6, hidden=16, samples=2, epochs=3
)
JIT = keras.backend.backend() == "jax"  # which is very slow without
FLAGS = [word for name, value in SMALL.items() for word in ("--" + name, str(value))]


# What a finished run's `result.json` says beside its accuracies.
RESULT = {
    "epochs": 1, "best_epoch": 1, "seconds": {"total": 60.0, "per_epoch": 4.0}, "images_per_second": 1.0,
    "parameters": 1000,
    "cost": {"parameters": 1000, "multiply_adds": 2000, "pixels_read": 3000, "pixels_touched": 4000},
    "dataset": {"name": "mnist", "task": "x", "train": 54_000, "validation": 6000, "test": 10_000, "classes": []},
}  # fmt: skip


def run(logs, **values):
    usual = {"logs": str(logs), "name": "run", "jit": "off", "no_pictures": True}
    execution = Execution(**{**usual, **values.pop("execution", {})})
    model = values.get("model", "ram")
    small = {name: value for name, value in SMALL.items() if model in OWNERS.get(name, [model])}
    return train.train(Config(**{**small, **values}), execution)
