"""Street View House Numbers, format 1 (Netzer et al. 2011): whole numbers, a box for each digit.

`train`, `test` and, if there, `extra` are read as they are published: a folder of `1.png`, `2.png` … with
`digitStruct.mat`, or a `.tar.gz` of one. Their crops are kept beside them in `crops.npz`.
"""

import contextlib
import gzip
import io
import json
import shutil
import tarfile
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from PIL import Image

from nam.data.images import MAX_PIXELS, decode
from nam.data.sequences import LONGEST, SIDE, TARGETS, ended
from nam.errors import UserError, first_line
from nam.files import read_arrays, replacing

PARTS = ("train", "test", "extra")
HOME = "http://ufldl.stanford.edu/housenumbers/"  # its archives are train.tar.gz and so on
MARGIN = 1.3  # side of the square around a number, relative to the number's longer side
STRUCT = "digitStruct.mat"
CACHE = "crops.npz"
MAX_BYTES = 2**28  # of a file in an archive; the largest published has less than half of that
MAX_UNPACKED = 2**34  # of an archive; the largest published has an eighth of that
MAX_CACHE = 2**32  # all crops of the published parts have a quarter of that
MAX_LISTED = 10**6  # images of a part; the largest published has a fifth of that
MAX_LENGTH = 1000  # letters of a name, digits of a number


class Numbers(NamedTuple):
    """Crops of house numbers."""

    images: np.ndarray  # (n, SIDE, SIDE, 1) uint8
    labels: np.ndarray  # (n, TARGETS), see `sequences`
    boxes: np.ndarray  # (n, TARGETS, 4) (x, y, width, height), pixels of the crop


class Entry(NamedTuple):
    """What `digitStruct.mat` says of an image."""

    name: str
    labels: np.ndarray  # (digits,), 0 to 9
    boxes: np.ndarray  # (digits, 4) (x, y, width, height), pixels of the image


def found(root: Path) -> dict[str, Path]:
    """The parts that lie in a folder, each a folder or an archive."""
    places = {part: (root / part, root / f"{part}.tar.gz") for part in PARTS}
    return {part: path for part, paths in places.items() for path in paths[::-1] if path.exists()}


def read(root: Path) -> tuple[Numbers, Numbers]:
    """The numbers to train on, `train` and `extra` together, and those of `test`.

    Raises:
        UserError: If `train` or `test` is missing, or cannot be read.
    """
    cache, parts = root / CACHE, found(root)
    if missing := {"train", "test"} - {*parts}:
        raise UserError(
            f"{root} lacks {' and '.join(sorted(missing))}: put the folder or .tar.gz of format 1 there, from {HOME}"
        )
    # A folder's time changes with the files in it.
    key = json.dumps([SIDE, MARGIN, *((part, path.name, path.stat().st_mtime_ns) for part, path in parts.items())])
    if (kept := _kept(cache, key)) is not None:
        return kept
    numbers = {part: crops(path) for part, path in parts.items()}
    train = [numbers[part] for part in ("train", "extra") if part in numbers]
    both = Numbers(*map(np.concatenate, zip(*train, strict=True))), numbers["test"]
    try:
        arrays = {f"{name}_{field}": value for name, one in zip(("train", "test"), both, strict=True)
                  for field, value in one._asdict().items()}  # fmt: skip
        with replacing(cache) as temporary, temporary.open("wb") as file:
            np.savez(file, parts=np.array(key), **arrays)
    except OSError:
        pass  # a folder that cannot be written to is read anew each time
    return both


def _kept(cache: Path, key: str) -> tuple[Numbers, Numbers] | None:
    """What the cache holds, if it is whole and of these parts."""
    try:
        file = read_arrays(cache, MAX_CACHE)
        if str(file["parts"]) != key:
            return None
        return tuple(Numbers(*(file[f"{name}_{field}"] for field in Numbers._fields)) for name in ("train", "test"))
    except Exception:  # missing, cut or changed: any of a dozen exceptions
        return None


