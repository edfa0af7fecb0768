"""What training takes in each run of the study's sweeps: `python -m benchmarks.sweeps`."""

import json
from pathlib import Path

import tyro

from benchmarks.sides import Side, in_turns, timed_before
from nam.configs import choose_studies, studies

SWEEPS = [name for name, study in studies().items() if study.vary]


def main(
    rounds: int = 5,
    only: tuple[str, ...] = tuple(SWEEPS),
    json_file: Path | None = None,
) -> None:
    """Times whole training steps of a sweep's runs in turns and prints a table for each sweep.

    The policy is learned; the data are the bundled digits, as what is drawn does not matter to the time. Without XLA:
    what that compiles takes longer than linearly in the looks, from about ten on.

    Args:
        rounds: How often each is timed; the tables hold the least, as other work only ever adds to a time.
        only: Sweeps to time.
        json_file: Where to write all timings, beside what it holds of the same processor: seconds per image.
    """
    chosen, report = choose_studies(only), {}
    if not all(study.vary for study in chosen.values()):
        raise SystemExit(f"only sweeps are timed: {', '.join(SWEEPS)}")
    for name, study in chosen.items():
        side = Side("tensorflow", BENCHMARK_JIT="off")
        report = report or timed_before(json_file, side("machine", None))
        one = study.model_copy(update={"policies": ("learned",), "seeds": study.seeds[:1]})
        configs = {run: config.resolved("digits") for run, config in one.runs().items()}
        timings = [(run, side, "fit", config) for run, config in configs.items()]
        in_turns(timings, 1)
        seconds = in_turns(timings, rounds)
        side.close()
        report[name] = {run: [time / configs[run].batch_size for time in times] for run, times in seconds.items()}
        print(_table(name, one.labels(), report[name]), flush=True)
        if json_file:
            json_file.write_text(json.dumps(report, indent=1) + "\n")


def _table(name: str, labels, seconds) -> str:
    first = min(next(iter(seconds.values())))
    lines = [f"| {name} | ms per image | relative |", "|---|---|---|"]
    for run, times in seconds.items():
        lines.append(f"| {labels[run]} | {1e3 * min(times):.3f} | {min(times) / first:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    tyro.cli(main)
