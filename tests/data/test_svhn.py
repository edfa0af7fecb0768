import http.server
import os
import shutil
import socket
import tarfile
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from nam import data
from nam.config import Config
from nam.data import svhn
from nam.data.sequences import END, NONE
from nam.errors import UserError

SAMPLE = Path(__file__).parents[2] / ".." / "shared" / "svhn_sample"
REAL = {"train": ["19", "23", "25"], "test": ["5", "210", "6"], "extra": ["478", "71", "174"]}


def write(folder, numbers, images=None, struct=True):
    """A part of format 1: `numbers` are lists of (label, left, top, width, height); images are 40×80 by default.

    Left and top count from 0 here, and from 1 in the file.
    """
    folder.mkdir(parents=True)
    for i, _ in enumerate(numbers):
        if images is None or i in images:
            pixels = np.zeros((40, 80, 3), "uint8") if images is None else images[i]
            Image.fromarray(pixels).save(folder / f"{i + 1}.png")
    if not struct:
        return folder
    fields = ("label", "left", "top", "width", "height")
    with h5py.File(folder / svhn.STRUCT, "w") as file:
        refs = {"name": [], "bbox": []}
        for i, number in enumerate(numbers):
            name = file.create_dataset(f"n{i}", data=np.array([[ord(c)] for c in f"{i + 1}.png"], "uint16"))
            box = file.create_group(f"b{i}")
            for k, field in enumerate(fields):
                values = [float(digit[k] + (field in ("left", "top"))) for digit in number]
                if len(values) == 1:
                    box.create_dataset(field, data=[[values[0]]])
                    continue
                each = [file.create_dataset(f"v{i}{field}{j}", data=[[v]]) for j, v in enumerate(values)]
                box.create_dataset(field, data=np.array([[one.ref] for one in each], dtype=h5py.ref_dtype))
            refs["name"].append([name.ref])
            refs["bbox"].append([box.ref])
        for key, values in refs.items():
            file.create_dataset(f"digitStruct/{key}", data=np.array(values, dtype=h5py.ref_dtype))
    return folder


def numbers_of(found):
    return ["".join(str(label) for label in labels if 0 <= label < END) for labels in found.labels]


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="no real house numbers beside the checkout")
@pytest.mark.parametrize("part", REAL)
def test_reads_real_images_and_warns_once_of_those_that_are_missing(part, capsys):
    found = svhn.crops(SAMPLE / part)
    assert numbers_of(found) == REAL[part]
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 1 and told[0].startswith("warning: ") and told[0].endswith("images are missing: left out")
    for image, labels, boxes in zip(found.images, found.labels, found.boxes, strict=True):
        length = int((labels == END).argmax())
        own = boxes[:length]
        low, high = own[:, :2].min(0), (own[:, :2] + own[:, 2:]).max(0)
        np.testing.assert_allclose((low + high) / 2, 32, atol=1e-3)  # in the middle
        assert (high - low).max() == pytest.approx(64 / 1.3, rel=1e-3) and not boxes[length:].any()
        assert image.std() > 5


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="no real house numbers beside the checkout")
def test_folders_and_archives_are_the_same_and_their_crops_are_kept(tmp_path, capsys):
    for part in ("train", "test"):
        with tarfile.open(tmp_path / f"{part}.tar.gz", "w:gz") as archive:
            archive.add(SAMPLE / part, part)
    packed = svhn.read(tmp_path)
    for found, part in zip(packed, ("train", "test"), strict=True):
        for a, b in zip(found, svhn.crops(SAMPLE / part), strict=True):
            np.testing.assert_array_equal(a, b)
    for part in ("train", "test"):  # gone but for its name and time
        archive = tmp_path / f"{part}.tar.gz"
        time = archive.stat().st_mtime_ns
        archive.write_bytes(b"gone")
        os.utime(archive, ns=(time, time))
    for a, b in zip(svhn.read(tmp_path), packed, strict=True):
        np.testing.assert_array_equal(a.images, b.images)
    assert sorted(path.name for path in tmp_path.iterdir()) == [svhn.CACHE, "test.tar.gz", "train.tar.gz"]
    shutil.copytree(SAMPLE / "extra", tmp_path / "extra")
    with pytest.raises(UserError, match=r"cannot read .*t.*\.tar\.gz"):
        svhn.read(tmp_path)  # another part: read anew
    shutil.rmtree(tmp_path / "extra")
    assert len(svhn.read(tmp_path)[0].labels) == len(packed[0].labels)
    os.utime(archive)
    with pytest.raises(UserError, match=r"cannot read .*t.*\.tar\.gz"):
        svhn.read(tmp_path)  # changed: alike


def test_boxes_are_brought_to_the_crop_by_hand(tmp_path):
    ramp = np.tile(np.arange(80, dtype="uint8")[:, None] * 3, (40, 1, 3))
    # Two digits of 10 × 20 side by side in the middle: a square of 26 pixels around (40, 20).
    folder = write(tmp_path / "train", [[(10, 30, 10, 10, 20), (4, 40, 10, 10, 20)]], {0: ramp})
    found = svhn.crops(folder)
    assert found.labels.tolist() == [[0, 4, END, NONE, NONE, NONE]]
    zoom = 64 / 26
    expected = [[3 * zoom, 3 * zoom, 10 * zoom, 20 * zoom], [13 * zoom, 3 * zoom, 10 * zoom, 20 * zoom]]
    np.testing.assert_allclose(found.boxes[0, :2], expected, rtol=1e-5)
    values = found.images[0, 32, :, 0].astype(float)
    assert values[0] == pytest.approx(27 * 3, abs=3) and values[-1] == pytest.approx(52.5 * 3, abs=3)