def crops(path: Path) -> Numbers:
    """The crops of a part: the square around all digits and 30 % more, grey, `SIDE` pixels wide.

    Numbers of more than five digits, or with one outside of the image, are left out, and so are missing images, with
    one warning that counts them.

    Raises:
        UserError: If the part has no `digitStruct.mat`, or that or an image cannot be read.
    """
    with _opened(path) as (struct, members):
        listed = list(entries(struct, path))
        short = [entry for entry in listed if len(entry.labels) <= LONGEST]
        boxes = {entry.name: entry.boxes for entry in short}
        # In the order of the archive: to go back in one is to unpack it from its start.
        found = {
            name: crop(decode(image(), 1)[..., 0], boxes[name]) for name, image in members.items() if name in boxes
        }
    cropped = {name: cut for name, cut in found.items() if cut is not None}
    there = [entry for entry in short if entry.name in cropped]
    left_out = {
        "images are missing": len(short) - sum(entry.name in found for entry in short),
        "numbers are too long": len(listed) - len(short),
        "numbers lie outside of their images": len(found) - len(cropped),
    }
    if told := [f"{count:,} {what}" for what, count in left_out.items() if count]:
        print(f"warning: {path}: {' and '.join(told)}: left out", flush=True)
    if not there:
        raise UserError(f"{path} holds none of the images that its {STRUCT} lists: unpack the whole archive.")
    images, own = zip(*(cropped[entry.name] for entry in there), strict=True)
    boxes = [np.pad(one, ((0, TARGETS - len(one)), (0, 0))) for one in own]
    labels = [np.pad(entry.labels, (0, LONGEST - len(entry.labels))) for entry in there]
    lengths = np.array([len(entry.labels) for entry in there])
    return Numbers(np.stack(images)[..., None], ended(np.array(labels), lengths), np.array(boxes, "float32"))


