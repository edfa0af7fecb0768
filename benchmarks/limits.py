"""What a user waits for and what must fit: the first step, one image, memory: `python -m benchmarks.limits`."""

import json
import statistics
from pathlib import Path
from typing import Literal

import tyro

from benchmarks.sides import COPIES, ONE_COPY, Side
from nam.config import Config

MEMORY = {
    "60,000 images of 100×100, drawn in `fit`": ("memory_of_run", ONE_COPY),
    "60,000 images of 100×100, an array given to `fit`": ("memory_of_array", ONE_COPY),
    "canvas 800, batch 128": ("memory_of_run", ONE_COPY.model_copy(update={"canvas": 800})),
}


def main(rounds: int = 3, backend: Literal["tensorflow", "jax"] = "tensorflow", json_file: Path | None = None) -> None:
    """Measures in fresh processes and prints a table.

    Args:
        rounds: How often times are measured; the table holds medians.
        backend: Keras backend.
        json_file: Where to write what was measured.
    """
    found: dict[str, list[float]] = {}
    for name, config in [(f"{looks} looks", Config(**COPIES, glimpses=looks)) for looks in (4, 8, 20)]:
        times = []
        for _ in range(rounds):
            side = Side(backend)
            times.append(side("first_step", config.resolved("digits")))
            side.close()
        found[f"first training step, {name}: tracing and compiling, s"] = times
    side = Side(backend)
    config = Config(**{**COPIES, "batch_size": 1}).resolved("digits")
    times = [side("inference", config) for _ in range(rounds + 1)][1:]
    found["`predict_on_batch` of one image, default model, ms"] = [1e3 * time for time in times]
    card = side("machine", None)
    side.close()
    for name, (case, config) in MEMORY.items():
        side = Side(backend)
        found[f"peak memory, {name}, GiB"] = [side(case, config.resolved("digits"))]
        side.close()
    print("| | |\n|---|---|")
    for name, values in found.items():
        print(f"| {name} | {statistics.median(values):.2f} |")
    if json_file:
        json_file.write_text(json.dumps({"machine": card, "readings": found}, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
