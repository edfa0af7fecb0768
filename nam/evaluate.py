"""Evaluates a finished run: `python -m nam.evaluate logs/runs/NAME`."""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from nam import command, scorecard, transfer
from nam.config import VOTES, Execution, Task, Values
from nam.errors import UserError
from nam.files import replacing
from nam.scorecard import table, warnings

DESCRIPTION = (
    "Measures the best model of a run: its accuracies of every kind and after every look, what its gaze is worth, "
    "where it looks, and what a look costs. Prints a table and leaves evaluation.json in the run's folder. With a "
    "task, canvases, distractors or digit sizes: its accuracy on such images instead, in transfer.json."
)


class Options(Values):
    runs: command.RunNames = Field(
        description="folder of the run, as logs/runs/NAME; of numbers also several, which are then asked together"
    )
    split: Literal["test", "validation", "train"] = Field(
        "test", description="images to evaluate on; train: those of training, a task's digits at other places"
    )
    votes: int = Field(VOTES, ge=1, le=100, description="sampled gazes of the vote")
    seeds: int = Field(
        5, ge=1, le=1000, description="how often gazes are sampled anew; accuracies have intervals over these seeds"
    )
    exit_confidence: float | None = Field(
        None,
        gt=0,
        le=1,
        description="also measure gazes that end once a class is more probable than this; a few are measured anyway "
        "(choose on --split validation)",
    )
    task: Task | None = Field(
        None, description="measure the accuracy on images of this task instead, beside those that it was trained on"
    )
    canvas: tuple[int, ...] | None = Field(None, description="the same for canvases of these sides, pixels")
    distractors: tuple[int, ...] | None = Field(None, description="the same for so many fragments of other digits")
    digit_size: tuple[int, ...] | None = Field(None, description="the same for digits of these sizes, pixels")
    plots: bool = Field(False, description="save pictures under the run's folder, and show them in TensorBoard")
    data_dir: str | None = Execution.model_fields["data_dir"]


GAZES = ("votes", "seeds", "exit_confidence")
ELSEWHERE = ("task", "canvas", "distractors", "digit_size")
ALONE = "one run, on such images as it was trained on"


def main(argv: Sequence[str]) -> None:
    options = command.options(Options, argv, "python -m nam.evaluate", DESCRIPTION)
    with command.quiet():
        from nam import data, evaluation, events, machine, models, pictures, plots
        from nam.runs import MODEL, Run

    machine.keep_memory()
    run = Run.open(Path(options.runs[0]))
    if len(options.runs) > 1:
        _refuse(options, *GAZES, *ELSEWHERE, "plots", belongs=ALONE)
        found = evaluation.together([Path(name) for name in options.runs], options.split, options.data_dir)
        print(scorecard.together(found))
        with _keeping(run):
            run.write("together.json", found)
        return
    card = run.read("hardware.json") or {}
    if "changes" in card:
        print(f"the run was trained with changing software: {card['changes']}", file=sys.stderr)
    if card and (changes := machine.other_versions(card, machine.card())):
        print(f"the run was trained with other software: {changes}", file=sys.stderr)
    elsewhere = {name: getattr(options, name) for name in ELSEWHERE}
    moves = any(value is not None for value in elsewhere.values())
    if moves:
        _refuse(options, "seeds", "exit_confidence", "plots", belongs=ALONE)
    config = run.config()
    model = models.load(run.path / MODEL)
    if not model.samples_gazes or model.targets > 1:
        _refuse(options, *GAZES, belongs="models that sample their gazes and read one thing")
    splits = data.load(config, options.data_dir)
    run.check_data(splits.told())
    if moves:
        moved = transfer.shifts(config, **elsewhere)
        found = transfer.measure(model, moved, options.split, options.votes, options.data_dir)
        print(transfer.table(found))
        with _keeping(run):
            run.write("transfer.json", {**(run.read("transfer.json") or {}), options.split: found})
        return
    model.compile(jit_compile=model.faster_with_xla)  # as fast as it can be: its time is told
    split, classes = splits.to_ask(options.split), splits.spec.classes
    found = {
        "split": options.split,
        **evaluation.evaluate(model, split, options.votes, options.seeds, options.exit_confidence),
    }
    text, told = table(found, classes), [f"**Warning:** {sentence}" for sentence in warnings(found)]
    print("\n\n".join([text, *told]))  # what must not be overlooked is where a reader looks first: here the end
    with _keeping(run):
        run.write("evaluation.json", found)
    figures = {}
    if options.plots:
        figures = pictures.view(model, classes, config.reading).of_split(split)
        if "looks" in found:
            figures["accuracy"] = plots.accuracy(found)
        if "windows" in found:
            figures["accuracy"] = plots.by_look(found["windows"])
        history = events.history(run)
        if "seconds" in history:  # the event files may have been removed
            figures["curves"] = plots.curves(history)
    with _keeping(run), contextlib.closing(events.EventFile(run.path)) as file:
        file.text(f"evaluation/{options.split}", "\n\n".join([*told, text]))
        for name, figure in figures.items():
            (run.path / "plots").mkdir(exist_ok=True)
            with replacing(run.path / "plots" / f"{name}.png") as temporary:
                figure.savefig(temporary, dpi=120)
            file.image(f"evaluation/{name}", plots.pixels(figure))
    if figures:
        print(f"\npictures: {run.path / 'plots'}")


def _refuse(options: Options, *names: str, belongs: str) -> None:
    """Raises `UserError` for a flag of these fields: it would be overlooked, as it `belongs` elsewhere."""
    for name in names:
        if getattr(options, name) != Options.model_fields[name].default:
            raise UserError(f"--{name.replace('_', '-')} is for {belongs}: leave it out.")


@contextlib.contextmanager
def _keeping(run):
    """Tells what kept the findings, which are printed already, from being written to the run's folder."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write to {run.path} ({error.strerror}): what is missing there is told above."
        ) from None


if __name__ == "__main__":
    command.run(main)
