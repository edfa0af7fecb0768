"""What one image costs each model of the comparisons: `python -m benchmarks.models`."""

import json
from pathlib import Path
from typing import Literal

import tyro

from benchmarks.sides import Side, in_turns, timed_before
from nam.configs import studies

COMPARISONS = [name for name, study in studies().items() if study.rows and study.test]  # not the search
BATCHES = (1, 32)  # of 128, self-attention on 200×200 takes 24 GB
MOST = 1e11  # multiply-adds of a batch that is timed: self-attention on 400×400 would take 50 GB for 32 images


def main(
    rounds: int = 5,
    backend: Literal["tensorflow", "jax"] = "tensorflow",
    only: tuple[str, ...] = tuple(COMPARISONS),
    json_file: Path | None = None,
) -> None:
    """Times how long models take to classify images, in turns, and prints a table for each comparison.

    Images are drawn before; all that a model makes of them counts, the preparation for its looks too.

    Args:
        rounds: How often each is timed; the tables hold the least, as other work only ever adds to a time.
        backend: Keras backend.
        only: Comparisons to time.
        json_file: Where to write all costs and timings, beside what it holds of the same processor: seconds per image.
    """
    report = {}
    for name in only:
        side = Side(backend)
        report = report or timed_before(json_file, side("machine", None))
        runs = studies()[name].runs(untrained=True)
        # Speed does not depend on what the digits are.
        configs = {
            (run, batch): config.model_copy(update={"batch_size": batch, "train_size": None}).resolved("digits")
            for run, config in runs.items()
            for batch in BATCHES
        }
        costs = {run: side("cost", configs[run, 1]) for run in runs}
        fits = {key: config for key, config in configs.items() if key[1] * costs[key[0]]["multiply_adds"] < MOST}
        timings = [(key, side, "inference", config) for key, config in fits.items()]
        in_turns(timings, 1)
        seconds = in_turns(timings, rounds)
        report[name] = {
            run: {
                **{str(b): [time / b for time in seconds[run, b]] for b in BATCHES if (run, b) in seconds},
                "cost": costs[run],
            }
            for run in runs
        }
        side.close()
        print(_table(name, report[name]), flush=True)
        if json_file:
            json_file.write_text(json.dumps(report, indent=1) + "\n")


def _table(name: str, seconds) -> str:
    labels = studies()[name].labels()
    lines = [f"| {name}, ms per image | alone | in batches of {BATCHES[-1]} |", "|---|---|---|"]
    for run, times in seconds.items():
        told = (f"{1e3 * min(times[str(n)]):.3g}" if str(n) in times else "too large" for n in BATCHES)
        lines.append(f"| {labels[run]} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    tyro.cli(main)
