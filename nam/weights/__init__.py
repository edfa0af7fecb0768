"""The models that nam brings along, a card beside each: `nam.predict cluttered-60 photo.png` looks with one."""

import hashlib
import re
import shutil
from pathlib import Path

from nam.errors import UserError
from nam.files import replacing

FOLDER = Path(__file__).parent
SUMS = "SHA256SUMS"  # of the models' files, as sha256sum writes and checks them
LARGEST = 5_000_000  # bytes of a model


def names() -> list[str]:
    """The models that are there, as `cluttered-60`."""
    return [Path(file).stem for file in _sums()]


def find(name: str) -> Path:
    """The `.keras` file of one of `names`. Raises `UserError` if it is not the file that was added."""
    path = FOLDER / f"{name}.keras"
    if not path.is_file() or _sum(path) != _sums().get(path.name):
        raise UserError(f"{path} is not the model that nam came with: install nam anew.")
    return path


def add(name: str, model: Path, card: str) -> Path:
    """Copies a `.keras` file, with what there is to say about it in Markdown, under a name; returns the copy.

    Raises:
        UserError: If the name is not one for a file, or the model is larger than 5 MB.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise UserError(f"a model's name is small letters and digits, as cluttered-60. Received: {name}")
    if (size := model.stat().st_size) > LARGEST:
        raise UserError(f"{model} has {size / 1e6:.1f} MB: ship one of at most {LARGEST / 1e6:.0f}, as of fewer units.")
    path = FOLDER / f"{name}.keras"
    sums = {**_sums(), path.name: _sum(model)}
    with replacing(path) as temporary:
        shutil.copyfile(model, temporary)
    with replacing(path.with_suffix(".md")) as temporary:
        temporary.write_text(card)
    with replacing(FOLDER / SUMS) as temporary:
        temporary.write_text("".join(f"{digest}  {file}\n" for file, digest in sorted(sums.items())))
    return path


def _sums() -> dict[str, str]:
    """The sums by the names of the files."""
    path = FOLDER / SUMS
    lines = path.read_text().splitlines() if path.is_file() else []
    return {file: digest for digest, _, file in (line.partition("  ") for line in lines)}


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
