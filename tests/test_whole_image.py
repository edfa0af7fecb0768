"""Runs of models that read whole images, from training to pictures."""

import json

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nam import evaluate, export, plots, predict, scorecard
from nam.errors import UserError
from nam.models import load
from nam.reading import Reader
from nam.runs import MODEL
from tests.small import run
from tests.test_export import run_saved_model, tensorflow_only


@pytest.fixture(scope="module")
def attentive(tmp_path_factory):
    """The folder of a small run with self-attention, and its result."""
    logs = tmp_path_factory.mktemp("logs")
    result = run(logs, model="self-attention", epochs=2, batch_size=64, heads=2)
    return logs / "runs" / "run", result


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "digit.png"
    Image.fromarray(np.eye(30, dtype="uint8") * 255).save(path)
    return path


def test_there_is_one_accuracy(attentive):
    folder, result = attentive
    assert (
        set(result["test"]) == set(result["validation"]) == {"deterministic"} and result["test"]["deterministic"] > 0.2
    )
    scalars = EventAccumulator(str(folder / "validation")).Reload().Tags()["scalars"]
    assert set(scalars) == {"accuracy", "loss"}
    assert "vote" not in scorecard.line("test", result["test"])


def test_an_evaluation_tells_what_such_a_model_has(attentive, capsys):
    folder, result = attentive
    evaluate.main([str(folder), "--plots"])
    found = json.loads((folder / "evaluation.json").read_text())
    assert found["accuracy"]["deterministic"] == pytest.approx(result["test"]["deterministic"], abs=0.01)
    assert np.sum(found["confusion"]) == found["images"] and found["cost"]["pixels_read"] == 900
    assert "looks" not in found and "gaze" not in capsys.readouterr().out.replace("pictures", "")
    assert {path.name for path in (folder / "plots").iterdir()} == {"attention.png", "curves.png"}


def test_a_prediction_shows_what_was_attended_to(attentive, image, tmp_path, capsys):
    folder, _ = attentive
    assert predict.main([str(folder), str(image), "--json", "--figure", str(tmp_path / "a.png")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"image", "class", "probability"} and (tmp_path / "a.png").stat().st_size > 10_000
    for flags in (["--gif", str(tmp_path / "a.gif")], ["--exit-confidence", "0.9"]):
        with pytest.raises(UserError, match="a SelfAttention samples no gaze"):
            predict.main([str(folder), str(image), *flags])


def test_the_reader_tells_the_models_own_answer_and_where_it_attends(attentive, rng):
    model, images = load(attentive[0] / MODEL), rng.integers(0, 256, (3, 30, 30, 1)).astype("uint8")
    read = Reader(model)(images)
    outputs = model(images, return_attention=True)
    logits, weights = (np.asarray(outputs[name]) for name in ("logits", "attention"))
    exp = np.exp(logits)
    np.testing.assert_allclose(read.probabilities, exp / exp.sum(-1, keepdims=True), rtol=1e-3)
    np.testing.assert_allclose(read.maps.reshape(3, 2, -1), weights.mean(2), rtol=1e-3, atol=1e-5)
    figure = plots.attention(images, read.maps, model.STRIDE, model.OFFSET, ["a", "b", "c"])
    assert len(figure.axes) == 3 * 4 and [axis.get_title() for axis in figure.axes[:4]] == [
        "image",
        "mean",
        "head 1",
        "head 2",
    ]


def test_each_place_of_the_map_lies_where_its_pixels_do(attentive):
    # A spot in the image changes the features of the places around it most.
    model = load(attentive[0] / MODEL)
    rows, columns = model.map_shape
    convolutions = [layer for layer in model.network.layers if "conv" in layer.name or "pool" in layer.name]

    def features(image):
        for layer in convolutions:
            image = layer(image)
        return np.asarray(image)[0]

    black = np.zeros((1, 30, 30, 1), "float32")
    for row, column in ((0, 0), (2, 4), (rows - 1, columns - 1)):
        spot = black.copy()
        x, y = (round(model.OFFSET + model.STRIDE * (i + 0.5)) for i in (column, row))
        spot[0, y - 2 : y + 2, x - 2 : x + 2] = 1
        changed = np.abs(features(spot) - features(black)).sum(-1)
        assert np.unravel_index(changed.argmax(), changed.shape) == (row, column)


def test_a_model_without_attention_has_nothing_to_show(tmp_path, image):
    run(tmp_path, model="fc", epochs=1)
    folder = str(tmp_path / "runs" / "run")
    with pytest.raises(UserError, match="no gaze and no attention to show: leave --figure out"):
        predict.main([folder, str(image), "--figure", str(tmp_path / "a.png")])
    assert predict.main([folder, str(image)]) == 0


@tensorflow_only
def test_is_exported_with_its_probabilities_alone(attentive, tmp_path, rng):
    model, images = load(attentive[0] / MODEL), rng.integers(0, 256, (2, 30, 30, 1)).astype("uint8")
    export.export(model, tmp_path / "saved", "saved_model")
    outputs = run_saved_model(tmp_path / "saved", images)
    assert set(outputs) == {"probabilities"}
    np.testing.assert_allclose(outputs["probabilities"], Reader(model)(images).probabilities, rtol=1e-3)
