"""Where digits come from: prepared or downloaded datasets, the bundled digits, a folder of images."""

import os
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from nam.config import DIGIT, FOLDER, Config
from nam.data import svhn
from nam.data.images import Folder, find, resized
from nam.errors import UserError, first_line
from nam.files import read_arrays, user_path

VALIDATION_SHARE = 0.1
DIGITS = tuple("0123456789")  # the classes of all but folders
PROBE_URL = "https://storage.googleapis.com/tfds-data/"  # where TensorFlow Datasets and Keras keep MNIST
PROBE_SECONDS = 4.0
READ_SECONDS = 60.0  # that a download may pause
MAX_BYTES = 2**30  # of an .npz, unpacked; MNIST has 55 million


class Examples(NamedTuple):
    """The digits of one split."""

    images: object  # images[indices] is (n, height, width, channels) uint8: an array, or a `Folder`
    labels: np.ndarray  # (count,) integers
    clutter: object  # like images: what fragments are cut from
    boxes: np.ndarray | None = None  # of photographed numbers, whose labels are (count, targets), see `sequences`


class Source(NamedTuple):
    train: Examples
    validation: Examples
    test: Examples
    classes: tuple[str, ...]
    # How often one epoch draws each training digit (1.5: half of them once, half twice), and how often each digit of
    # the others is drawn:
    train_draws: float = 1
    validation_draws: int = 1
    test_draws: int = 1


def default(data_dir: str | None) -> tuple[str, str | None]:
    """The dataset when none is asked for: MNIST if at hand or within reach, else the bundled digits.

    Returns its name, and a line that says why if the digits stand in.
    """
    if prepared("mnist", data_dir) or not (reason := _cannot_download()):
        return "mnist", None
    return "digits", f"no MNIST at hand ({reason}): training on the 1,797 digits bundled with scikit-learn instead"


def read(config: Config, data_dir: str | None) -> Source:
    """Reads the dataset of a resolved config and splits it.

    The config's seed chooses the validation split, and the training examples if not all are used. Task `belaid` splits
    digits as the published study did: the last tenth validates, and clutter comes from all but the test digits.
    """
    if config.dataset.startswith(FOLDER):
        source = _folder(config)
    elif config.dataset == "digits":
        source = _bundled(config)
    elif config.dataset == "svhn":
        source = _house_numbers(config, data_dir)
    else:
        source = _held_out(config, *_arrays(config.dataset, data_dir))
    if config.digit_size not in (None, DIGIT):
        splits = {name: getattr(source, name) for name in ("train", "validation", "test")}
        source = source._replace(
            **{name: part._replace(images=resized(part.images, config.digit_size)) for name, part in splits.items()}
        )
    return source._replace(train=_some(source.train, config)) if config.train_size else source


def _some(train: Examples, config: Config) -> Examples:
    """As many of the training examples as the config asks for; clutter is cut from all."""
    count = len(train.labels)
    if config.train_size > count:
        raise UserError(
            f"train_size must be at most the {count:,} training examples of {config.dataset}. "
            f"Received: train_size={config.train_size}"
        )
    chosen = np.sort(np.random.default_rng(config.seed).permutation(count)[: config.train_size])
    images = train.images.subset(chosen) if isinstance(train.images, Folder) else train.images[chosen]
    boxes = None if train.boxes is None else train.boxes[chosen]
    return train._replace(images=images, labels=train.labels[chosen], boxes=boxes)


def prepared(name: str, data_dir: str | None) -> Path | None:
    """The folder or file under the data folder that holds the dataset ready to read, if any."""
    root = _data_dir(data_dir)
    file = root / f"{name}.npz"
    if file.is_file():
        return file
    folders = sorted(path.parent for path in root.glob(f"{name}/*/dataset_info.json"))
    return folders[-1] if folders else None


def _data_dir(data_dir: str | None) -> Path:
    return user_path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def _cannot_download() -> str | None:
    """Why nothing can be downloaded, found out within seconds; TensorFlow Datasets alone tries for minutes."""
    try:
        import tensorflow_datasets  # noqa: F401
    except ImportError:
        return "tensorflow-datasets is not installed"
    return _unreachable(PROBE_URL)


def _unreachable(address: str) -> str | None:
    """Why an address cannot be reached, found out within seconds."""
    problem = ["no answer from the network"]

    def probe():
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=PROBE_SECONDS)
        except urllib.error.HTTPError as error:
            if error.code in (403, 407) or error.code >= 500:  # a proxy's, most likely
                problem[0] = f"the network answers {error.code}"
                return
        except OSError:
            problem[0] = "no network"
            return
        problem.clear()

    # In a thread: looking up a name has no time limit of its own.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS + 1)
    return problem[0] if problem else None


