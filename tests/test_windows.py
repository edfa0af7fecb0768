"""Runs of the model that looks through windows, and what is told and shown of them."""

import json

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nam import data, evaluate, plots, predict
from nam.data.boxes import framing, overlap, overlaps
from nam.events import history
from nam.models import load
from nam.reading import Reader
from nam.runs import MODEL, Run
from tests.small import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a small run."""
    logs = tmp_path_factory.mktemp("logs")
    fields = dict(model="edram", epochs=1, hidden=32, glimpses=2, bandwidth=14, what_weight=0.1, optimizer="sgd")
    run(logs, **fields, execution={"no_pictures": False})
    return logs / "runs" / "run"


def test_overlap_by_hand():
    boxes = framing(np.array([[0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 5, 5], [2, 2, 5, 5]]), 40, 40)
    np.testing.assert_allclose(overlap(boxes, boxes[0]), [1, 50 / 150, 0, 0.25], atol=1e-5)
    turned = np.array([0, -0.25, -0.75, 0.25, 0, -0.75])  # the first box by a quarter turn
    assert overlap(turned, boxes[0]) == pytest.approx(1)


def test_overlap_counts_the_images_that_have_the_target():
    boxes = np.array([[[0, 0, 10, 10], [0, 0, 0, 0]], [[5, 0, 10, 10], [20, 20, 5, 5]]])  # the second: in one image
    thetas = framing(boxes[[0, 0]].repeat(2, axis=1), 40, 40)  # two looks at each
    thetas[:, 2:] = framing(np.array([20, 20, 10, 10]), 40, 40)
    found = overlaps(thetas, boxes, 40, 40)
    np.testing.assert_allclose(found.mean(0), [(1 + 50 / 150) / 2] * 2 + [0.25] * 2, atol=1e-5)
    assert found.mean() == pytest.approx((2 * 1 + 2 * 50 / 150 + 2 * 0.25) / 6, abs=1e-5)


def test_training_tells_how_well_windows_lie_and_shows_them(folder):
    accumulator = EventAccumulator(str(folder / "validation")).Reload()
    (overlap,) = (event.value for event in accumulator.Scalars("overlap"))
    assert 0 < overlap < 1 and accumulator.Tags()["images"] == ["windows"]
    assert Run(folder).read("result.json")["validation"]["overlap"] == pytest.approx(overlap)
    assert history(Run(folder))["localisation"][0] > 0  # it was told where the targets are


def test_an_evaluation_tells_each_look_and_how_well_its_window_lies(folder, capsys):
    evaluate.main([str(folder), "--plots"])
    found = json.loads((folder / "evaluation.json").read_text())
    windows = found["windows"]
    assert {len(values) for values in windows.values()} == {2}
    assert windows["mean"][1] == pytest.approx(found["accuracy"]["deterministic"], abs=0.002)
    assert windows["mean"][0] == windows["alone"][0] and 0 < windows["overlap"][0] < 1
    assert {path.name for path in (folder / "plots").iterdir()} == {
        "accuracy.png", "curves.png", "steps.png", "windows.png"
    }  # fmt: skip
    assert "overlap of its window with the target" in capsys.readouterr().out


def test_a_folder_that_does_not_say_where_to_look_trains_by_its_classes_alone(tmp_path, rng, capsys):
    for name, level in (("dark", 60), ("bright", 200)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(level - 50, level + 50, (24, 24)).astype("uint8")
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    fields = dict(model="edram", epochs=1, hidden=32, glimpses=2, bandwidth=14, batch_size=8)
    run(tmp_path, dataset=f"folder:{tmp_path / 'photos'}", task="original", canvas=None, **fields)
    folder = tmp_path / "runs" / "run"
    assert history(Run(folder))["localisation"] == [0] and history(Run(folder))["classification"][0] > 0
    evaluate.main([str(folder), "--plots"])
    windows = json.loads((folder / "evaluation.json").read_text())["windows"]
    assert windows.keys() == {"alone", "mean"} and "overlap" not in capsys.readouterr().out


def test_the_reader_reads_few_and_many_images_alike(folder):
    model, split = load(folder / MODEL), data.load(Run(folder).config()).test
    reader = Reader(model)
    few, many = reader(split.batch(0).images[:3]), reader.read(split)
    assert many.thetas.shape == (split.size, 2, 6) and many.looks.shape == (split.size, 2, 10)
    for name in ("probabilities", "looks", "thetas"):
        np.testing.assert_allclose(getattr(few, name), getattr(many, name)[:3], rtol=1e-3, atol=1e-4)


def test_a_prediction_shows_its_windows(folder, tmp_path):
    path = tmp_path / "digit.png"
    Image.fromarray(np.eye(30, dtype="uint8") * 255).save(path)
    assert predict.main([str(folder), str(path), "--figure", str(tmp_path / "a.png")]) == 0
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_windows_are_drawn_where_they_lie(rng):
    images = rng.integers(0, 256, (2, 20, 40, 1)).astype("uint8")
    thetas = framing(np.array([[[0, 0, 10, 10], [5, 5, 20, 10]]] * 2), 20, 40)
    figure = plots.windows(images, thetas, [["1", "2"], ["7", ""]], ["a", "b"])
    assert [len(axis.patches) for axis in figure.axes] == [2, 1] and figure.axes[1].texts[0].get_text() == "7"
    corners = [patch.get_xy() for patch in figure.axes[0].patches]
    np.testing.assert_allclose(corners[0][:4], [[0, 0], [10, 0], [10, 10], [0, 10]], atol=1e-5)
    np.testing.assert_allclose(corners[1][:4], [[5, 5], [25, 5], [25, 15], [5, 15]], atol=1e-5)
    figure = plots.steps(images, thetas, rng.random((2, 2, 6, 6, 1)), [["x", "y"], ["z", ""]])
    assert len(figure.axes) == 8 and figure.axes[1].get_title() == "y"
    assert [len(axis.images) for axis in figure.axes] == [1, 1, 1, 1, 1, 0, 1, 0]


def test_what_numbers_have_no_accuracy_of_has_no_panel():
    assert len(plots.by_look({"overlap": [0.5, 0.6]}).axes) == 1
    assert len(plots.by_look({"alone": [0.1, 0.2], "mean": [0.1, 0.3]}).axes) == 1
    assert len(plots.by_look({"overlap": [0.5, 0.6], "alone": [0.1, 0.2], "mean": [0.1, 0.3]}).axes) == 2
