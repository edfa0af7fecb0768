"""Boxes of targets, as the transformations that frame them, and how well windows lie on them.

A transformation `(…, 6)` is one of `nam.layers.sampling.affine_grid`; one without zoom frames nothing.
"""

import numpy as np


def framing(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """The transformations `(…, 6)` that frame boxes `(…, 4)`, `(x, y, width, height)` in pixels of an image."""
    x, y, w, h = np.moveaxis(boxes.astype("float32"), -1, 0)
    zero = np.zeros_like(x)
    return np.stack([w / width, zero, (2 * x + w) / width - 1, zero, h / height, (2 * y + h) / height - 1], axis=-1)


def overlap(thetas: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Intersection over union `(…)` of the upright rectangles around windows and frames, both `(…, 6)`."""

    def rectangle(theta):
        a, b, x, c, d, y = np.moveaxis(theta, -1, 0)
        half = np.stack([np.abs(a) + np.abs(b), np.abs(c) + np.abs(d)], axis=-1)
        center = np.stack([x, y], axis=-1)
        return center - half, center + half

    (low, high), (lowest, highest) = rectangle(thetas), rectangle(frames)
    common = np.maximum(np.minimum(high, highest) - np.maximum(low, lowest), 0).prod(-1)
    return common / np.maximum((high - low).prod(-1) + (highest - lowest).prod(-1) - common, 1e-12)


def overlaps(thetas: np.ndarray, boxes: np.ndarray, height: int, width: int) -> np.ma.MaskedArray:
    """The overlap `(n, looks)` of each window with its target, masked where there is nothing to frame but the image.

    `thetas` is `(n, looks, 6)`; boxes `(n, 4)`, or `(n, targets, 4)`, each looked at for looks / targets times.
    """
    boxes = boxes.reshape(len(boxes), -1, 4)
    frames = framing(boxes.repeat(thetas.shape[1] // boxes.shape[1], axis=1), height, width)
    nothing, image = frames[..., 0] == 0, (frames == [1, 0, 0, 0, 1, 0]).all(-1)
    return np.ma.array(overlap(thetas, frames), mask=nothing | image)
