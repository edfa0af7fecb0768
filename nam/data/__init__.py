"""Datasets, tasks and batches: `load` turns a resolved config into the splits that a model trains and is tested on."""

import zlib
from typing import Any, NamedTuple

from nam.config import Config
from nam.data.pipeline import TEST, TRAIN, VALIDATION, Batches
from nam.data.sequences import CROP, END, TARGETS
from nam.data.sources import default, read
from nam.errors import UserError

__all__ = ["Spec", "Splits", "default", "load"]


class Spec(NamedTuple):
    """What a model must know of the data."""

    height: int
    width: int
    channels: int
    classes: tuple[str, ...]
    targets: int = 1  # things to read in an image, one after the other


class Splits(NamedTuple):
    train: Batches
    validation: Batches
    test: Batches
    spec: Spec

    def to_ask(self, name: str) -> Batches:
        """The images that a model is asked about: `test`, `validation`, or `train`, whose digits then lie elsewhere."""
        found = getattr(self, name)
        return Batches(found.config, found.examples, TEST) if name == "train" else found

    def told(self) -> dict[str, Any]:
        """How many images there are of each split, of which classes, and a checksum of the labels in their order."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        labels = b"".join(split.examples.labels.astype("<i8").tobytes() for split in splits.values())
        sizes = {name: split.size for name, split in splits.items()}
        return {**sizes, "classes": list(self.spec.classes), "checksum": zlib.crc32(labels)}


def load(config: Config, data_dir: str | None = None) -> Splits:
    """The splits of a resolved config. `data_dir` is where prepared datasets lie, see `Execution`."""
    source = read(config, data_dir)
    splits = [
        Batches(config, source.train, TRAIN, source.train_draws),
        Batches(config, source.validation, VALIDATION, source.validation_draws),
        Batches(config, source.test, TEST, source.test_draws),
    ]
    if config.task == "sequence":
        return Splits(*splits, Spec(CROP, CROP, 1, (*source.classes[:END], "end"), TARGETS))
    height, width, channels = source.train.images.shape[-3:]
    if config.canvas is not None:
        height = width = config.canvas
    # Several batches are in memory at a time.
    if config.batch_size * height * width * channels > 2**30:
        raise UserError(
            f"batch_size times an image's values must be at most 2^30: lower --batch-size, or set --canvas. Received: "
            f"batch_size={config.batch_size}, images of {height} × {width} × {channels}"
        )
    return Splits(*splits, Spec(height, width, channels, source.classes))
