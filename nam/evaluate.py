"""Evaluates a finished run: `python -m nam.evaluate logs/runs/NAME`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from nam import command
from nam.config import Config, Execution, Values

DESCRIPTION = (
    "Measures the best model of a run: its accuracies of every kind and after every look, what its gaze is worth, "
    "where it looks, and what a look costs. Prints a table and leaves evaluation.json in the run's folder."
)
VOTES = 10  # sampled gazes of a vote, as in the published study
COLLAPSED = 0.02  # spread of the means over images, in half-widths, under which all images get the same gaze


class Options(Values):
    run: str = Field(description="folder of the run, as logs/runs/NAME")
    split: Literal["test", "validation"] = Field("test", description="images to evaluate on")
    votes: int = Field(VOTES, ge=1, le=1000, description="sampled gazes of the vote")
    seeds: int = Field(5, ge=1, le=1000, description="how often gazes are sampled anew; intervals are over these seeds")
    data_dir: str | None = Execution.model_fields["data_dir"]


def evaluate(model, data, votes: int = VOTES, seeds: int = 5) -> dict[str, Any]:
    """Everything that can be told of a model on one split.

    Args:
        model: A `RecurrentAttention` that looks T times.
        data: The split, `nam.data.pipeline.Batches`.
        votes: Sampled gazes per image, M.
        seeds: How often they are sampled anew.

    Returns:
        What `evaluation.json` holds: see the sections of `table`. An interval is half the width of a 95 % interval:
        Student's over seeds (`None` for one seed), normal over images where two gazes are compared image by image.
    """
    from nam import health
    from nam.accuracy import SEED
    from nam.gaze import Watcher

    looks, n = model.glimpses, data.size
    watcher = Watcher(model, votes, 2 * looks)
    labels = np.concatenate([data.labels(i) for i in range(len(data))])
    boxes = np.concatenate([data.batch(i).boxes for i in range(len(data))])
    height, width = data.batch(0).images.shape[1:3]
    size, window = np.array([width, height]), model.sensor.bandwidth * model.sensor.scale_factors[0]

    def right(probabilities):
        return probabilities.argmax(-1) == labels.reshape(-1, *[1] * (probabilities.ndim - 2))

    rng = np.random.default_rng(SEED)
    found = []  # of each seed
    for seed in range(seeds):
        deterministic, sampled = watcher.watch(data, SEED + 1000 * seed)  # far apart: generators take neighbours
        own = sampled.locations[:, 0, :looks]
        others = np.roll(own, rng.integers(1, max(n, 2)), axis=0)
        anywhere = rng.uniform(-1, 1, own.shape)
        answers = sampled.probabilities[:, :, looks - 1]
        found.append(
            {
                "looks": right(sampled.probabilities).mean((0, 1)),
                "vote_looks": right(sampled.probabilities.mean(1)).mean(0),
                "vote_curve": right(answers.cumsum(1)).mean(0),
                "own": right(sampled.probabilities[:, 0])[:, looks - 1],
                "shuffled": right(watcher.follow(data, others))[:, -1],
                "random": right(watcher.follow(data, anywhere))[:, -1],
                "health": health.of_gaze(
                    sampled.locations[:, :, :looks], sampled.means[:, :, :looks], boxes, size, window
                ),
            }
        )
    seen = {name: np.array([seed[name] for seed in found]) for name in found[0] if name != "health"}
    last = right(deterministic.probabilities)[:, looks - 1]
    target = np.tile(((boxes[:, :2] + boxes[:, 2:] / 2) / size * 2 - 1)[:, None], (1, looks, 1))
    sampled_accuracy, sampled_interval = _over_seeds(seen["looks"][:, looks - 1])
    vote, vote_interval = _over_seeds(seen["vote_curve"][:, -1])
    worth = (seen["own"].astype(float) - seen["shuffled"]).mean(0)
    classes = deterministic.probabilities.shape[-1]
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (labels, deterministic.probabilities[:, looks - 1].argmax(-1)), 1)
    gaze = health.of_gaze(*(part[:, None, :looks] for part in deterministic[1:]), boxes, size, window)
    return {
        "images": n,
        "votes": votes,
        "seeds": seeds,
        "accuracy": {
            "deterministic": float(last.mean()),
            "sampled": sampled_accuracy,
            "sampled_interval": sampled_interval,
            "vote": vote,
            "vote_interval": vote_interval,
        },
        "vote_curve": seen["vote_curve"].mean(0).tolist(),
        "looks": {
            "trained": looks,
            "deterministic": right(deterministic.probabilities).mean(0).tolist(),
            "sampled": seen["looks"].mean(0).tolist(),
            "vote": seen["vote_looks"].mean(0).tolist(),
        },
        "worth": {
            "own": float(seen["own"].mean()),
            "shuffled": float(seen["shuffled"].mean()),
            "difference": float(worth.mean()),
            "interval": float(1.96 * worth.std() / n**0.5),
            "random": float(seen["random"].mean()),
            "center": float(right(watcher.follow(data, np.zeros_like(target)))[:, -1].mean()),
            "oracle": float(right(watcher.follow(data, target))[:, -1].mean()),
        },
        "gaze": {"deterministic": gaze, "sampled": found[0]["health"]},
        "confusion": confusion.tolist(),  # rows: what it is; columns: what the deterministic gaze reads
        "cost": {
            **model.cost(height, width)._asdict(),
            **{f"milliseconds_per_image_in_batches_of_{size}": watcher.milliseconds(data, size) for size in (1, 256)},
        },
    }


def _over_seeds(values) -> tuple[float, float | None]:
    """The mean, and half the width of Student's 95 % interval, `None` for one value."""
    from scipy import stats

    n = len(values)
    return float(values.mean()), float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / n**0.5) if n > 1 else None


