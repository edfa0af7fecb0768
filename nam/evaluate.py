"""Evaluates a finished run: `python -m nam.evaluate logs/runs/NAME`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from nam import command
from nam.config import Config, Execution, Values

DESCRIPTION = "Measures the best model of a run: its accuracies on one split, and what a look at an image costs."
VOTES = 10  # sampled gazes of a vote, as in the published study


class Options(Values):
    run: str = Field(description="folder of the run, as logs/runs/NAME")
    split: Literal["test", "validation"] = Field("test", description="images to evaluate on")
    votes: int = Field(VOTES, ge=1, le=1000, description="sampled gazes of the vote")
    data_dir: str | None = Execution.model_fields["data_dir"]


def line(split: str, shares: dict[str, float]) -> str:
    """The accuracies on one split, as `result.json` holds them, in one line."""
    return (
        f"{split:<10}  deterministic {shares['deterministic']:.2%}   one sampled gaze {shares['sampled']:.2%}   "
        f"vote of {shares['votes']} gazes {shares['vote']:.2%}"
    )


def main(argv: Sequence[str]) -> None:
    options = command.options(Options, argv, "python -m nam.evaluate", DESCRIPTION)
    with command.quiet():
        from nam import data, machine, models
        from nam.accuracy import Evaluator
        from nam.runs import MODEL, Run

    machine.keep_memory()
    run = Run.open(Path(options.run))
    config = Config(**run.read("config.json"))
    model = models.load(run.path / MODEL)
    splits = data.load(config, options.data_dir)
    found = Evaluator(model, options.votes)(getattr(splits, options.split))
    print(line(options.split, found.shares()))
    print(f"cost        {model.cost(splits.spec.height, splits.spec.width)}")


if __name__ == "__main__":
    command.run(main)
