"""What the study published: the tables of its paper and the logs of its runs, by the config that they belong to."""

import functools
import json
from importlib import resources
from typing import Any, NamedTuple

from nam.config import Config
from nam.configs import load_config

# Fields in which the published logs differ, and those that do not count in finding what was published of a config.
LOGGED = {"glimpses", "scales", "scale_factors", "bandwidth", "batch_size"}
ELSEWHERE = {"policy", "samples", "epochs", "seed", "learning_rate", "learning_rate_min"}


class Published(NamedTuple):
    """What was published of one config, each `None` where it was not: all of a frozen policy, with 10 copies."""

    epochs: int  # of the run, or of the run that a table tells of
    vote: float | None  # test accuracy of 10 sampled gazes at the end, or what a table calls accuracy
    sampled: float | None  # training accuracy of one sampled gaze, in the last epoch
    seconds_per_epoch: float | None
    curve: tuple[float, ...]  # vote of 10 on validation, epoch by epoch


@functools.cache
def everything() -> dict[str, Any]:
    """The tables and logs as they are in `published.json`, with their sources."""
    return json.loads(resources.files("nam").joinpath("published.json").read_text())


@functools.cache
def base() -> Config:
    """The config `published`, with which the study's sweeps begin."""
    return load_config("published")


def find(config: Config) -> Published | None:
    """The longest published run of this config (whatever its policy, copies, epochs and seed), or `None`.

    A row of the paper's table of optimizers stands for its optimizer at any learning rate: but for Adam, its code began
    with another one than the paper names.
    """
    changed = _changed(config)
    if changed <= LOGGED:
        if config.scale_factors != tuple(range(1, config.scales + 1)):
            return None
        fields = LOGGED - {"scale_factors"}
        runs = [run for run in everything()["runs"] if all(run[name] == getattr(config, name) for name in fields)]
        if not runs:
            return None
        longest = max(runs, key=lambda run: run["epochs"])
        timed = [run["seconds_per_epoch"] for run in (longest, *runs) if run["seconds_per_epoch"]]
        curve = tuple(longest["validation_vote"])
        seconds = timed[0] if timed else _row("scales", config).get("seconds_per_epoch")
        return Published(longest["epochs"], longest["test_vote"], longest["train_sampled"], seconds, curve)
    if len(changed) == 1 and (row := _row(*changed, config)):
        epochs = base().epochs
        return Published(epochs, row["accuracy"], None, 60 * row["minutes"] / epochs, ())
    return None


def times(field: str) -> dict[Any, float]:
    """Logged seconds per epoch by the value of one of `LOGGED`, all else being as in the config `published`."""
    same = {name: getattr(base(), name) for name in LOGGED - {field, "scale_factors"}}
    runs = [run for run in everything()["runs"] if run["seconds_per_epoch"] and same.items() <= run.items()]
    # The longest of several runs, which is the best timed, comes last.
    return {run[field]: run["seconds_per_epoch"] for run in sorted(runs, key=lambda run: run["epochs"])}


def compared(study: str, label: str) -> list[dict[str, Any]]:
    """What was published of a row of a comparison: `by` whom, the test `accuracy`; its best `epoch`, `parameters`."""
    return everything()["comparisons"].get(study, {}).get(label, [])


def elsewhere(study: str) -> list[dict[str, Any]]:
    """What was published of systems and tasks that nam has not: `system`, `task`, `accuracy`, `millions` of weights."""
    return everything()["elsewhere"].get(study, [])


def is_baseline(config: Config) -> bool:
    """Whether the config is the published one, whatever its policy, copies, epochs and seed."""
    return not _changed(config) and config.learning_rate == base().learning_rate


def _changed(config: Config) -> set[str]:
    return {name for name, value in config if value != getattr(base(), name)} - ELSEWHERE


def _row(name: str, config: Config) -> dict[str, Any]:
    """The row of the paper's table of a field, empty if there is none."""
    rows = everything()["tables"].get(name, ())
    return next((row for row in rows if row[name] == getattr(config, name)), {})