def warnings(found: dict[str, Any]) -> list[str]:
    """What a reader must not overlook, a sentence each."""
    worth, gaze, told = found["worth"], found["gaze"]["deterministic"], []
    if found["looks"]["trained"] > 1 and worth["difference"] <= worth["interval"]:
        told.append(
            "the gaze cannot be shown to be worth anything: its own minus another image's is "
            f"{100 * worth['difference']:+.2f} ± {100 * worth['interval']:.2f} points. The location network has not "
            "learned where to look, or the patches see everything anyway."
        )
    if gaze["spread"] is not None and gaze["spread"] < COLLAPSED:
        told.append(f"the gaze has collapsed: the means of the policy differ by {gaze['spread']:.3f} half-widths only.")
    if gaze["border"] > 0.5:
        told.append(f"the gaze stays at the border: {gaze['border']:.0%} of the locations lie there.")
    return told


def table(found: dict[str, Any], classes: Sequence[str] | None = None) -> str:
    """What `evaluate` found, in Markdown; `classes` are their names."""
    accuracy, looks, worth, gaze = (found[part] for part in ("accuracy", "looks", "worth", "gaze"))
    trained, n = looks["trained"], found["images"]
    some = sorted({m for m in (1, 2, 3, 5, 10, 20, 50, 100) if m < found["votes"]} | {found["votes"]})
    error = 1.96 * (accuracy["deterministic"] * (1 - accuracy["deterministic"]) / n) ** 0.5

    def row(*cells) -> str:
        return "| " + " | ".join(cells) + " |"

    def rows(title: str, *lines) -> list[str]:
        return [
            "",
            row(title, *[""] * (len(lines[0]) - 1)),
            "|---" * len(lines[0]) + "|",
            *(row(*line) for line in lines),
        ]

    def share(value: float, interval: float | None = None) -> str:
        return f"{value:.2%}" + (f" ± {interval:.2%}" if interval is not None else "")

    shown, drawn = range(2 * trained), f"{found['seeds']} seed" + "s" * (found["seeds"] > 1)
    names = classes or [str(i) for i in range(len(found["confusion"]))]
    lines = [
        *rows(
            f"accuracy on {n:,} images",
            ("deterministic gaze", share(accuracy["deterministic"])),
            (f"one sampled gaze, {drawn}", share(accuracy["sampled"], accuracy["sampled_interval"])),
            (f"vote of {found['votes']}, {drawn}", share(accuracy["vote"], accuracy["vote_interval"])),
            ("uncertainty of the images themselves", f"± {error:.2%}"),
        ),
        *rows(
            "vote of",
            ("gazes", *(str(m) for m in some)),
            ("accuracy", *(share(found["vote_curve"][m - 1]) for m in some)),
        ),
        *rows(
            f"after look (trained for {trained})",
            ("", *(str(look + 1) for look in shown)),
            *(
                (f"{kind} {name}", *(share(looks[kind][look]) for look in shown))
                for kind, name in (("deterministic", "gaze"), ("sampled", "gaze"), ("vote", f"of {found['votes']}"))
            ),
        ),
        *rows(
            "what the gaze is worth (one sampled gaze)",
            ("its own", share(worth["own"])),
            ("another image's", share(worth["shuffled"])),
            ("**worth: the difference**", f"**{100 * worth['difference']:+.2f} ± {100 * worth['interval']:.2f}**"),
            ("random", share(worth["random"])),
            ("centre", share(worth["center"])),
            ("oracle: the target's centre", share(worth["oracle"])),
        ),
        *rows(
            "where it looks",
            ("", "deterministic", "sampled"),
            *(
                (name, *(_text(gaze[kind][key], unit) for kind in ("deterministic", "sampled")))
                for name, key, unit in (
                    ("looks whose finest patch touches the target, by look", "hits", "%"),
                    ("distance to the target's centre by look, pixels", "distance", ""),
                    ("first look that touches it, where one does", "first_hit", ""),
                    ("images whose target is never touched", "never_hit", "%"),
                    ("locations at the border", "border", "%"),
                    ("spread of the means over images, half-widths", "spread", ""),
                )
            ),
        ),
        *rows("cost of an image", *((name.replace("_", " "), f"{value:,}") for name, value in found["cost"].items())),
        *rows(
            "what it is, and how often it is read as each (deterministic gaze)",
            ("", *names, "right"),
            *(
                (name, *map(str, counts), share(counts[i] / max(sum(counts), 1)))
                for i, (name, counts) in enumerate(zip(names, found["confusion"], strict=True))
            ),
        ),
    ]  # fmt: skip
    return "\n".join([*lines, "", *(f"**Warning:** {sentence}" for sentence in warnings(found))]).strip()


