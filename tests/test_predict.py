import json
import re

import keras
import numpy as np
import pytest
from PIL import Image

from nam import models, predict
from nam.config import Config
from nam.data import Spec
from nam.errors import UserError
from nam.pictures import view


@pytest.fixture
def model_file(tmp_path):
    """A small untrained model of 40 × 60 grey images."""
    model = models.build(Config(glimpses=3, scales=2, bandwidth=6, hidden=8, seed=1), Spec(40, 60, 1, ("a", "b", "c")))
    model.save(tmp_path / "small.keras")
    return tmp_path / "small.keras"


def save(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_an_image_of_the_right_size_is_read_as_the_model_reads_it(model_file, tmp_path, rng, capsys):
    pixels = rng.integers(0, 256, (40, 60)).astype("uint8")
    file = save(tmp_path / "image.png", pixels)
    outputs = models.load(model_file)(pixels[None, ..., None])
    p = np.asarray(keras.ops.softmax(outputs["logits"]))[0]
    assert predict.main([str(model_file), str(file)]) == 0
    (line,) = lines(capsys)
    assert re.fullmatch(rf"{file}  {p.argmax()}  {p.max():.2%}  3 looks", line)
    assert predict.main([str(model_file), str(file), "--json"]) == 0
    answer = json.loads(lines(capsys)[0])
    assert answer["class"] == str(p.argmax()) and answer["probability"] == pytest.approx(p.max(), abs=1e-5)
    gaze = (np.asarray(outputs["locations"])[0] + 1) / 2 * [60, 40]
    np.testing.assert_allclose(answer["gaze"], gaze, atol=0.06)


def odd(kind, folder):
    """A file of an odd kind, and the grey pixels that it stands for."""
    ramp = np.tile(np.linspace(0, 255, 60).astype("uint8"), (40, 1))
    if kind == "1×1":
        return save(folder / "one.png", np.full((1, 1), 200, "uint8")), np.full((1, 1), 200, "uint8")
    if kind == "4000×3000":
        large = np.tile(np.linspace(0, 255, 4000).astype("uint8"), (3000, 1))
        return save(folder / "large.jpg", large), np.tile(np.linspace(0, 255, 53).astype("uint8"), (40, 1))
    if kind == "16-bit":
        return save(folder / "deep.png", ramp.astype("uint16") * 256 + 7), ramp
    if kind == "lying on its side":
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned clockwise by a quarter
        Image.fromarray(np.rot90(ramp)).save(folder / "side.png", exif=exif)
        return folder / "side.png", ramp
    if kind == "RGBA":
        colour = np.stack([ramp] * 3 + [np.full_like(ramp, 255)], -1)
        colour[:10, :, 3] = 0  # what is transparent is black
        return save(folder / "clear.png", colour), np.where(np.arange(40)[:, None] < 10, 0, ramp)
    raise ValueError(kind)


@pytest.mark.parametrize("kind", ["1×1", "4000×3000", "16-bit", "RGBA", "lying on its side"])
def test_odd_images_are_seen_as_what_they_show(model_file, tmp_path, kind):
    file, pixels = odd(kind, tmp_path)
    answer, (canvas, *_) = predict.predict(view(models.load(model_file), "abc"), file)
    height, width = pixels.shape
    top, left = (40 - height) // 2, (60 - width) // 2
    expected = np.zeros((40, 60))
    expected[top : top + height, left : left + width] = pixels
    np.testing.assert_allclose(canvas[..., 0], expected, atol=3)
    assert answer["looks"] == 3 and 1 / 3 <= answer["probability"] < 1
    with Image.open(file) as image:
        middle = np.array(sorted(image.size, reverse=True)) / 2
        np.testing.assert_allclose(answer["gaze"][0], middle, atol=40 if kind == "4000×3000" else 0.6)


def test_a_broken_image_is_told_and_the_others_are_read(model_file, tmp_path, rng, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        save(folder / name, rng.integers(0, 256, (40, 60)).astype("uint8"))
    data = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(data[: len(data) // 2])
    assert predict.main([str(model_file), str(folder)]) == 2
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == [str(folder / "a.png"), str(folder / "c.png")]
    assert re.fullmatch(r"error: cannot read the image .*b.png \(.*\): repair or remove it.\n", err)


def test_looking_ends_early(model_file, tmp_path, rng):
    file = save(tmp_path / "image.png", rng.integers(0, 256, (40, 60)).astype("uint8"))
    looker = view(models.load(model_file), "abc")
    whole, _ = predict.predict(looker, file)
    assert predict.predict(looker, file, exit_confidence=1.0)[0] == whole
    early, looked = predict.predict(looker, file, exit_confidence=0.01)
    assert early["looks"] == 1 and early["gaze"] == whole["gaze"][:1] and looked.seen.patches.shape[1] == 1


def test_ink_on_paper_is_told_and_inverted(model_file, finished, tmp_path, rng, capsys):
    digit = np.zeros((20, 20), "uint8")
    digit[5:15, 8:12] = rng.integers(1, 256, (10, 4))
    shown = {"bright": digit, "paper": 255 - digit}
    ink = np.stack([np.zeros_like(digit)] * 3 + [digit], -1)  # black, on nothing
    files = {name: str(save(tmp_path / f"{name}.png", pixels)) for name, pixels in {**shown, "clear": ink}.items()}
    looker = view(models.load(model_file), "abc")
    looked = {name: predict.predict(looker, file, invert=name != "bright")[1] for name, file in files.items()}
    for name, seen in looked.items():
        np.testing.assert_array_equal(seen.image, looked["bright"].image, name)
        assert not seen.bright
    run = str(finished[0])
    for words, told in (
        ([files["paper"]], "the image is bright for the greater part, and digits are bright on black: add --invert"),
        ([files["paper"], files["bright"]], "1 of 2 images are bright"),
        ([files["bright"], "--invert"], "leave --invert out"),
    ):
        assert predict.main([run, *words]) == 0 and told in capsys.readouterr().err
    for words in ([files["paper"], "--invert"], [files["bright"]]):
        assert predict.main([run, *words]) == 0 and "warning" not in capsys.readouterr().err
    assert predict.main([str(model_file), files["paper"]]) == 0 and "warning" not in capsys.readouterr().err


def test_pictures_and_films_are_written(model_file, tmp_path, rng):
    files = [str(save(tmp_path / f"{i}.png", rng.integers(0, 256, (20, 30)).astype("uint8"))) for i in range(3)]
    figure, gif = tmp_path / "out.png", tmp_path / "out.gif"
    predict.main([str(model_file), files[0], "--figure", str(figure), "--gif", str(gif)])
    with Image.open(figure) as one, Image.open(gif) as film:
        assert film.n_frames == 3
        size = one.size
    predict.main([str(model_file), *files, "--figure", str(figure)])
    with Image.open(figure) as several:
        assert several.size != size  # a retina before, now a row of images


def test_a_run_tells_the_names_of_its_classes(finished):
    folder, _ = finished
    model, classes, file, _ = predict.open_model(str(folder))
    assert predict.open_model(str(file))[1] == classes
    assert classes == list("0123456789") and file.name == "model.keras" and model.glimpses == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "IMAGE is missing"),
        (["nowhere.png"], "there is no nowhere.png"),
        (["."], "holds no PNG or JPEG image"),
        (["text.png"], "cannot read the image"),
        ([""], "an image has an empty name"),
        (["a" * 300 + ".png"], "there can be no 'aaa"),
        (["~nobody-of-that-name/a.png"], "there can be no '~nobody"),
        (["text.png", "--figure", "nowhere/out.png"], "there is no folder nowhere"),
        (["text.png", "--figure", "noext"], "the name of a picture ends in .png or .jpg"),
        (["text.png", "--gif", "film.png"], "the name of a picture ends in .gif"),
        (["text.png", "--gif"], "--gif needs a value"),
        (["-v"], "unknown flag -v: flags begin with --, and a file of that name is ./-v"),
        (["text.png", "--exit-confidence", "2"], "exit_confidence should be less than or equal to 1"),
    ],
)
def test_mistakes_are_told(model_file, tmp_path, monkeypatch, capsys, words, sentence):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    if "text.png" in words:
        (tmp_path / "empty" / "text.png").write_text("no image")
    try:
        assert predict.main([str(model_file), *words]) == 2
        told = capsys.readouterr().err
    except UserError as error:
        told = str(error)
    assert sentence in told and len(told.splitlines()) == 1


def test_a_file_that_holds_another_model_is_told(tmp_path, rng):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "other.keras")
    with pytest.raises(UserError, match="it holds a Sequential, and no model that nam.train has left"):
        predict.open_model(str(tmp_path / "other.keras"))
    with pytest.raises(UserError, match="there is no nowhere.keras: name a run"):
        predict.open_model("nowhere.keras")
    (tmp_path / "broken.keras").write_bytes(b"no model")
    with pytest.raises(UserError, match="cannot load the model"):
        predict.open_model(str(tmp_path / "broken.keras"))
    with pytest.raises(UserError, match="is not a run's folder"):
        predict.open_model(str(tmp_path))
