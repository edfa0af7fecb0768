import functools
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nam import data
from nam.config import Config
from nam.data import sources
from nam.data.images import decode
from nam.errors import UserError


@pytest.fixture(scope="module", autouse=True)
def read_once():
    """What was read of a folder is not read again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "_arrays", functools.cache(sources._arrays))
        yield


def offline(monkeypatch):
    monkeypatch.setattr(sources, "PROBE_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def folder(tmp_path, rng):
    """Two classes, grey PNG and colour JPEG of several sizes."""
    for name, count, mode in (("cats", 12, "L"), ("dogs", 20, "RGB")):
        (tmp_path / name).mkdir()
        for i in range(count):
            size = (10 + i, 20) if mode == "L" else (16, 12)
            image = Image.fromarray(rng.integers(0, 256, (*size, 3)).astype("uint8")).convert(mode)
            image.save(tmp_path / name / f"{i}.{'png' if mode == 'L' else 'jpeg'}")
    return tmp_path


def load(dataset, data_dir=None, **values):
    return data.load(Config(**values).resolved(str(dataset)), data_dir)


def test_mnist_splits_by_seed(mnist_dir):
    splits = load("mnist", mnist_dir, task="original")
    assert [s.size for s in splits[:3]] == [53952, 6000, 10000] and len(splits.train.examples.labels) == 54000
    assert splits.spec == (28, 28, 1, tuple("0123456789"), 1)
    again, other = (load("mnist", mnist_dir, task="original", seed=s) for s in (0, 1))
    np.testing.assert_array_equal(splits.validation.batch(0).images, again.validation.batch(0).images)
    assert not np.array_equal(splits.validation.batch(0).images, other.validation.batch(0).images)
    np.testing.assert_array_equal(splits.test.batch(0).images, other.test.batch(0).images)


def test_fashion_mnist_is_read(mnist_dir):
    assert load("fashion_mnist", mnist_dir, task="original").test.batch(0).labels.max() == 9


def test_belaid_splits_as_published(mnist_dir):
    plain, belaid = (load("mnist", mnist_dir, task=task) for task in ("original", "belaid"))
    assert len(belaid.train.examples.labels) == 54000 and len(belaid.train.examples.clutter) == 60000
    assert len(plain.train.examples.clutter) == 54000
    together = np.concatenate([belaid.train.examples.labels, belaid.validation.examples.labels])
    with_tfds = sources._arrays("mnist", mnist_dir)[1]
    np.testing.assert_array_equal(together, with_tfds)


def test_the_bundled_digits_are_whole_and_apart():
    splits = load("digits", task="original")
    assert [s.total / len(s.examples.labels) for s in splits[:3]] == pytest.approx([1.5, 3, 10], rel=1e-3)
    parts = [split.examples.images.tobytes() for split in splits[:3]]
    assert sum(len(part) for part in parts) == 1797 * 28 * 28
    images = splits.test.batch(0).images
    assert images.shape == (64, 28, 28, 1) and images.max() == 255


def test_digits_of_training_are_asked_about_in_images_that_training_did_not_see():
    splits = load("digits", task="translated", canvas=40)
    asked = splits.to_ask("train")
    assert asked.size == len(splits.train.examples.labels) and splits.to_ask("test") is splits.test
    images = asked.batch(0).images
    assert not any((image == images[0]).all() for image in splits.train.batch(0).images)
    asked.on_epoch_end()
    np.testing.assert_array_equal(asked.batch(0).images, images)


def test_an_npz_stands_in_for_tensorflow_datasets(tmp_path, rng):
    arrays = {"x_train": rng.integers(0, 256, (50, 28, 28)).astype("uint8"), "y_train": np.arange(50) % 10}
    arrays |= {"x_test": arrays["x_train"][:20], "y_test": arrays["y_train"][:20]}
    np.savez(tmp_path / "mnist.npz", **arrays)
    assert data.default(str(tmp_path)) == ("mnist", None)
    splits = load("mnist", str(tmp_path), task="original", batch_size=5)
    assert len(splits.train.examples.labels) == 45 and splits.validation.size == 5
    np.testing.assert_array_equal(splits.test.batch(0).images[..., 0], arrays["x_test"][:5])


def test_a_digit_that_only_the_test_has_is_a_class(tmp_path, rng):
    images = rng.integers(0, 256, (20, 28, 28)).astype("uint8")
    labels = np.arange(20) % 9
    np.savez(tmp_path / "mnist.npz", x_train=images, y_train=labels, x_test=images, y_test=np.full(20, 9))
    assert load("mnist", str(tmp_path), task="original").spec.classes == tuple("0123456789")


def test_a_download_that_failed_removes_nothing(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(sources, "_cannot_download", lambda: None)
    monkeypatch.setattr(sources, "_tensorflow_datasets", full)
    with pytest.raises(UserError, match="cannot read mnist from .*No space left.*: give the command again"):
        load("mnist", str(tmp_path))


def test_a_dataset_asked_for_by_name_fails_fast_offline(tmp_path, monkeypatch):
    offline(monkeypatch)
    start = time.perf_counter()
    with pytest.raises(UserError, match="no mnist under .* --data-dir"):
        load("mnist", str(tmp_path))
    assert time.perf_counter() - start < 10


def test_with_no_dataset_named_the_bundled_digits_stand_in_and_say_so(tmp_path, monkeypatch):
    offline(monkeypatch)
    dataset, notice = data.default(str(tmp_path))
    assert dataset == "digits" and "1,797 digits" in notice


def test_prepared_mnist_is_preferred(mnist_dir, monkeypatch):
    assert data.default(mnist_dir) == ("mnist", None)
    monkeypatch.setenv("TFDS_DATA_DIR", mnist_dir)
    assert data.default(None) == ("mnist", None)


@pytest.mark.parametrize("damage", ["cut", "flipped", "info"])
def test_a_corrupt_prepared_dataset_is_told(mnist_dir, tmp_path, damage):
    shutil.copytree(Path(mnist_dir) / "mnist", tmp_path / "mnist", copy_function=shutil.copyfile)
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o755)
    file = next(tmp_path.rglob("dataset_info.json" if damage == "info" else "*train.tfrecord*"))
    content = bytearray(file.read_bytes())
    content = content[: len(content) // 2] if damage in ("cut", "info") else content[:5000] + b"?" + content[5001:]
    file.write_bytes(content)
    with pytest.raises(UserError, match="cannot read mnist .*prepared anew"):
        load("mnist", str(tmp_path))


def test_a_broken_npz_is_told(tmp_path):
    (tmp_path / "mnist.npz").write_bytes(b"PK nonsense")
    with pytest.raises(UserError, match="cannot read mnist"):
        load("mnist", str(tmp_path))


def test_a_folder_is_streamed_and_split_by_class(folder):
    splits = load(f"folder:{folder}", batch_size=4)
    assert splits.spec == (21, 20, 3, ("cats", "dogs"), 1)
    assert [len(s.examples.labels) for s in splits[:3]] == [26, 3, 3]
    paths = [set(s.examples.images.paths) for s in splits[:3]]
    assert len(set.union(*paths)) == 32
    batch = splits.train.batch(0)
    assert batch.images.shape == (4, 21, 20, 3) and batch.images.any()
    other = load(f"folder:{folder}", batch_size=4, seed=1)
    assert set(other.test.examples.images.paths) == paths[2]  # none of which any seed trains on
    assert set(other.validation.examples.images.paths) != paths[1]


def test_a_canvas_shrinks_the_images_of_a_folder(folder):
    splits = load(f"folder:{folder}", canvas=10, batch_size=4)
    assert splits.spec[:3] == (10, 10, 3) and splits.train.batch(0).images.shape == (4, 10, 10, 3)


def test_a_folder_can_be_cluttered(folder):
    splits = load(f"folder:{folder}", task="cluttered", canvas=40, batch_size=4)
    assert splits.train.batch(0).images.shape == (4, 40, 40, 3)
    with pytest.raises(UserError, match="canvas must hold the largest image"):
        load(f"folder:{folder}", task="translated", canvas=15)


def test_unusable_folders_are_told(folder, tmp_path):
    with pytest.raises(UserError, match="no folder"):
        load(f"folder:{tmp_path}/nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="0 sub-folders"):
        load(f"folder:{tmp_path}/empty")
    shutil.rmtree(folder / "cats")
    with pytest.raises(UserError, match="1 sub-folders.*at least two"):
        load(f"folder:{folder}")
    (folder / "cats").mkdir()
    Image.new("L", (5, 5)).save(folder / "cats" / "1.png")
    with pytest.raises(UserError, match="at least three"):
        load(f"folder:{folder}")


def test_more_pixels_than_an_index_can_count_are_told(tmp_path):
    for name in ("cats/1", "cats/2", "cats/3", "dogs/1", "dogs/2", "dogs/3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (200, 200)).save(tmp_path / f"{name}.png")
    with pytest.raises(UserError, match="lower --batch-size, or set --canvas.*batch_size=65536, images of 200 × 200"):
        load(f"folder:{tmp_path}", batch_size=65536)


@pytest.mark.parametrize("content", [b"", b"not an image", None])
def test_an_unreadable_image_is_named(folder, content):
    file = folder / "dogs" / "3.jpeg"
    file.write_bytes(file.read_bytes()[:300] if content is None else content)
    with pytest.raises(UserError, match="cannot read the image .*3.jpeg.*repair or remove"):
        splits = load(f"folder:{folder}", batch_size=4)
        for split in splits[:3]:
            for i in range(len(split)):
                split.batch(i)


def test_image_files_of_every_kind(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.array([[0, 65535]], "uint16")).save(path)
    np.testing.assert_array_equal(decode(path, 1)[0, :, 0], [0, 255])
    Image.fromarray(np.array([[[255, 0, 0, 255], [255, 255, 255, 0]]], "uint8"), "RGBA").save(path)
    np.testing.assert_array_equal(decode(path, 3)[0], [[255, 0, 0], [0, 0, 0]])
    Image.fromarray(np.array([[0, 200]], "uint8")).convert("P").save(path)
    np.testing.assert_array_equal(decode(path, 3)[0], [[0, 0, 0], [200, 200, 200]])
