"""Numbers of one to five digits in a row, and where each digit lies.

Labels are `(n, TARGETS)`: the digits from left to right, `END`, and `NONE` behind it. Boxes are `(n, TARGETS, 4)`, zero
where there is no digit.
"""

import functools
from importlib import resources

import numpy as np
from PIL import Image

LONGEST = 5  # digits
TARGETS = LONGEST + 1  # with the end
END, NONE = 10, -1
SIDE = 64  # of a square around a number, pixels
CROP = 54  # of the part that a model sees: anywhere in training, else the middle


@functools.cache
def layouts() -> list[np.ndarray]:
    """Boxes `(digits, 4)` as `(x, y, width, height)` of real house numbers, pixels of a square of `SIDE`.

    1 to 5 digits have 12, 40, 30, 12 and 6 % of them (in SVHN's training set 15, 54, 26, 4 and 0.03 %); five digits are
    so rare there that only 9 different ones stand for the 60. All splits are made from the same layouts.
    """
    lines = resources.files("nam.data").joinpath("layouts.txt").read_text().splitlines()
    return [np.array(line.split(), "float32").reshape(-1, 4) / 10 for line in lines if not line.startswith("#")]


def choose(rng: np.random.Generator, first: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A layout for each number, and which of `count` digits it is made of, `(n, LONGEST)`; it begins with `first`."""
    digits = np.concatenate([first[:, None], rng.integers(0, count, (len(first), LONGEST - 1))], axis=1)
    return rng.integers(0, len(layouts()), len(first)), digits


def labels_of(chosen: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Labels `(n, TARGETS)` of numbers in the layouts `chosen`, of whose digits the labels are `(n, LONGEST)`."""
    lengths = np.array([len(layout) for layout in layouts()])[chosen]
    return ended(labels, lengths)


def ended(labels: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The first of the labels `(n, LONGEST)` of each number, `END`, and `NONE` up to `TARGETS`."""
    places = np.arange(TARGETS)
    padded = np.pad(labels, ((0, 0), (0, 1)))
    return np.select([places < lengths[:, None], places == lengths[:, None]], [padded, END], NONE).astype("int32")


def compose(chosen: np.ndarray, digits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draws numbers on black squares of `SIDE` pixels.

    Each digit's ink is brought to the height of its box, and made narrower where that is too wide; it lies in its
    middle.

    Args:
        chosen: Indices of their layouts, `(n,)`.
        digits: `(n, LONGEST, height, width, 1)` uint8.

    Returns:
        Images `(n, SIDE, SIDE, 1)` uint8 and the boxes of the ink.
    """
    images, boxes = np.zeros((len(chosen), SIDE, SIDE, 1), "uint8"), np.zeros((len(chosen), TARGETS, 4), "float32")
    for image, box, index, glyphs in zip(images, boxes, chosen, digits, strict=True):
        for place, (x, y, width, height) in enumerate(layouts()[index]):
            glyph = _ink(glyphs[place, ..., 0])
            tall = max(round(float(height)), 1)
            wide = max(min(round(tall * glyph.shape[1] / glyph.shape[0]), round(float(width))), 1)
            left = min(max(round(float(x + (width - wide) / 2)), 0), SIDE - wide)
            top = min(max(round(float(y)), 0), SIDE - tall)
            drawn = np.asarray(Image.fromarray(glyph).resize((wide, tall), Image.Resampling.BILINEAR))
            part = image[top : top + tall, left : left + wide, 0]
            np.maximum(part, drawn, out=part)  # neighbours may overlap
            box[place] = left, top, wide, tall
    return images, boxes


def _ink(glyph: np.ndarray) -> np.ndarray:
    """The part of a digit's picture that is not black; all of it where nothing is."""
    rows, columns = (np.flatnonzero(glyph.any(axis)) for axis in (1, 0))
    return glyph[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else glyph


def jitter(images: np.ndarray, boxes: np.ndarray, rng: np.random.Generator | None) -> tuple[np.ndarray, np.ndarray]:
    """A part of `CROP` pixels of each square, at random, or in the middle without a generator; boxes move along."""
    n, margin = len(images), SIDE - CROP
    corners = np.full((n, 2), margin // 2) if rng is None else rng.integers(0, margin, (n, 2), endpoint=True)
    cut = np.stack([image[y : y + CROP, x : x + CROP] for image, (x, y) in zip(images, corners, strict=True)])
    moved = boxes.copy()
    moved[..., :2] -= corners[:, None]
    return cut, np.where(boxes[..., 2:3] > 0, moved, 0)


def backward(labels: np.ndarray, of_places: np.ndarray) -> np.ndarray:
    """What belongs to the places of numbers, `(n, TARGETS, …)`, read from right to left: their labels, their boxes.

    Twice, a number's labels are as before.
    """
    lengths = (labels == END).argmax(1)
    places = np.arange(TARGETS)
    order = np.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)
    return of_places[np.arange(len(labels))[:, None], order]
