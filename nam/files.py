"""Paths that users name, and files that are never half-written."""

import contextlib
import os
from pathlib import Path

import numpy as np

from nam.errors import UserError, first_line

PARTIAL = ".partial-"


def user_path(name: str | Path) -> Path:
    """The path that a user named, `~` being a home. Raises `UserError` where no file could be of that name."""
    try:
        path = Path(name).expanduser()
        path.exists()  # which is a question that cannot be asked of every name
    except (OSError, RuntimeError, ValueError) as error:
        what = getattr(error, "strerror", None) or first_line(error)
        raise UserError(f"there can be no {str(name)[:100]!r} ({what}): name another path.") from None
    return path


@contextlib.contextmanager
def replacing(path: Path):
    """A temporary path that takes the place of `path` when the block ends well: never half a file."""
    temporary = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")  # another process may write the same file
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_arrays(path: Path, most: int) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file by name, without pickles.

    Raises:
        Exception: Any of a dozen if the file is missing, cut or changed.
        ValueError: If it is no file, or would unpack to more than `most` bytes.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ValueError("it is no file")
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        size = sum(member.file_size for member in file.zip.infolist())
        if size > most:
            raise ValueError(f"it unpacks to {size:,} bytes, {most:,} at most are read")
        return {name: file[name] for name in file.files}


def clear(folder: Path) -> None:
    """Removes what a process that was killed had begun to write there; to be called while no other writes there."""
    for path in folder.glob(PARTIAL + "*"):
        path.unlink()
