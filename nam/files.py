"""Files that are never half-written."""

import contextlib
import os
from pathlib import Path

PARTIAL = ".partial-"


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


def clear(folder: Path) -> None:
    """Removes what a process that was killed had begun to write there; to be called while no other writes there."""
    for path in folder.glob(PARTIAL + "*"):
        path.unlink()