def _arrays(name: str, data_dir: str | None):
    """Training and test images and labels, as TensorFlow Datasets or an .npz of the same arrays holds them."""
    found = prepared(name, data_dir)
    if found is None and (reason := _cannot_download()):
        raise UserError(
            f"no {name} under {_data_dir(data_dir)}, and it cannot be downloaded ({reason}): name its folder "
            f"with --data-dir, or use --dataset digits."
        )
    try:
        if found is not None and found.suffix == ".npz":
            file = read_arrays(found, MAX_BYTES)
            arrays = [file[key] for key in ("x_train", "y_train", "x_test", "y_test")]
        else:
            arrays = _tensorflow_datasets(name, data_dir, download=found is None)
        train_images, train_labels, test_images, test_labels = arrays
        train_images, test_images = (images.reshape(-1, DIGIT, DIGIT, 1) for images in (train_images, test_images))
        if (
            len(train_images) != len(train_labels)
            or len(test_images) != len(test_labels)
            or {train_images.dtype, test_images.dtype} != {np.dtype("uint8")}
            or {train_labels.ndim, test_labels.ndim} != {1}
        ):
            raise ValueError("images and labels do not match")
        labels = np.concatenate([train_labels, test_labels])
        if labels.dtype.kind not in "iu" or not np.isin(labels, range(len(DIGITS))).all():
            raise ValueError("labels are not whole numbers from 0 to 9")
        if len(train_labels) < 10 or not len(test_labels):
            raise ValueError("there are not ten images to train on and one to test")
    except ImportError as error:
        raise UserError(
            f"{found or name} needs TensorFlow to be read ({error.name} is missing): install tensorflow-datasets, or "
            f"put an {name}.npz with x_train, y_train, x_test, y_test into {_data_dir(data_dir)}."
        ) from None
    except Exception as error:  # a broken file shows as any of a dozen exceptions of three libraries
        repair = f"remove {found} so that it is prepared anew" if found else "give the command again"
        raise UserError(
            f"cannot read {name} from {found or _data_dir(data_dir)} ({first_line(error)}): {repair}, or name another "
            "folder with --data-dir."
        ) from None
    return train_images, train_labels, test_images, test_labels


def _tensorflow_datasets(name: str, data_dir: str | None, download: bool):
    import tensorflow as tf
    import tensorflow_datasets as tfds

    if keras.backend.backend() != "tensorflow":
        tf.config.set_visible_devices([], "GPU")  # only reads here: the accelerator belongs to the other backend
    if not download:
        tfds.display_progress_bar(False)
    arrays = []
    for split in ("train", "test"):
        data = tfds.load(name, split=split, data_dir=str(_data_dir(data_dir)), batch_size=-1, download=download)
        data = tfds.as_numpy(data)
        arrays += [data["image"], data["label"]]
    return arrays


def _shares(count: int, seed: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Which of so many to train on, and the tenth held out for validation: drawn, or without a seed the last."""
    order = np.arange(count) if seed is None else np.random.default_rng(seed).permutation(count)
    kept = count - int(count * VALIDATION_SHARE)
    return np.sort(order[:kept]), np.sort(order[kept:])


def _held_out(config: Config, train_images, train_labels, test_images, test_labels, **draws) -> Source:
    """A tenth of the training digits held out for validation."""
    belaid = config.task == "belaid"
    train, validation = _shares(len(train_images), None if belaid else config.seed)

    def examples(images, labels):
        return Examples(images, labels, train_images if belaid else images)

    return Source(
        examples(train_images[train], train_labels[train]),
        examples(train_images[validation], train_labels[validation]),
        Examples(test_images, test_labels, train_images if belaid else test_images),
        DIGITS,
        **draws,
    )


def _house_numbers(config: Config, data_dir: str | None) -> Source:
    """SVHN's numbers from the folder `svhn` of the data folder, a tenth of those to train on held out."""
    root = _data_dir(data_dir) / "svhn"
    if not {"train", "test"} <= {*svhn.found(root)}:
        if reason := _unreachable(svhn.HOME):
            raise UserError(
                f"no svhn under {root}, and it cannot be downloaded ({reason}): put train.tar.gz and test.tar.gz from "
                f"{svhn.HOME} there, or use --dataset mnist --task sequence."
            )
        svhn.download(root, READ_SECONDS)
    train, test = svhn.read(root)
    first, second = _shares(len(train.labels), config.seed)

    def examples(numbers: svhn.Numbers, chosen=slice(None)) -> Examples:
        images, labels, boxes = (part[chosen] for part in numbers)
        return Examples(images, labels, images, boxes)

    return Source(examples(train, first), examples(train, second), examples(test), DIGITS)


def _bundled(config: Config) -> Source:
    """scikit-learn's digits, enlarged from 8×8 to the digit box; a fifth of them, always the same, for the test."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    small = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype("uint8")
    large = resized(small[..., None], DIGIT)
    order = np.random.default_rng(0).permutation(len(labels))
    test, train = order[: len(labels) // 5], order[len(labels) // 5 :]
    return _held_out(
        config,
        large[train],
        labels[train],
        large[test],
        labels[test],
        train_draws=1.5,
        validation_draws=3,
        test_draws=10,
    )


def _folder(config: Config) -> Source:
    """A folder of one sub-folder per class: a tenth of each class tests, always the same; another tenth validates."""
    root = user_path(config.dataset[len(FOLDER) :])
    paths, labels, classes = find(root)
    fixed, rng = np.random.default_rng(0), np.random.default_rng(config.seed)
    splits = ([], [], [])  # test, validation, train
    for label in range(len(classes)):
        members = fixed.permutation(np.flatnonzero(labels == label))
        tenth = max(1, int(len(members) * VALIDATION_SHARE))
        others = rng.permutation(members[tenth:])
        for split, part in zip(splits, (members[:tenth], others[:tenth], others[tenth:]), strict=True):
            split.extend(part)
    # Only the task that shows images as they are may also shrink them to its canvas.
    images = Folder.of(paths, config.canvas if config.task == "original" else None)
    if config.canvas is not None and max(images.shape[:2]) > config.canvas:
        raise UserError(
            f"canvas must hold the largest image of {root}, {images.shape[1]}×{images.shape[0]} pixels: set it to "
            f"{max(images.shape[:2])} or more. Received: canvas={config.canvas}"
        )
    if config.distractor_size and config.distractor_size > min(images.shape[:2]) - (config.task == "belaid"):
        raise UserError(
            f"distractor_size must be at most the images' {min(images.shape[:2])} pixels. "
            f"Received: distractor_size={config.distractor_size}"
        )
    test, validation, train = (
        Examples(images.subset(part), labels[part], images.subset(part)) for part in map(np.array, splits)
    )
    return Source(train, validation, test, classes)
