"""Image files as arrays, read one by one when they are needed."""

import contextlib
from pathlib import Path

import numpy as np
from PIL import Image

from nam.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg")
GREY = ("1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")


class Folder:
    """Images read from disk when indexed: `folder[indices]` is `(n, height, width, channels)` uint8.

    All get the height and width of the largest, on black; colour stays if any image has it.
    """

    def __init__(self, paths: np.ndarray, shape: tuple[int, int, int], fit: int | None):
        self.paths = paths
        self.shape = shape
        self.fit = fit

    @classmethod
    def of(cls, paths: np.ndarray, fit: int | None = None) -> "Folder":
        """The images at `paths`; with `fit`, larger ones are shrunk so that each fills a square of that side."""
        heads = [_head(path) for path in paths]
        height, width = (max(size) for size in zip(*((head[1], head[0]) for head in heads), strict=True))
        return cls(paths, (fit or height, fit or width, 3 if any(head[2] for head in heads) else 1), fit)

    def subset(self, indices) -> "Folder":
        return Folder(self.paths[indices], self.shape, self.fit)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, indices) -> np.ndarray:
        images = np.zeros((len(indices), *self.shape), "uint8")
        for image, path in zip(images, self.paths[indices], strict=True):
            pixels = decode(path, self.shape[-1], self.fit)
            top, left = (self.shape[0] - pixels.shape[0]) // 2, (self.shape[1] - pixels.shape[1]) // 2
            image[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return images


def find(root: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Paths, labels and class names of a folder with one sub-folder of images per class, in alphabetical order."""
    if not root.is_dir():
        raise UserError(f"no folder {root}: name one that has a sub-folder of PNG or JPEG images per class.")
    found = {
        folder.name: sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
        for folder in sorted(root.iterdir())
        if folder.is_dir()
    }
    found = {name: paths for name, paths in found.items() if paths}
    if len(found) < 2:
        raise UserError(
            f"{root} has {len(found)} sub-folders with PNG or JPEG images: at least two are needed, one per class."
        )
    few = min(found, key=lambda name: len(found[name]))
    if len(found[few]) < 3:
        raise UserError(
            f"{root / few} has {len(found[few])} images: at least three are needed per class, one per split."
        )
    labels = np.repeat(np.arange(len(found)), [len(paths) for paths in found.values()])
    return np.array([path for paths in found.values() for path in paths], dtype=object), labels, tuple(found)


def decode(path, channels: int, fit: int | None = None) -> np.ndarray:
    """The pixels of an image file, `(height, width, channels)` uint8, shrunk to a side of `fit` if it is larger.

    16-bit images keep their upper eight bits; what is transparent becomes black. Raises `UserError` if the file is
    not a whole image.
    """
    with _opened(path) as image:
        if image.mode.startswith("I;16"):
            image = Image.fromarray((np.asarray(image) >> 8).astype("uint8"))
        elif image.mode in ("I", "F"):
            image = Image.fromarray(np.clip(np.asarray(image) / 257, 0, 255).astype("uint8"))
        elif "A" in image.mode or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
        image = image.convert("L" if channels == 1 else "RGB")
        if fit and max(image.size) > fit:
            image.thumbnail((fit, fit), Image.Resampling.BOX)
        pixels = np.asarray(image)
    return pixels[..., None] if channels == 1 else pixels


def _head(path) -> tuple[int, int, bool]:
    """Width, height and whether the image has colour. Decodes all of it, so that a broken file is found at once."""
    with _opened(path) as image:
        return *image.size, image.mode not in GREY


@contextlib.contextmanager
def _opened(path):
    """A whole image, decoded; whatever is wrong with its file becomes a `UserError`."""
    try:
        with Image.open(path) as image:
            image.load()
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read the image {path} ({error}): repair or remove it.") from None
