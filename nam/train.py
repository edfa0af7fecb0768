"""Trains one run: `python -m nam.train --glimpses 8`."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nam import command
from nam.config import Config, Execution
from nam.files import user_path
from nam.scorecard import line
from nam.signals import Stopped

DESCRIPTION = "Trains a model and leaves its run under LOGS/runs; the same command goes on where a stopped run ended."


def train(config: Config, execution: Execution | None = None) -> dict[str, Any]:
    """Trains the run of `config`, or goes on with it, and returns what its `result.json` holds.

    A finished run is not trained again; one that was not tested is, once it may be. Interrupted at any moment, the same
    call goes on from the last whole epoch.

    Args:
        config: The run's values; what is open is filled in by the presets.
        execution: Where and how to run.

    Raises:
        UserError: If a value, the dataset or the folder is not usable, or the loss becomes NaN; `runs.Busy` if another
            process trains this run.
    """
    # Imported here so that a misspelt flag and --help are answered at once, and TensorFlow's notices kept quiet.
    with command.quiet():
        from nam import training

    return training.train(config, execution or Execution())


def summary(result: dict[str, Any]) -> str:
    """What a result says, in a few lines."""
    lines = [line(split, result[split]) for split in ("test", "validation") if result[split]]
    data, minutes = result["dataset"], result["seconds"]["total"] / 60
    lines += [
        f"{data['name']}, task {data['task']}, {data['train']:,} images per epoch; best epoch: "
        f"{result['best_epoch']} of {result['epochs']}",
        f"{minutes:.1f} minutes, {result['images_per_second']:,.0f} images/s, {result['parameters']:,} parameters",
    ]
    return "\n".join(lines)


def _tell_other_software(start: Path) -> None:
    """Says where the software differs from that of the run whose folder or config training starts from."""
    from nam.runs import Run

    card = Run(start if start.is_dir() else start.parent).read("hardware.json") if start.exists() else None
    if card:
        with command.quiet():
            from nam import machine
        if changes := machine.other_versions(card, machine.card()):
            print(f"warning: {start} was trained with other software: {changes}; this run may differ", flush=True)


def main(argv: Sequence[str]) -> int:
    config, execution = command.parse(argv, "python -m nam.train", DESCRIPTION)
    if start := command.starting_point(argv):
        _tell_other_software(user_path(start))
    try:
        result = train(config, execution)
    except (KeyboardInterrupt, Stopped) as stop:
        print("\n" + "\n".join(getattr(stop, "__notes__", ["stopped before the first epoch"])))
        return 143 if isinstance(stop, Stopped) else 130
    print(summary(result))
    print(f"see it in TensorBoard:  tensorboard --logdir {shlex.quote(execution.logs)}")
    return 0


if __name__ == "__main__":
    command.run(main)
