"""A training step's cost against canvas, looks, scales, bandwidth, std and batch: `python -m benchmarks.scaling`."""

import json
import statistics
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from benchmarks.sides import ONE_COPY, Side, in_turns, ratio
from nam.config import Config, named_configs

SERIES = {  # one field changed at a time
    "canvas": (60, 100, 200, 400, 800, 1600),
    "glimpses": (2, 5, 8, 11, 14, 17, 20),
    "scales": (1, 2, 4, 6, 8),
    "bandwidth": (4, 8, 12, 16, 24),
    "std": (0.05, 0.1, 0.22, 0.4, 0.6, 1.2),
    "batch_size": (16, 32, 64, 128, 256),
    "optimizer": ("adagrad", "adam", "adadelta", "rmsprop"),
}
STARTS = {
    "baseline": ONE_COPY,
    "published": Config(**{**named_configs()["published"], "policy": "learned", "samples": 1, "dataset": None}),
}


def main(
    rounds: int = 5,
    backend: Literal["tensorflow", "jax"] = "tensorflow",
    config: Literal["baseline", "published"] = "baseline",
    only: tuple[Literal["canvas", "glimpses", "scales", "bandwidth", "std", "batch_size", "optimizer"], ...] = tuple(
        SERIES
    ),
    json_file: Path | None = None,
) -> None:
    """Times whole training steps in turns and prints a table for each field.

    Args:
        rounds: How often each value is timed; the tables hold medians.
        backend: Keras backend.
        config: What a field is changed of, with one copy: the study's baseline as nam builds it, or as published
            (linear scales, noise outside the image).
        only: Fields to vary.
        json_file: Where to write all timings.
    """
    report = {}
    for field in only:
        side = Side(backend)
        report.setdefault("machine", side("machine", None))
        configs = {value: _config(config, field, value) for value in SERIES[field]}
        timings = [((value, case), side, case, one) for value, one in configs.items() for case in ("fit", "step")]
        in_turns(timings, 1)
        seconds = in_turns(timings, rounds)
        side.close()
        report[field] = {f"{value}: {case}": times for (value, case), times in seconds.items()}
        print(_table(field, seconds, getattr(STARTS[config], field)), flush=True)
    if json_file:
        json_file.write_text(json.dumps(report, indent=1) + "\n")


def _config(start: str, field: str, value) -> Config:
    """The config with `value`; its scales stay linear or doubling, as they are."""
    factors = {"scale_factors": tuple(range(1, value + 1))} if (start, field) == ("published", "scales") else {}
    return STARTS[start].model_copy(update={field: value, **factors}).resolved("digits")


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
