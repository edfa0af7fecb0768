"""Tasks: how digits become images. NumPy over a whole batch; every draw comes from the generator that is passed in.

A task takes `digits (n, h, w, channels)` uint8 and returns `(images, boxes)`: uint8 `(n, height, width, channels)` and
the target's box, `(n, 4)` integers `(x, y, width, height)` in pixels, `(x, y)` being its upper left corner.
"""

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from nam.config import Config
from nam.data.canvas import Canvases

# fragments(n, size, inclusive=True) → (n, size, size, channels): random pieces of random other digits, cut at any place
# or, if not inclusive, at any but the last row and column of places.
Fragments = Callable[..., np.ndarray]

MAX_ANGLE = 15.0  # degrees, task `augmented`

_CANVASES = Canvases()


def draw(config: Config, digits: np.ndarray, fragments: Fragments, rng: np.random.Generator, share: float = 1):
    """Images and boxes of the resolved config's task; the `share` of its curriculum that is reached makes it easier."""
    small, room = config, 0
    if config.curriculum == "clutter":
        small = config.model_copy(update={"distractors": round(share * config.distractors)})
    if config.curriculum == "canvas":
        least = max(*digits.shape[1:3], config.distractor_size or 0)
        room = config.canvas - least - round(share * (config.canvas - least))
        fewer = round(config.distractors * (1 - room / config.canvas) ** 2)  # no denser than on the whole canvas
        small = config.model_copy(update={"canvas": config.canvas - room, "distractors": fewer})
    images, boxes = TASKS[config.task](small, digits, fragments, rng)
    if room:  # around it, so that a location means the same all along
        ends = (room // 2, room - room // 2)
        images, boxes = np.pad(images, ((0, 0), ends, ends, (0, 0))), boxes + np.array([ends[0], ends[0], 0, 0])
    return noisy(images, config.noise, rng), boxes


def noisy(images: np.ndarray, std: float, rng: np.random.Generator) -> np.ndarray:
    """Images with Gaussian noise on every pixel, its deviation a share of full white."""
    if not std:
        return images
    noise = rng.normal(0.0, 255.0 * std, images.shape).astype("float32")
    return np.clip(np.rint(images + noise), 0, 255).astype("uint8")


def original(config, digits, fragments, rng):
    """The digit as it is, in the middle of the canvas."""
    n, height, width, _ = digits.shape
    side = config.canvas
    if side is None:
        corners = np.zeros((n, 2), int)
        return digits, _boxes(corners, digits)
    corners = np.tile([(side - width) // 2, (side - height) // 2], (n, 1))
    images = _canvas(side, digits)
    add(images, digits, corners)
    return images, _boxes(corners, digits)


def translated(config, digits, fragments, rng):
    """The digit anywhere on a black canvas, all placements alike (Mnih et al. 2014, section 4.1)."""
    images = _canvas(config.canvas, digits)
    corners = placements(rng, config.canvas, digits)
    add(images, digits, corners)
    return images, _boxes(corners, digits)


def cluttered(config, digits, fragments, rng):
    """Fragments of other digits anywhere, the digit over them; overlaps add up, to white (deepmind/mnist-cluttered)."""
    images = _canvas(config.canvas, digits)
    for _ in range(config.distractors):
        patches = fragments(len(digits), config.distractor_size)
        add(images, patches, placements(rng, config.canvas, patches))
    corners = placements(rng, config.canvas, digits)
    add(images, digits, corners)
    return images, _boxes(corners, digits)


def augmented(config, digits, fragments, rng):
    """The words of Belaid (2019), section 3: digits rotated, then translated, with additive fragments as noise."""
    angles = np.deg2rad(rng.uniform(-MAX_ANGLE, MAX_ANGLE, len(digits)))
    return cluttered(config, rotate(digits, angles), fragments, rng)


def distorted(digits: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Each digit turned, sheared and stretched at random, by I + `share` · U, the elements of U uniform in [-1, 1]."""
    return affine(digits, np.eye(2) + share * rng.uniform(-1, 1, (len(digits), 2, 2))) if share else digits


def belaid(config, digits, fragments, rng):
    """What the published code of Belaid (2019) drew.

    Fragments replace what lies under them, never touch the last row and column of theirs or of the canvas, and lie
    under the digit. The digit's row is drawn from all rows and pulled back onto the canvas, which glues 28 % of the
    digits of a 100-pixel canvas to its lower edge. Every pixel that is not black is white.
    """
    n, height, width, _ = digits.shape
    side = config.canvas
    images = _canvas(side, digits)
    size = config.distractor_size
    for _ in range(config.distractors):
        patches = fragments(n, size, inclusive=False)
        windows, at = _windows(images, rng.integers(0, side - size, (n, 2)), patches.shape)
        windows[at] = patches
    rows = rng.integers(0, side, n)
    rows = np.where(rows + height > side - 1, side - height, rows)
    corners = np.stack([rng.integers(0, max(side - width, 1), n), rows], axis=1)
    add(images, digits, corners)
    return np.where(images > 0, 255, 0).astype("uint8"), _boxes(corners, digits)


TASKS = {task.__name__: task for task in (original, translated, cluttered, augmented, belaid)}


def placements(rng, side: int, patches) -> np.ndarray:
    """Corners `(n, 2)` as `(x, y)`, uniform over all that keep the patch on the canvas, both ends included."""
    n, height, width, _ = patches.shape
    return np.stack(
        [rng.integers(0, side - width, n, endpoint=True), rng.integers(0, side - height, n, endpoint=True)], axis=1
    )


def add(images, patches, corners) -> None:
    """Adds one patch to each image in place; sums beyond white stay white."""
    windows, at = _windows(images, corners, patches.shape)
    under = windows[at]
    windows[at] = under + np.minimum(patches, 255 - under)


def rotate(digits: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Each digit turned about the centre of its box by its angle (radians, anticlockwise), see `affine`."""
    cos, sin = np.cos(angles), np.sin(angles)
    return affine(digits, np.stack([cos, -sin, sin, cos], axis=-1).reshape(-1, 2, 2))


def affine(digits: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Digits whose pixel at p is what was at M p, from the centre of the box; bilinear, black outside.

    `maps` are the M of the digits, `(n, 2, 2)`, for p as `(x, y)`.
    """
    n, height, width, channels = digits.shape
    cx, cy = (width - 1) / 2, (height - 1) / 2
    x, y = np.arange(width, dtype="float32") - cx, np.arange(height, dtype="float32")[:, None] - cy
    xx, xy, yx, yy = maps.astype("float32").reshape(-1, 4).T[..., None, None]
    source_x, source_y = (xx * x + cx) + xy * y, (yx * x + cy) + yy * y
    x0, y0 = np.floor(source_x), np.floor(source_y)
    fx, fy = (source_x - x0)[..., None], (source_y - y0)[..., None]
    # A black border two pixels wide is what every position outside the box falls on.
    padded = np.pad(digits, ((0, 0), (2, 2), (2, 2), (0, 0))).reshape(-1, channels)
    row = width + 4
    first = (np.arange(n, dtype="int32")[:, None, None] * (height + 4) + 2) * row + 2
    corner = first + np.clip(y0, -2, height).astype("int32") * row + np.clip(x0, -2, width).astype("int32")
    corner = corner.astype(np.intp)  # once, not in every `take`
    pixels = [padded.take(corner + step, axis=0) for step in (0, 1, row, row + 1)]
    upper, lower = (left * (1 - fx) + right * fx for left, right in (pixels[:2], pixels[2:]))
    return np.rint(upper * (1 - fy) + lower * fy).astype("uint8")


def crop(images: np.ndarray, corners: np.ndarray, size: int) -> np.ndarray:
    """A square of each image, `(n, size, size, channels)`, its upper left corner at `corners (n, 2)` as `(x, y)`."""
    windows, at = _windows(images, corners, (len(images), size, size, images.shape[-1]))
    return windows[at]


def _canvas(side: int, digits) -> np.ndarray:
    return _CANVASES((len(digits), side, side, digits.shape[-1]))


def _windows(images, corners, shape):
    """All windows of `shape` as a view of `images`, and the index in it of the one at each image's corner."""
    view = sliding_window_view(images, shape[1:], axis=(1, 2, 3), writeable=True)[:, :, :, 0]
    return view, (np.arange(len(images)), corners[:, 1], corners[:, 0])


def _boxes(corners, digits) -> np.ndarray:
    n, height, width, _ = digits.shape
    return np.concatenate([corners, np.tile([width, height], (n, 1))], axis=1)