def crop(image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The square `(SIDE, SIDE)` around the boxes `(digits, 4)` of a grey image, and the boxes in it.

    What of a box lies outside of the image is cut off; `None` if nothing of it is left. What of the square lies outside
    shows the image's edge.
    """
    size = np.array(image.shape[::-1], "float32")
    low, high = np.clip(boxes[:, :2], 0, size), np.clip(boxes[:, :2] + boxes[:, 2:], 0, size)
    if (low >= high).any():
        return None
    first, last = low.min(0), high.max(0)
    side = MARGIN * (last - first).max()
    if side**2 > MAX_PIXELS:
        raise UserError(f"a number of {side:,.0f} pixels is none: its boxes are damaged, take another copy from {HOME}")
    corner = (first + last - side) / 2
    margin = int(np.ceil(max(0, -corner.min(), (corner + side - size).max())))
    padded = Image.fromarray(np.pad(image, margin, mode="edge"))
    x, y = (float(value) for value in corner + margin)
    pixels = padded.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=(x, y, x + float(side), y + float(side)))
    return np.asarray(pixels), np.concatenate([low - corner, high - low], axis=1) * (SIDE / side)


def entries(struct, path: Path) -> Iterator[Entry]:
    """What a `digitStruct.mat` lists. Raises `UserError` if it is not whole."""
    try:
        with h5py.File(struct, "r") as file:
            names, boxes = file["digitStruct/name"], file["digitStruct/bbox"]

            def column(found, most):
                # A few bytes may claim any number of values, or those of another file.
                if len(found) > most or found.external or found.is_virtual:
                    raise ValueError(f"{found.name} has {len(found):,} values, {most:,} of its own at most are read")
                return found[:, 0]

            def values(box, field):
                # One digit's value stands there itself, those of several behind references.
                found = column(box[field], MAX_LENGTH)
                return [file[one][0, 0] for one in found] if found.dtype == object else [found[0]]

            for name, box in zip(column(names, MAX_LISTED), column(boxes, MAX_LISTED), strict=True):
                text = "".join(map(chr, column(file[name], MAX_LENGTH)))
                columns = [values(file[box], field) for field in ("label", "left", "top", "width", "height")]
                labels, *rest = (np.array(column, "float32") for column in columns)
                # MATLAB counts pixels from 1: boxes that are cut off at the image's edge begin there.
                placed = np.stack(rest, axis=1) - np.array([1, 1, 0, 0], "float32")
                if not np.isin(labels, range(11)).all() or not np.isfinite(placed).all() or not len(labels):
                    raise ValueError(f"{text!r} has labels {labels} and boxes {placed.tolist()}")
                yield Entry(Path(text).name, labels.astype(int) % 10, placed)  # 10 stands for 0
    except Exception as error:  # a cut or changed file shows as any of a dozen exceptions
        what = first_line(error)
        raise UserError(f"cannot read the {STRUCT} of {path} ({what}): take another copy from {HOME}") from None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[object, dict[str, Callable]]]:
    """The `digitStruct.mat` of a part, and its files: name → what finds one, in the order in which they lie there."""
    if path.is_dir():
        if not (path / STRUCT).is_file():
            raise UserError(f"{path} has no {STRUCT}: unpack the whole archive.")
        yield path / STRUCT, {file.name: partial(Path, file) for file in path.iterdir() if file.is_file()}
        return
    try:
        with _Unpacked(path) as unpacked, tarfile.open(fileobj=unpacked, mode="r:") as archive:
            members = {}
            for member in archive:
                if member.size > MAX_BYTES:  # told before what follows it is looked for
                    raise UserError(
                        f"{member.name!r} in {path} has {member.size:,} bytes, {MAX_BYTES:,} at most are read: take "
                        f"another copy from {HOME}"
                    )
                if member.isfile():
                    members[Path(member.name).name] = member
                if len(members) > MAX_LISTED or unpacked.tell() > MAX_UNPACKED:
                    raise tarfile.ReadError("it holds more than any part of format 1")
            if STRUCT not in members:
                raise UserError(f"{path} has no {STRUCT}: take another copy from {HOME}")

            def content(member: tarfile.TarInfo) -> bytes:
                return archive.extractfile(member).read()

            def image(member: tarfile.TarInfo) -> _Named:
                # Read in memory: nothing of an archive is ever written anywhere.
                return _Named(content(member), f"{path}: {Path(member.name).name}")

            yield (
                io.BytesIO(content(members[STRUCT])),
                {name: partial(image, member) for name, member in members.items()},
            )
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise UserError(f"cannot read {path} ({first_line(error)}): take another copy from {HOME}") from None


class _Unpacked(gzip.GzipFile):
    """A `.gz` file of which no more than `MAX_BYTES` are unpacked at once, as a long name in an archive would be."""

    def read(self, size=-1):
        if size is not None and size > MAX_BYTES:
            raise OSError(f"it holds {size:,} bytes at one place, {MAX_BYTES:,} at most are read")
        return super().read(size)


class _Named(io.BytesIO):
    """A file in memory that an error can name."""

    def __init__(self, content: bytes, name: str):
        super().__init__(content)
        self._told = name

    def __str__(self) -> str:
        return self._told


def download(root: Path, seconds: float) -> None:
    """Fetches the archives that are missing. Raises `UserError` if their home does not answer within `seconds`."""
    for part in reversed(PARTS):  # so that who has train and test has all that there is
        if part in found(root):
            continue
        address = f"{HOME}{part}.tar.gz"
        try:
            root.mkdir(parents=True, exist_ok=True)
            with urllib.request.urlopen(address, timeout=seconds) as source:
                print(f"fetching {address}", flush=True)
                with replacing(root / f"{part}.tar.gz") as temporary, temporary.open("wb") as file:
                    shutil.copyfileobj(source, file)
                    if str(file.tell()) != source.headers.get("Content-Length", str(file.tell())):
                        raise OSError("the connection broke off")
        except OSError as error:
            raise UserError(
                f"no svhn under {root}, and {address} cannot be fetched ({error}): put its archives or folders there, "
                "or use --dataset mnist --task sequence."
            ) from None