def _text(value, unit: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return " ".join(_text(part, unit) for part in value)
    return f"{value:.0%}" if unit == "%" else f"{value:.2f}"


def line(split: str, shares: dict[str, float]) -> str:
    """The accuracies on one split, as `result.json` holds them, in one line."""
    return (
        f"{split:<10}  deterministic {shares['deterministic']:.2%}   one sampled gaze {shares['sampled']:.2%}   "
        f"vote of {shares['votes']} gazes {shares['vote']:.2%}"
    )


def main(argv: Sequence[str]) -> None:
    options = command.options(Options, argv, "python -m nam.evaluate", DESCRIPTION)
    with command.quiet():
        from tensorboardX import SummaryWriter

        from nam import data, machine, models
        from nam.runs import MODEL, Run

    machine.keep_memory()
    run = Run.open(Path(options.run))
    config = Config(**run.read("config.json"))
    model = models.load(run.path / MODEL)
    splits = data.load(config, options.data_dir)
    found = {"split": options.split, **evaluate(model, getattr(splits, options.split), options.votes, options.seeds)}
    run.write("evaluation.json", found)
    text = table(found, splits.spec.classes)
    print(text)
    with SummaryWriter(str(run.path)) as writer:
        writer.add_text(f"evaluation/{options.split}", text)


if __name__ == "__main__":
    command.run(main)
