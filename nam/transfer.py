"""Accuracy on other images than a model was trained on: another task, canvas, clutter, size of the digit."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import pandas as pd

from nam.config import Config
from nam.errors import UserError


def shifts(
    config: Config,
    task: str | None = None,
    canvas: Sequence[int] | None = None,
    distractors: Sequence[int] | None = None,
    digit_size: Sequence[int] | None = None,
) -> list[Config]:
    """A run's resolved config, and behind it one for each combination of the values; `None`: as in the run.

    On another task or canvas clutter is that of its preset, unless `distractors` are given. Raises `UserError` for a
    value that the task does not take.
    """
    config = config.model_copy(update={"curriculum": None})  # of training only
    found = [config]
    for side, count, size in product(canvas or (None,), distractors or (None,), digit_size or (None,)):
        values = dict(config)
        if task or side:
            values |= {"task": task or config.task, "canvas": side or (None if task == "sequence" else config.canvas)}
            values |= {"distractors": None, "distractor_size": None}
        values |= {"distractors": count} if count is not None else {}
        values |= {"digit_size": size} if size is not None else {}
        found.append(Config(**values).resolved(config.dataset))
    return list(dict.fromkeys(found))


def check(model, configs: Sequence[Config], split: str) -> None:
    """Raises `UserError` if the model cannot take the images of a config, or was trained on what is another's `split`.

    The first config is that which the model was trained on.
    """
    height, width, _ = model.images_shape
    for config in configs:
        if split == "validation" and (config.task == "belaid") != (configs[0].task == "belaid"):
            raise UserError(
                "task belaid is validated on digits that other tasks are trained on: use --split test. "
                f"Received: task={config.task}, of a run of {configs[0].task}"
            )
        if (config.task == "sequence") != (model.targets > 1):
            raise UserError(
                "a model that reads numbers takes task sequence, and no other model does: leave --task out. "
                f"Received: task={config.task}"
            )
        if not model.takes_any_size and config.canvas and (config.canvas, config.canvas) != (height, width):
            raise UserError(
                f"a {type(model).__name__} takes images of {height}×{width} pixels only, as it was trained on: leave "
                f"that canvas out, or evaluate a model that looks around. Received: canvas={config.canvas}"
            )


def measure(model, configs: Sequence[Config], split: str, votes: int, data_dir: str | None) -> list[dict[str, Any]]:
    """What each config's images are, and a model's accuracies on their `split`.

    Raises:
        UserError: If the model cannot take such images.
    """
    from nam import data
    from nam.accuracy import Evaluator

    check(model, configs, split)
    found = []
    for config in configs:
        images = data.load(config, data_dir).to_ask(split)
        evaluator = Evaluator(model, votes, model.faster_with_xla)  # anew: TensorFlow would take the size as open
        values = {name: getattr(config, name) for name in ("task", "canvas", "distractors", "digit_size")}
        found.append({**values, "images": images.size, **evaluator(images).shares()})
    return found


def table(found: Sequence[dict[str, Any]]) -> str:
    """What `measure` found, in Markdown; the first row is what the model was trained on."""
    rows = pd.DataFrame(found)
    votes = rows.pop("votes").iloc[0] if "votes" in rows else None
    for name in ("canvas", "digit_size"):
        rows[name] = ["as it is" if pd.isna(size) else f"{size:.0f}" for size in rows[name]]
    for kind in {"deterministic", "sampled", "vote", "digits"} & {*rows.columns}:
        rows[kind] = rows[kind].map("{:.2%}".format)
    rows.insert(0, "", ["as trained", *[""] * (len(rows) - 1)])
    if "overlap" in rows:
        rows["overlap"] = rows["overlap"].map("{:.2f}".format)
    names = {"digit_size": "digit, pixels", "vote": f"vote of {votes}", "sampled": "one sampled gaze"}
    names |= {} if votes else {"deterministic": "accuracy"}
    return rows.rename(columns=names).to_markdown(index=False, disable_numparse=True)
