"""A file from a stranger runs no code, leaves its folder nowhere, and takes no more memory than it may."""

import io
import json
import os
import re
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageFile

from nam import callbacks, events, export, files, models, predict
from nam.config import Config, Execution
from nam.data import images, sources, svhn
from nam.errors import UserError
from nam.models.classifier import WholeImage
from nam.runs import MODEL, STATE, Run
from tests.data.test_svhn import write
from tests.small import SMALL, run

ROOT = Path(__file__).parents[1]


class Hostile:
    """Writes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_model_with_code_in_it_is_refused(tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "model.keras"
    inputs, name = keras.Input((2,)), str(mark)
    code = keras.layers.Lambda(lambda x: [Path(name).touch(), x][1], output_shape=(2,))
    hostile = keras.Model(inputs, code(inputs))
    mark.unlink(missing_ok=True)  # building it has run it
    hostile.save(path)
    with pytest.raises(UserError, match="cannot load the model"):
        models.load(path)
    with pytest.raises(UserError, match="cannot load the model"):
        predict.open_model(str(path))
    assert not mark.exists()


def test_a_model_that_names_a_function_of_the_system_is_refused(tmp_path):
    path, mark = tmp_path / "model.keras", tmp_path / "mark"
    config = json.dumps({
        "module": "os", "class_name": "system", "config": {"command": f"touch {mark}"}, "registered_name": None
    })  # fmt: skip
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", config)
        file.writestr("metadata.json", '{"keras_version": "3.15.0"}')
        file.writestr("model.weights.h5", b"")
    with pytest.raises(UserError, match="cannot load the model"):
        models.load(path)
    assert not mark.exists()


def fully_connected(side, hidden):
    return {"registered_name": "nam>FullyConnected", "class_name": "FullyConnected", "config": {"hidden": hidden},
            "build_config": {"input_shape": [None, side, side, 1]}}  # fmt: skip


@pytest.mark.parametrize(("saved", "more", "told"), [
    (fully_connected(28, 16), 2**22, "unpacks to more than ten times its size"),
    (fully_connected(28, 10**6), 0, "hidden should be less than or equal to 8192"),
    (fully_connected(4000, 4000), 0, "too small for the weights of 16,000,000 pixels"),
    ({**fully_connected(28, 16), "registered_name": "Sequential"}, 0, "no model that nam.train has left"),
])  # fmt: skip
def test_a_small_model_that_would_fill_the_memory_is_refused_before_it_is_built(
    tmp_path, monkeypatch, saved, more, told
):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", json.dumps(saved))
        file.writestr("model.weights.h5", bytes(more))
    monkeypatch.setattr(keras.saving, "load_model", lambda *_, **__: pytest.fail("built"))
    with pytest.raises(UserError, match=f"cannot load the model .*{told}"):
        models.load(path)


def test_a_model_without_weights_of_single_pixels_may_be_small(tmp_path, monkeypatch):
    @keras.saving.register_keras_serializable(package="tests")
    class Pooled(WholeImage):
        def __init__(self, classes=10, **kwargs):
            super().__init__([keras.layers.Conv2D(2, 3), keras.layers.GlobalMaxPooling2D()], classes, {}, **kwargs)

    monkeypatch.setitem(models.MODELS, "pooled", Pooled)
    model = Pooled()
    model.build((None, 1000, 1000, 1))
    model.save(tmp_path / "model.keras")
    assert models.load(tmp_path / "model.keras").count_params() == model.count_params()


def test_arrays_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_BYTES", 2**20)
    arrays = {name: np.zeros(2**19, "uint8") for name in ("x_train", "y_train", "x_test", "y_test")}
    np.savez_compressed(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(UserError, match=r"cannot read mnist .*unpacks to 2,.*1,048,576 at most are read"):
        sources.read(Config(dataset="mnist").resolved("mnist"), str(tmp_path))


@pytest.mark.parametrize("claimed", ["digitStruct/name", "n0", "b0/label"])
def test_a_list_of_house_numbers_that_claims_too_many_is_refused(tmp_path, claimed):
    part = write(tmp_path / "train", [[(1, 5, 5, 10, 20)]])
    with h5py.File(part / svhn.STRUCT, "a") as file:
        kind = file[claimed].dtype
        del file[claimed]
        kind = h5py.ref_dtype if kind.hasobject else kind
        file.create_dataset(claimed, (10**9, 1), kind, chunks=(1000, 1))
        if claimed == "n0":
            file["digitStruct/name"][0, 0] = file[claimed].ref
    assert (part / svhn.STRUCT).stat().st_size < 2**15
    with pytest.raises(UserError, match="has 1,000,000,000 values"):
        svhn.crops(part)


def test_a_jpeg_of_too_many_scans_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path, whole = tmp_path / "scans.jpg", io.BytesIO()
    Image.new("L", (64, 64)).save(whole, "JPEG", progressive=True)
    whole = whole.getvalue()
    path.write_bytes(whole)
    assert images.decode(path, 1).shape == (64, 64, 1)
    last = whole.rindex(b"\xff\xda")
    path.write_bytes(whole[:last] + whole[last:-2] * 1000 + whole[-2:])
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(UserError, match=r"cannot read the image .*1,0\d\d scans, 100 at most are read"):
        images.decode(path, 1)


def test_pickles_are_never_read(tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    hostile = np.array([Hostile(mark)], dtype=object)
    np.savez(tmp_path / "mnist.npz", x_train=hostile, y_train=hostile, x_test=hostile, y_test=hostile)
    with pytest.raises(UserError, match="cannot read mnist"):
        sources.read(Config(dataset="mnist").resolved("mnist"), str(tmp_path))
    np.savez(tmp_path / svhn.CACHE, parts=hostile)
    for part in ("train", "test"):
        write(tmp_path / part, [[(1, 5, 5, 10, 20)]])
    assert len(svhn.read(tmp_path)[0].labels) == 1  # read anew, the cache being no use
    with monkeypatch.context() as patch, pytest.raises(UserError, match="no more"):
        patch.setattr(callbacks.Resume, "_save_model", lambda self: (_ for _ in ()).throw(UserError("no more")))
        run(tmp_path, epochs=1)
    np.savez(tmp_path / "runs" / "run" / STATE, meta=hostile, v0=hostile)
    with pytest.raises(UserError, match="cannot resume from"):
        run(tmp_path, epochs=1)
    assert not mark.exists()


def test_no_module_reads_pickles():
    for path in (ROOT / "nam").rglob("*.py"):
        text = path.read_text()
        assert not re.search(
            r"import pickle|joblib|allow_pickle=True|safe_mode=False|yaml\.load|\beval\(|\bexec\(", text
        ), path
        for call in re.findall(r"np\.load\([^)]*\)", text):
            assert "allow_pickle=False" in call, path


def test_an_archive_writes_nothing_and_leaves_its_folder_nowhere(tmp_path):
    part, path = write(tmp_path / "train", [[(1, 5, 5, 10, 20)], [(2, 5, 5, 10, 20)]]), tmp_path / "hostile.tar.gz"
    secret = tmp_path / "secret.png"
    secret.write_bytes((part / "2.png").read_bytes())
    with tarfile.open(path, "w:gz") as archive:
        archive.add(part / svhn.STRUCT, f"../../{svhn.STRUCT}")
        archive.add(part / "1.png", "/train/1.png")
        link = tarfile.TarInfo("train/2.png")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
    before = sorted(tmp_path.rglob("*"))
    assert len(svhn.crops(path).labels) == 1  # the link is followed nowhere: its image is missing
    assert sorted(tmp_path.rglob("*")) == before and not (tmp_path.parent / svhn.STRUCT).exists()


def test_an_archive_that_unpacks_to_too_much_is_refused_at_once(tmp_path, monkeypatch):
    part, path = write(tmp_path / "train", [[(1, 5, 5, 10, 20)]]), tmp_path / "bomb.tar.gz"
    monkeypatch.setattr(svhn, "MAX_BYTES", 2**20)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(part / svhn.STRUCT, f"train/{svhn.STRUCT}")
        bomb = tarfile.TarInfo("train/1.png")
        bomb.size = 2**24
        archive.addfile(bomb, io.BytesIO(bytes(bomb.size)))
    assert path.stat().st_size < 2**17
    with pytest.raises(UserError, match="16,777,216 bytes, 1,048,576 at most are read"):
        svhn.crops(path)


@pytest.mark.parametrize(("limit", "most"), [("MAX_UNPACKED", 2**19), ("MAX_LISTED", 100)])
def test_an_archive_of_too_many_small_files_is_refused(tmp_path, monkeypatch, limit, most):
    monkeypatch.setattr(svhn, limit, most)
    path, part = tmp_path / "train.tar.gz", write(tmp_path / "part", [[(3, 10, 5, 8, 20)]])
    with tarfile.open(path, "w:gz") as archive:
        archive.add(part / svhn.STRUCT, f"train/{svhn.STRUCT}")
        for i in range(2000):  # 512 bytes each, of which two pages are left in the file
            archive.addfile(tarfile.TarInfo(f"train/{i}.png"))
    assert path.stat().st_size < 50_000
    with pytest.raises(UserError, match=r"cannot read .*holds more than any part of format 1"):
        svhn.crops(path)


def test_a_long_name_in_an_archive_is_not_unpacked(tmp_path, monkeypatch):
    part, path = write(tmp_path / "train", [[(1, 5, 5, 10, 20)]]), tmp_path / "bomb.tar.gz"
    monkeypatch.setattr(svhn, "MAX_BYTES", 2**20)
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("a" * 2**24))
        archive.add(part / svhn.STRUCT, f"train/{svhn.STRUCT}")
    with pytest.raises(UserError, match="bytes at one place, 1,048,576 at most are read"):
        svhn.crops(path)


def test_an_image_starts_no_program(tmp_path, monkeypatch):
    path, called = tmp_path / "page.png", []
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *words, **how: called.append(words))
    with pytest.raises(UserError, match="cannot read the image"):
        images.decode(path, 1)
    assert not called


def test_what_is_no_file_is_not_waited_for(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        os.mkfifo(tmp_path / name / "pipe.png")
    with pytest.raises(UserError, match="has 0 sub-folders with PNG or JPEG images"):
        images.find(tmp_path)


@pytest.mark.parametrize("name", ["config.json", STATE, "validation/events.out.tfevents.1.nam"])
def test_what_is_no_file_in_a_runs_folder_is_not_waited_for(tmp_path, finished, name):
    folder = shutil.copytree(finished[0], tmp_path / "run")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    read = {"config.json": Run(folder).read, STATE: lambda name: files.read_arrays(folder / name, 2**20)}
    with pytest.raises((UserError, ValueError), match="is no file"):
        read.get(name, lambda name: events.history(Run(folder)))(name)


def test_a_picture_is_not_written_through_a_link(tmp_path, finished, monkeypatch):
    folder, target = shutil.copytree(finished[0], tmp_path / "run"), tmp_path / "target"
    target.write_text("mine")
    (folder / "model.onnx").symlink_to(target)
    monkeypatch.setattr(export, "check", lambda format: None)
    monkeypatch.setattr(keras.Model, "export", lambda self, path, **how: Path(path).write_text("exported"))
    export.main([str(folder), "--format", "onnx"])
    assert target.read_text() == "mine" and (folder / "model.onnx").read_text() == "exported"


def bomb(side):
    """A PNG of so many white pixels, a thousandth of that in bytes."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compressobj(9)
    body = b"".join(rows.compress(b"\0" * (side // 8 + 1)) for _ in range(side)) + rows.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


# One that Pillow only warns of, and one that it refuses itself.
@pytest.mark.parametrize(("side", "told"), [(10_000, "pixels, 89,478,485 at most are read"), (20_000, "exceeds limit")])
def test_an_image_of_too_many_pixels_is_refused_before_it_is_unpacked(tmp_path, monkeypatch, side, told):
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(side))
    assert path.stat().st_size < side**2 / 800
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("unpacked"))
    with pytest.raises(UserError, match=f"cannot read the image .*{told}"):
        images.decode(path, 1)


@pytest.mark.parametrize("field", ["name", "study"])
@pytest.mark.parametrize("name", ["../out", "/tmp/out", "..", "a/../../b", "a\0b", "\ud800", ".hidden"])
def test_a_runs_name_cannot_leave_the_logs(tmp_path, field, name):
    config = Config(**SMALL).resolved("digits")
    with pytest.raises(UserError, match="plain folder name"):
        Run.of(config, Execution(logs=str(tmp_path / "logs"), **{field: name}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dataset", ["folder:/a/..", "folder:../../x", "folder:/", "folder:a\0b"])
def test_a_runs_own_name_is_one_folder_whatever_its_dataset(tmp_path, dataset):
    try:
        path = Run.of(Config(dataset=dataset).resolved(dataset), Execution(logs=str(tmp_path))).path
    except UserError:
        return
    assert path.parent == tmp_path / "runs" and path.name not in ("", ".", "..")


def test_what_is_committed_names_no_machine_and_nobody():
    found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    home = rb"/(?:root|home/[a-z]|Users/[A-Za-z]|work/[a-z]|tmp/[a-z])"
    public = ("logs/", "notebooks/", "docs/", "benchmarks/results", "tests/fixtures", "nam/weights")
    for name in found.decode().split("\0"):
        if name.startswith(public) and (ROOT / name).is_file():
            content = (ROOT / name).read_bytes()
            assert not re.search(home, content), f"{name}: {re.search(home, content)}"


def test_tensorboard_is_shown_to_this_machine_only():
    text = (ROOT / "README.md").read_text() + "".join(p.read_text() for p in (ROOT / "nam").rglob("*.py"))
    assert "tensorboard --logdir" in text  # which binds to localhost, unless told otherwise
    assert not re.search(r"--bind_all|--host[ =]0\.0\.0\.0", text)


def test_an_unknown_class_in_a_model_is_refused(tmp_path, finished):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(finished[0] / MODEL) as whole, zipfile.ZipFile(path, "w") as file:
        for name in whole.namelist():
            file.writestr(name, whole.read(name).replace(b"RecurrentAttention", b"RecurrentAttentive"))
    with pytest.raises(UserError, match="cannot load the model"):
        models.load(path)
