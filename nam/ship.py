"""Adds a trained model to those that nam brings along: `python -m nam.ship cluttered-60 logs/runs/RUN...`."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pydantic import Field

from nam import command, weights
from nam.config import OWNERS, Values
from nam.errors import UserError
from nam.results import KINDS
from nam.runs import MODEL, Run

DESCRIPTION = (
    "Adds the best of several runs, alike but for their seeds, to the models that nam brings along: the one whose "
    "deterministic gaze is best on validation, with a card of what the runs recorded."
)
CARD = """\
# {name}

A `{model}` of {parameters:,} parameters; `python -m nam.predict {name} photo.png` looks with it.

| | |
|:--|:--|
| data | {dataset}, task `{task}` on {side}×{side} pixels; {train:,} training images an epoch |
| command | `{command}` |
| training | {epochs} epochs, {minutes:.0f} minutes a seed: {machine} |
| shipped | seed {seed}, the best on validation, after epoch {best_epoch} |

Accuracy on {test:,} test images, asked once a seed; every seed with the weights of the epoch that was the best on
{validation:,} images of validation, which are of other digits for each seed:

{accuracies}

## Recipe

{recipe}.

## Limits

- One of ten digits is its answer whatever it sees, and how sure it is was not calibrated.
- It knows what its task draws of its data; what it makes of photographs was not measured.
- An image of another size is brought to {side}×{side} pixels: shrunk, or put in the middle of black.
"""


class Options(Values):
    name: str = Field(description="what to call the model, as cluttered-60")
    runs: command.RunNames = Field(description="folders of finished runs, alike but for their seeds")


def card(name: str, runs: Sequence[Run]) -> tuple[str, Run]:
    """The card of finished runs, in Markdown, and the run whose model is the best.

    Raises:
        UserError: If they differ in more than their seeds, or one is not finished or was not tested.
    """
    configs, results = [run.config() for run in runs], [run.read("result.json") for run in runs]
    for run, config, result in zip(runs, configs, results, strict=True):
        if config.model_copy(update={"seed": configs[0].seed}) != configs[0]:
            raise UserError(f"{run.path} and {runs[0].path} differ in more than their seeds: name runs that do not.")
        if not (result or {}).get("test"):
            raise UserError(f"{run.path} was not tested: give its command again without --no-test.")
        if result["dataset"]["classes"] != [str(i) for i in range(10)]:
            raise UserError(f"{run.path} knows other classes than digits, whose names would be lost: ship another run.")
    seeds = [config.seed for config in configs]
    if len({*seeds}) < len(seeds):
        raise UserError("two runs have the same seed: name each seed once.")
    shares = pd.DataFrame([result["test"] for result in results], index=[f"seed {seed}" for seed in seeds])
    shares = shares.reindex(columns=list(KINDS)).dropna(axis="columns").rename(columns=KINDS)
    best = max(range(len(runs)), key=lambda i: results[i]["validation"]["deterministic"])
    config, result, machine = configs[best], results[best], runs[best].read("hardware.json") or {}
    gpu, precision = machine.get("gpu"), ["--mixed-precision"] * bool(machine.get("mixed_precision"))
    gpu = gpu["name"] if isinstance(gpu, dict) else gpu
    libraries = ", ".join(f"{name} {machine[name]}" for name in ("keras", machine.get("backend")) if name in machine)
    told = shares.map("{:.2%}".format)
    if len(runs) > 1:
        told.loc["mean ± deviation"] = [f"{s.mean():.2%} ± {100 * s.std():.2f}" for _, s in shares.items()]
    cores = machine.get("cores", 1)
    recipe = (f"{name} {value}" for name, value in config if config.model in OWNERS.get(name, (config.model,)))
    values = {
        **config.model_dump(),
        **result,
        **result["dataset"],
        "name": name,
        "dataset": config.dataset,
        "side": config.canvas,
        "command": shlex.join(["python", "-m", "nam.train", *command.flags(config), *precision]),
        "minutes": sum(result["seconds"]["total"] for result in results) / len(results) / 60,
        "recipe": ", ".join(recipe),
        "machine": f"{cores} core{'s' * (cores > 1)} of {machine.get('cpu')}, GPU {gpu}; {libraries}",
        "accuracies": told.to_markdown(),
    }
    return CARD.format(**values), runs[best]


def main(argv: Sequence[str]) -> None:
    options = command.options(Options, argv, "python -m nam.ship", DESCRIPTION)
    text, best = card(options.name, [Run.open(Path(run)) for run in options.runs])
    print(weights.add(options.name, best.path / MODEL, text))


if __name__ == "__main__":
    command.run(main)