def test_odd_numbers(tmp_path, capsys):
    digit = (3, 10, 5, 8, 20)
    numbers = [[digit], [(label, 5 + 10 * label, 5, 8, 20) for label in range(1, 7)], [digit], [(2, 70, -8, 40, 70)]]
    black = np.zeros((40, 80, 3), "uint8")
    found = svhn.crops(write(tmp_path / "train", numbers, {0: black, 1: black, 3: black}))
    assert numbers_of(found) == ["3", "2"]
    assert "1 images are missing and 1 numbers are too long: left out" in capsys.readouterr().out
    x, y, w, h = found.boxes[1, 0]  # what lies outside is cut off: 10 × 40 pixels in a square of 52
    np.testing.assert_allclose([w, h], [10 * 64 / 52, 40 * 64 / 52], rtol=1e-5)
    np.testing.assert_allclose([x + w / 2, y + h / 2], [32, 32], atol=1e-3)


@pytest.mark.parametrize(
    "box", [(200, 5, 10, 20), (-50, 5, 10, 20), (10, 100, 8, 20), (10, -20, 8, 20), (10, 5, 0, 20)]
)
def test_a_number_with_a_digit_outside_of_its_image_is_left_out(tmp_path, capsys, box):
    found = svhn.crops(write(tmp_path / "train", [[(3, 10, 5, 8, 20)], [(2, 10, 5, 8, 20), (4, *box)]]))
    assert numbers_of(found) == ["3"]
    assert "1 numbers lie outside of their images: left out" in capsys.readouterr().out


def test_broken_parts_are_told_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="has no digitStruct.mat"):
        svhn.crops(write(tmp_path / "none", [[(1, 1, 1, 5, 5)]], struct=False))
    whole = write(tmp_path / "whole", [[(1, 1, 1, 5, 5)]] * 4)
    content = (whole / svhn.STRUCT).read_bytes()
    for share in (0, 0.3, 0.9):
        (whole / svhn.STRUCT).write_bytes(content[: int(len(content) * share)])
        with pytest.raises(UserError, match=r"cannot read the digitStruct.mat of .*whole"):
            svhn.crops(whole)
    (whole / svhn.STRUCT).write_bytes(content)
    (whole / "2.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"cannot read the image .*2.png"):
        svhn.crops(whole)
    with tarfile.open(tmp_path / "train.tar.gz", "w:gz") as archive:
        archive.add(whole / "1.png", "train/1.png")
    with pytest.raises(UserError, match=r"train.tar.gz has no digitStruct.mat"):
        svhn.crops(tmp_path / "train.tar.gz")
    with tarfile.open(tmp_path / "test.tar.gz", "w:gz") as archive:
        archive.add(whole, "test")
    with pytest.raises(UserError, match=r"cannot read the image .*test.tar.gz: 2.png"):
        svhn.crops(tmp_path / "test.tar.gz")
    with pytest.raises(UserError, match="lists: unpack the whole archive"):
        svhn.crops(write(tmp_path / "empty", [[(1, 1, 1, 5, 5)]], {}))


def test_house_numbers_are_served_as_sequences(tmp_path):
    digits = [[(1 + i % 9, 10, 5, 8, 20), (2, 20, 5, 8, 20)] for i in range(20)]
    white = np.full((40, 80, 3), 255, "uint8")
    for part in ("train", "test"):
        write(tmp_path / "svhn" / part, digits, dict.fromkeys(range(20), white))
    splits = data.load(Config(dataset="svhn", batch_size=6).resolved("svhn"), str(tmp_path))
    assert splits.spec[:3] == (54, 54, 1) and splits.spec.targets == 6
    assert (splits.train.size, splits.validation.size, splits.test.size) == (18, 2, 20)
    batch = splits.test.batch(0)
    assert batch.images.shape == (6, 54, 54, 1) and batch.labels[0].tolist() == [1, 2, END, NONE, NONE, NONE]
    backward = data.load(Config(dataset="svhn", batch_size=6, reading="backward").resolved("svhn"), str(tmp_path))
    assert backward.test.batch(0).labels[0].tolist() == [2, 1, END, NONE, NONE, NONE]
    margins = {tuple(boxes[0, :2]) for i in range(3) for boxes in splits.train.batch(i).boxes}
    assert len(margins) > 5  # jittered


def test_a_missing_dataset_is_told_within_ten_seconds(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # which takes a question and never answers
        monkeypatch.setattr(svhn, "HOME", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        begun = time.monotonic()
        with pytest.raises(UserError, match=r"no svhn under .*cannot be downloaded.*put train.tar.gz and test.tar.gz"):
            data.load(Config(dataset="svhn").resolved("svhn"), str(tmp_path))
        assert time.monotonic() - begun < 10
    monkeypatch.setattr(svhn, "HOME", "http://127.0.0.1:9/")  # where nobody listens
    with pytest.raises(UserError, match="lacks test and train"):
        svhn.read(tmp_path)
    with pytest.raises(UserError, match="cannot be fetched"):
        svhn.download(tmp_path / "svhn", 2.0)


def test_a_small_file_with_a_wide_number_takes_no_gigabytes():
    with pytest.raises(UserError, match="a number of 11,050 pixels is none"):
        svhn.crop(np.zeros((1, 8500), "uint8"), np.array([[0, 0, 8500, 1]], "float32"))


def test_a_download_that_breaks_off_is_not_kept(tmp_path, monkeypatch):
    class Cut(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Cut) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setattr(svhn, "HOME", f"http://127.0.0.1:{server.server_port}/")
        with pytest.raises(UserError, match=r"cannot be fetched \(the connection broke off\)"):
            svhn.download(tmp_path, 5.0)
    assert not [*tmp_path.iterdir()]
