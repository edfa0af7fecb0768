"""Image files as arrays, read one by one when they are needed."""

import contextlib
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from nam.errors import UserError, first_line

MAX_SCANS = 100  # of a JPEG, each of which is decoded into all its pixels; progressive ones have about ten
MAX_PIXELS = 89_478_485  # of an image: beyond that Pillow, too, takes a file for a bomb
SUFFIXES = (".png", ".jpg", ".jpeg")
GREY = ("1", "L", "LA", "I;16")


class Folder:
    """Images read from disk when indexed: `folder[indices]` is `(n, height, width, channels)` uint8.

    All get the height and width of the largest, on black; colour stays if any image has it.
    """

    def __init__(self, paths: np.ndarray, shape: tuple[int, int, int]):
        self.paths = paths
        self.shape = shape

    @classmethod
    def of(cls, paths: np.ndarray, fit: int | None = None) -> "Folder":
        """The images at `paths`; with `fit`, larger ones are shrunk so that each fills a square of that side."""
        heads = [_head(path) for path in paths]
        height, width = (max(size) for size in zip(*((head[1], head[0]) for head in heads), strict=True))
        return cls(paths, (fit or height, fit or width, 3 if any(head[2] for head in heads) else 1))

    def subset(self, indices) -> "Folder":
        return Folder(self.paths[indices], self.shape)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, indices) -> np.ndarray:
        return np.stack([place(path, self.shape).pixels for path in self.paths[indices]])


def is_image(path: Path) -> bool:
    """Whether it is called as an image file is, and is one that can be read to its end."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


class Placed(NamedTuple):
    """An image file in the middle of a black canvas."""

    pixels: np.ndarray  # (height, width, channels) uint8
    corner: tuple[int, int]  # (x, y) of its upper left corner on the canvas
    zoom: tuple[float, float]  # pixels of the canvas per pixel of the file, across and down, 1 at most
    bright: bool  # whether the greater part of the file is


def find(root: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Paths, labels and class names of a folder with one sub-folder of images per class, in alphabetical order."""
    if not root.is_dir():
        raise UserError(f"no folder {root}: name one that has a sub-folder of PNG or JPEG images per class.")
    found = {
        folder.name: sorted(filter(is_image, folder.iterdir())) for folder in sorted(root.iterdir()) if folder.is_dir()
    }
    found = {name: paths for name, paths in found.items() if paths}
    for name in found:
        if re.search("[\ud800-\udfff]", name):  # bytes that are no letters
            raise UserError(f"the name of {str(root / name)!a} cannot be shown: rename that folder.")
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


def place(path, shape: tuple[int, int, int], invert: bool = False) -> Placed:
    """The image of a file on a canvas of `shape`, `(height, width, channels)`; shrunk if it is larger.

    Raises `UserError` if the file is not a whole image. `invert` makes ink on paper bright on black.
    """
    canvas, pixels, zoom = np.zeros(shape, "uint8"), decode(path, shape[-1], invert), (1.0, 1.0)
    if pixels.shape[0] > shape[0] or pixels.shape[1] > shape[1]:
        image = Image.fromarray(pixels.squeeze(-1) if shape[-1] == 1 else pixels)
        image.thumbnail((shape[1], shape[0]), Image.Resampling.BOX)
        zoom = image.width / pixels.shape[1], image.height / pixels.shape[0]
        pixels = np.asarray(image).reshape(image.height, image.width, shape[-1])
    top, left = ((whole - part) // 2 for whole, part in zip(shape[:2], pixels.shape[:2], strict=True))
    canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return Placed(canvas, (left, top), zoom, bool(np.median(pixels) > 127))


def resized(images: np.ndarray, side: int) -> np.ndarray:
    """Grey images `(n, height, width, 1)` uint8 as squares of `side` pixels, bilinear; smoothed where they shrink."""
    shape = (side, side)
    return np.stack(
        [np.asarray(Image.fromarray(image[..., 0]).resize(shape, Image.Resampling.BILINEAR)) for image in images]
    )[..., None]


def decode(path, channels: int, invert: bool = False) -> np.ndarray:
    """The pixels of an image file, `(height, width, channels)` uint8; `invert` makes black white and white black.

    16-bit images keep their upper eight bits; what is transparent becomes black. Raises `UserError` if the file is
    not a whole image.
    """
    with _opened(path) as image:
        if image.mode == "I;16":
            image = Image.fromarray((np.asarray(image) >> 8).astype("uint8"))
        elif "A" in image.mode or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white" if invert else "black"), image)
        image = image.convert("L" if channels == 1 else "RGB")
        pixels = np.asarray(image).reshape(image.height, image.width, channels)
        return 255 - pixels if invert else pixels


def _head(path) -> tuple[int, int, bool]:
    """Width, height and whether the image has colour. Decodes all of it, so that a broken file is found at once."""
    with _opened(path) as image:
        return *image.size, image.mode not in GREY


@contextlib.contextmanager
def _opened(path):
    """A whole image, decoded; whatever is wrong with its file becomes a `UserError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # told below
            opened = Image.open(path, formats=("PNG", "JPEG"))  # others would start programs, as Ghostscript
        with opened as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it holds {image.width:,} × {image.height:,} pixels, {MAX_PIXELS:,} at most are read")
            if image.format == "JPEG" and (count := _content(image).count(b"\xff\xda")) > MAX_SCANS:
                raise ValueError(f"it holds {count:,} scans, {MAX_SCANS} at most are read")
            image.load()
            yield ImageOps.exif_transpose(image)  # cameras store what is upright lying on its side, and say so
    except Exception as error:  # a cut or changed file shows as any of a dozen exceptions
        what = first_line(error)
        raise UserError(f"cannot read the image {path} ({what}): repair or remove it.") from None


def _content(image: Image.Image) -> bytes:
    """All bytes of an image's file, before it is decoded."""
    position = image.fp.tell()
    image.fp.seek(0)
    content = image.fp.read()
    image.fp.seek(position)
    return content
