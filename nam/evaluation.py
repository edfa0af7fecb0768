"""What can be told of a trained model: accuracies of every kind, what its gaze is worth, where it looks, its cost."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from nam import health, models, numbers
from nam.accuracy import SEED, Evaluator, read
from nam.config import VOTES
from nam.data import load, sequences
from nam.data.boxes import overlaps
from nam.errors import UserError
from nam.gaze import Watcher, looks_taken
from nam.models import RecurrentAttention
from nam.models.cost import milliseconds
from nam.reading import Reader
from nam.runs import MODEL, Run

CONFIDENCES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1.0)


def evaluate(model, data, votes: int = VOTES, seeds: int = 5, exit_confidence: float | None = None) -> dict[str, Any]:
    """Everything that can be told of a model on one split.

    Args:
        model: A `Classifier`. What follows is about gazes, and counts for a `RecurrentAttention` only.
        data: The split, `nam.data.pipeline.Batches`.
        votes: Sampled gazes per image, M.
        seeds: How often they are sampled anew.
        exit_confidence: Measured beside `CONFIDENCES`, see `gaze.looks_taken`.

    Returns:
        What `evaluation.json` holds: see the sections of `scorecard.table`. An interval is half the width of Student's
        95 % interval: over seeds (`None` for one seed); over the digits or files that images were drawn from for
        `images_interval`, of the deterministic gaze (see `over_images`), and for the worth, where two gazes are
        compared image by image.
    """
    seen = data.all_but_images()
    if seen.labels.ndim == 2:
        return _of_numbers(model, data, seen)
    if isinstance(model, RecurrentAttention):
        found, probabilities = _of_gaze(model, data, seen, votes, seeds, exit_confidence)
    else:
        told = Reader(model).read(data)
        found, probabilities = {} if told.looks is None else _of_windows(told, seen, data), told.probabilities
    images = data.batch(0).images
    answers, classes = read(probabilities), probabilities.shape[-1]
    accuracy, interval = over_images(answers == seen.labels, seen.examples)
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (seen.labels, answers), 1)
    return {
        "images": data.size,
        **found,
        "accuracy": {"deterministic": accuracy, "images_interval": interval, **found.get("accuracy", {})},
        "confusion": confusion.tolist(),  # rows: what it is; columns: what the deterministic gaze reads
        "cost": _cost(model, images),
    }


def _cost(model, images) -> dict[str, float]:
    return {
        **model.cost(*images.shape[1:3])._asdict(),
        **{f"milliseconds_per_image_in_batches_of_{n}": milliseconds(model, images, n) for n in (1, 32)},
    }


def _of_numbers(model, data, seen) -> dict[str, Any]:
    """What is told of a model that reads numbers; `seen` is the whole split as one `Batch` without its images."""
    found, images = {}, data.batch(0).images
    outputs = Evaluator(model, 0, model.faster_with_xla).probabilities(data)
    if "thetas" in outputs:
        found["windows"] = _overlap(outputs["thetas"], seen.boxes, images)
    answers = read(outputs["deterministic"])
    accuracy, interval = over_images((answers == seen.labels).all(-1), seen.examples)
    return {
        "images": data.size,
        "accuracy": {"deterministic": accuracy, "images_interval": interval},
        "numbers": numbers.told(answers, seen.labels, data.config.reading),
        **found,
        "confusion": numbers.confusion(answers, seen.labels).tolist(),
        "cost": _cost(model, images),
    }


def together(runs: Sequence[Path], split: str, data_dir: str | None) -> dict[str, Any]:
    """What runs of task `sequence` read, each alone and all together, whatever their directions."""
    opened = [Run.open(path) for path in runs]
    configs = [run.config() for run in opened]
    same = ("task", "dataset", "canvas", "noise", "seed")
    if configs[0].task != "sequence" or len({tuple(getattr(c, name) for name in same) for c in configs}) > 1:
        raise UserError(
            "only runs of task sequence are evaluated together, of one dataset and seed: name such, as one of "
            "--reading forward and one of --reading backward."
        )
    found, heard = [], {"forward": [], "backward": []}  # all compared from left to right
    for run, config in zip(opened, configs, strict=True):
        model, splits = models.load(run.path / MODEL), load(config, data_dir)
        run.check_data(splits.told())
        images = splits.to_ask(split)
        log_p = numbers.log(Evaluator(model, 0, model.faster_with_xla).probabilities(images)["deterministic"])
        heard[config.reading].append(log_p)
        labels = images.all_labels()
        if config.reading == "backward":
            labels = sequences.backward(labels, labels)
        alone = numbers.told(numbers.read(**{config.reading: [log_p]}), labels)
        found.append({"run": run.path.name, "reading": config.reading, "parameters": model.count_params(), **alone})
    both = numbers.told(numbers.read(**heard), labels)
    return {"split": split, "runs": found, "together": both}


def _of_gaze(model, data, seen, votes: int, seeds: int, exit_confidence: float | None):
    """What is told of a `RecurrentAttention` only, and the class probabilities of its deterministic gaze.

    `seen` is the whole split as one `Batch` without its images.
    """
    looks, n = model.glimpses, data.size
    _, labels, boxes, examples = seen
    height, width = data.batch(0).images.shape[1:3]
    size, window = np.array([width, height]), model.sensor.window
    everywhere = (boxes[:, 2:] >= size).all()  # the target is the whole image: there is no place to look for
    watcher = Watcher(model, 2 * looks, votes)

    def right(probabilities):
        return probabilities.argmax(-1) == labels.reshape(-1, *[1] * (probabilities.ndim - 2))

    rng = np.random.default_rng(SEED)
    found = []  # of each seed
    for seed in range(seeds):
        sampled = watcher.sample(data, SEED + 1000 * seed)  # far apart: generators take neighbours
        own = sampled.locations[:, 0, :looks]
        order = rng.permutation(n)
        others = np.empty_like(own)
        others[order] = own[np.roll(order, 1)]  # no image gets its own
        anywhere = rng.uniform(-1, 1, own.shape)
        correct = right(sampled.probabilities)  # (n, votes, looks)
        found.append(
            {
                "looks": correct.mean((0, 1)),
                "vote_looks": right(sampled.probabilities.mean(1)).mean(0),
                "vote_curve": right(sampled.probabilities[:, :, looks - 1].cumsum(1)).mean(0),
                "own": correct[:, 0, looks - 1],
                "shuffled": right(watcher.follow(data, others))[:, -1],
                "random": right(watcher.follow(data, anywhere))[:, -1],
            }
        )
        if not seed:
            parts = (part[:, :, :looks] for part in (sampled.locations, sampled.means))
            sampled_health = health.of_gaze(*parts, boxes, size, window)
    by_seed = {name: np.array([seed[name] for seed in found]) for name in found[0]}
    sampled_accuracy, sampled_interval = over_seeds(by_seed["looks"][:, looks - 1])
    vote, vote_interval = over_seeds(by_seed["vote_curve"][:, -1])
    worth, worth_interval = over_images((by_seed["own"].astype(float) - by_seed["shuffled"]).mean(0), examples)

    deterministic = watcher.watch(data)
    correct = right(deterministic.probabilities)  # (n, looks)
    parts = (part[:, None, :looks] for part in (deterministic.locations, deterministic.means))
    target = np.tile(((boxes[:, :2] + boxes[:, 2:] / 2) / size * 2 - 1)[:, None], (1, looks, 1))
    exits = []
    for confidence in sorted({*CONFIDENCES, exit_confidence or 1.0}):
        taken = looks_taken(deterministic.probabilities[:, :looks], confidence)
        accuracy = correct[np.arange(n), taken - 1].mean()
        exits.append({"confidence": confidence, "looks": float(taken.mean()), "accuracy": float(accuracy)})
    told = {
        "policy": model.config["policy"],
        "votes": votes,
        "seeds": seeds,
        "accuracy": {
            "sampled": sampled_accuracy,
            "sampled_interval": sampled_interval,
            "vote": vote,
            "vote_interval": vote_interval,
        },
        "vote_curve": by_seed["vote_curve"].mean(0).tolist(),
        "looks": {
            "trained": looks,
            "deterministic": correct.mean(0).tolist(),
            "sampled": by_seed["looks"].mean(0).tolist(),
            "vote": by_seed["vote_looks"].mean(0).tolist(),
        },
        "exit_confidence": exit_confidence,
        "early_exit": exits,
        "loss_steps": model.objective["loss_steps"],
        "worth": {
            "own": float(by_seed["own"].mean()),
            "shuffled": float(by_seed["shuffled"].mean()),
            "difference": worth,
            "interval": worth_interval,
            "random": float(by_seed["random"].mean()),
            "center": float(right(watcher.follow(data, np.zeros_like(target)))[:, -1].mean()),
            "oracle": None if everywhere else float(right(watcher.follow(data, target))[:, -1].mean()),
        },
        "gaze": {"deterministic": health.of_gaze(*parts, boxes, size, window), "sampled": sampled_health},
    }
    if everywhere:
        for gaze in told["gaze"].values():
            gaze.update(dict.fromkeys(health.OF_TARGETS))
    return told, deterministic.probabilities[:, looks - 1]


def _of_windows(told, seen, data) -> dict[str, Any]:
    """What is told of a model that looks through windows, look by look."""
    so_far = told.looks.cumsum(1)  # the mean of the looks so far says the same
    labels = seen.labels[:, None]
    return {
        "windows": {
            "alone": (told.looks.argmax(-1) == labels).mean(0).tolist(),
            "mean": (so_far.argmax(-1) == labels).mean(0).tolist(),
            **_overlap(told.thetas, seen.boxes, data.batch(0).images),
        }
    }


def _overlap(thetas, boxes, images) -> dict[str, list[float]]:
    """The mean overlap of each look's windows with their targets, 0 for a look without; nothing if none is known."""
    found = overlaps(thetas, boxes, *images.shape[1:3])
    return {"overlap": found.mean(0).filled(0).tolist()} if found.count() else {}


def over_seeds(values) -> tuple[float, float | None]:
    """The mean, and half the width of Student's 95 % interval, `None` for one value."""
    n = len(values)
    return float(values.mean()), float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / n**0.5) if n > 1 else None


def over_images(values, examples) -> tuple[float, float]:
    """The mean of a value per image, and half the width of its 95 % interval; images of one example vary together.

    Where all answers are right, or none is, the share that may still be otherwise, unseen in 5 % of such choices.
    """
    mean, (different, which) = values.mean(), np.unique(examples, return_inverse=True)
    n = len(different)
    if values.dtype == bool and mean in (0, 1):
        return float(mean), 1 - 0.05 ** (1 / n)
    of_examples = np.bincount(which, values - mean)
    error = (n / max(n - 1, 1) * (of_examples**2).sum()) ** 0.5 / len(values)
    return float(mean), float(stats.t.ppf(0.975, max(n - 1, 1)) * error)
