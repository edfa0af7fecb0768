"""Sides of a comparison, each in a process of its own, timed in turns."""

import json
import multiprocessing
import os
import statistics
import time
import traceback
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from nam import command
from nam.config import Config

# The recipe of all readings, whatever has become the default since: they are compared with earlier ones.
COPIES = {"samples": 4, "std": 0.22, "first_location": "random", "exploration": "fixed", "batch_size": 128}
# The study's baseline with one copy; the same eight fragments on every canvas.
ONE_COPY = Config(**{**COPIES, "samples": 1}, advantage="learned", distractors=8)
BURST = 0.5  # seconds that one timing takes, about


class Side:
    """A backend of nam (`tensorflow`, `jax`) or the `peer`, in a process of its own that waits while others are timed.

    Attributes:
        name: Of the side.
    """

    def __init__(self, name: str, **environment: str):
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        backend = {} if name == "peer" else {"KERAS_BACKEND": name}
        before = dict(os.environ)
        os.environ.update({"TF_CPP_MIN_LOG_LEVEL": "3", **backend, **environment})
        try:
            self._process = context.Process(target=_serve, args=(other, name), daemon=True)
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)

    def __call__(self, case: str, config: Config, **options) -> Any:
        """What the function `case` of the side's module returns for `config`."""
        self._connection.send((case, config, options))
        failure, value = self._connection.recv()
        if failure:
            raise RuntimeError(f"{self.name}, {case}: {failure}")
        return value

    def close(self) -> None:
        self._connection.send(None)
        self._process.join()


def _serve(connection, name: str) -> None:
    with command.quiet():
        module = import_module("benchmarks.peer" if name == "peer" else "benchmarks.ours")
    while (request := connection.recv()) is not None:
        case, config, options = request
        try:
            connection.send((None, getattr(module, case)(config, **options)))
        except Exception:
            connection.send((traceback.format_exc(), None))


def burst(step: Callable[[], Any]) -> float:
    """Seconds per call of `step`, which returns when its work is done."""
    step()
    started = time.perf_counter()
    step()
    count = max(3, round(BURST / (time.perf_counter() - started)))
    started = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - started) / count


def in_turns(timings: Iterable[tuple[Any, Side, str, Config]], rounds: int) -> dict[Any, list[float]]:
    """Seconds per step of each `(key, side, case, config)`, `rounds` times, always one after the other."""
    timings = list(timings)
    seconds: dict[Any, list[float]] = {key: [] for key, *_ in timings}
    for _ in range(rounds):
        for key, side, case, config in timings:
            seconds[key].append(side(case, config))
    return seconds


def timed_before(json_file: Path | None, machine: dict[str, Any]) -> dict[str, Any]:
    """What the file holds of the same processor, to which more is added; else the machine alone."""
    found = json.loads(json_file.read_text()) if json_file and json_file.exists() else {}
    same = all(found.get("machine", {}).get(name) == machine[name] for name in ("cpu", "cores"))
    return {**(found if same else {}), "machine": machine}


def ratio(numerators: list[float], denominators: list[float]) -> float:
    """Median of the ratios of what was measured side by side."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))
