"""A run that takes seconds."""

from nam import train
from nam.config import OWNERS, Config, Execution

SMALL = dict(
    dataset="digits", task="translated", canvas=30, glimpses=2, scales=1, bandwidth=6, hidden=16, samples=2, epochs=3
)
FLAGS = [word for name, value in SMALL.items() for word in ("--" + name, str(value))]


def run(logs, **values):
    execution = Execution(logs=str(logs), name="run", jit="off", **values.pop("execution", {}))
    model = values.get("model", "ram")
    small = {name: value for name, value in SMALL.items() if model in OWNERS.get(name, [model])}
    return train.train(Config(**{**small, **values}), execution)
