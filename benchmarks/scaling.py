"""A training step's cost against canvas, looks, scales, bandwidth, std and batch: `python -m benchmarks.scaling`."""

import json
import statistics
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from benchmarks.sides import ONE_COPY, Side, in_turns, ratio

SERIES = {  # one field changed at a time
    "canvas": (60, 100, 200, 400, 800, 1600),
    "glimpses": (2, 5, 8, 11, 14, 17, 20),
    "scales": (1, 2, 4, 6, 8),
    "bandwidth": (4, 8, 12, 16, 24),
    "std": (0.05, 0.1, 0.22, 0.4, 0.6, 1.2),
    "batch_size": (16, 32, 64, 128, 256),
}


def main(
    rounds: int = 5,
    backend: Literal["tensorflow", "jax"] = "tensorflow",
    only: tuple[Literal["canvas", "glimpses", "scales", "bandwidth", "std", "batch_size"], ...] = tuple(SERIES),
    json_file: Path | None = None,
) -> None:
    """Times whole training steps of the study's baseline, as nam builds it, with one copy, in turns.

    Prints a table for each field that is changed.

    Args:
        rounds: How often each value is timed; the tables hold medians.
        backend: Keras backend.
        only: Fields to vary.
        json_file: Where to write all timings.
    """
    report = {}
    for field in only:
        side = Side(backend)
        report.setdefault("machine", side("machine", None))
        configs = {value: ONE_COPY.model_copy(update={field: value}).resolved("digits") for value in SERIES[field]}
        timings = [((value, case), side, case, one) for value, one in configs.items() for case in ("fit", "step")]
        in_turns(timings, 1)
        seconds = in_turns(timings, rounds)
        side.close()
        report[field] = {f"{value}: {case}": times for (value, case), times in seconds.items()}
        print(_table(field, seconds, getattr(ONE_COPY, field)), flush=True)
    if json_file:
        json_file.write_text(json.dumps(report, indent=1) + "\n")


def _table(field: str, seconds, reference) -> str:
    values = SERIES[field]
    reference = reference if reference in values else values[0]
    lines = [f"| {field} | " + " | ".join(str(value) for value in values) + " |", "|---" * (len(values) + 1) + "|"]
    for case, title in (("fit", "whole step"), ("step", "images drawn before")):
        cells = [f"{1e3 * statistics.median(seconds[value, case]):.1f}" for value in values]
        lines.append(f"| {title}, ms | " + " | ".join(cells) + " |")
        cells = [f"{ratio(seconds[value, case], seconds[reference, case]):.2f}" for value in values]
        lines.append(f"| … relative to {reference} | " + " | ".join(cells) + " |")
    if field == "glimpses":
        times = [statistics.median(seconds[value, "fit"]) for value in values]
        slope, base = np.polyfit(values, times, 1, w=1 / np.array(times))  # the smallest relative distances
        worst = max(abs((base + slope * value) / time - 1) for value, time in zip(values, times, strict=True))
        lines.append(f"\n{1e3 * base:.1f} ms + {1e3 * slope:.2f} ms per look, never off by more than {worst:.1%}.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    tyro.cli(main)
