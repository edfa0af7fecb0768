"""What a model reads where an image holds a number: digits one after the other, then the end."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nam.data.sequences import END, LONGEST, NONE, ended
from nam.data.sequences import backward as turned


def read(forward: Sequence[np.ndarray] = (), backward: Sequence[np.ndarray] = ()) -> np.ndarray:
    """The most probable numbers, as labels `(n, targets)`: of each length the best digits, and then the best length.

    Args:
        forward: Logarithms of class probabilities, `(n, targets, classes)`, of each model that reads from the left.
        backward: The same of those that read from the right. All are added up, digit by digit.
    """
    scores, numbers = [], []
    for length in range(1, LONGEST + 1):
        digits = sum(log_p[:, :length, :END] for log_p in forward)
        digits = digits + sum(log_p[:, :length, :END][:, ::-1] for log_p in backward)
        end = sum(log_p[:, length, END] for log_p in (*forward, *backward))
        scores.append(digits.max(-1).sum(-1) + end)
        numbers.append(np.pad(digits.argmax(-1), ((0, 0), (0, LONGEST - length))))
    best = np.argmax(scores, axis=0)
    return ended(np.stack(numbers)[best, np.arange(len(best))], best + 1)


def digits_right(numbers: np.ndarray, labels: np.ndarray, reading: str = "forward") -> float:
    """The share of the digits that stand where they belong, counted from the left whichever way they were read."""
    if reading == "backward":
        numbers, labels = (turned(one, one) for one in (numbers, labels))
    digits = (labels >= 0) & (labels < END)
    return float((numbers == labels)[digits].mean())


def told(numbers: np.ndarray, labels: np.ndarray, reading: str = "forward") -> dict[str, Any]:
    """What an evaluation says of numbers that were read: whole ones, digits, and whole ones by their length."""
    lengths, correct = (labels == END).argmax(-1), (numbers == labels).all(-1)
    return {
        "whole": float(correct.mean()),
        "digits": digits_right(numbers, labels, reading),
        "by_length": {int(n): float(correct[lengths == n].mean()) for n in np.unique(lengths)},
    }


def confusion(numbers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How often what is in a row's class was read as a column's, place by place; what was not read is the end."""
    counts = np.zeros((END + 1, END + 1), int)
    there = labels != NONE
    np.add.at(counts, (labels[there], np.where(numbers == NONE, END, numbers)[there]), 1)
    return counts


def answers(probabilities: np.ndarray, targets: int) -> np.ndarray:
    """Of the class probabilities after each look, `(…, looks, classes)`, those after the last look at each target."""
    each = probabilities.shape[-2] // targets
    return probabilities[..., each - 1 :: each, :]


def text(labels, classes: Sequence[str], reading: str = "forward") -> str:
    """A label, or those of a number from left to right, whichever way they were read, by the names of the classes."""
    if np.ndim(labels) == 0:
        return classes[labels]
    digits = [classes[label] for label in labels if 0 <= label < END]
    return "".join(digits[::-1] if reading == "backward" else digits)


def log(probabilities: np.ndarray) -> np.ndarray:
    """Their logarithms, finite ones."""
    return np.log(np.maximum(probabilities, 1e-12))
