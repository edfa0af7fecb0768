import json
import shutil

import numpy as np
import pytest

from nam import data, evaluate, transfer
from nam.config import Config
from nam.data import sources
from nam.data.images import resized
from nam.errors import UserError
from nam.models import MODELS
from tests.small import run


def test_a_run_is_measured_on_other_canvases_as_one_table(finished, tmp_path, capsys):
    folder = shutil.copytree(finished[0], tmp_path / "run")
    evaluate.main([str(folder), "--canvas", "30", "60", "--votes", "2", "--task", "cluttered", "--distractors", "0"])
    found = json.loads((folder / "transfer.json").read_text())
    assert [(row["task"], row["canvas"], row["distractors"]) for row in found["test"]] == [
        ("translated", 30, 0), ("cluttered", 30, 0), ("cluttered", 60, 0),
    ]  # fmt: skip
    trained, alike, larger = (row["deterministic"] for row in found["test"])
    # Without fragments the cluttered digit is the translated one, and what is four times as large is harder.
    assert trained == pytest.approx(finished[1]["test"]["deterministic"], abs=0.02)
    assert alike == pytest.approx(trained, abs=0.05) and larger < trained - 0.05
    table = capsys.readouterr().out
    assert f"{larger:.2%}" in table and "vote of 2" in table and table.count("\n") == 5


def test_what_is_not_given_is_as_in_the_run_and_clutter_as_its_preset():
    config = Config(dataset="digits", task="translated").resolved("digits")
    found = transfer.shifts(config, task="cluttered", canvas=[60, 100])
    assert [(one.canvas, one.distractors, one.distractor_size) for one in found] == [
        (60, 0, None),
        (60, 4, 8),
        (100, 8, 8),
    ]
    found = transfer.shifts(found[1], distractors=[9], digit_size=[20, 40])
    assert [(one.distractors, one.digit_size) for one in found] == [(4, None), (9, 20), (9, 40)]
    grown = Config(dataset="digits", task="cluttered", curriculum="clutter").resolved("digits")
    assert transfer.shifts(grown, task="translated")[1].curriculum is None
    with pytest.raises(UserError, match="has no distractors"):
        transfer.shifts(config, distractors=[3])
    with pytest.raises(UserError, match="canvas must hold the digit of 90 pixels"):
        transfer.shifts(config, digit_size=[90])


def test_what_reads_numbers_takes_numbers_only(finished):
    with pytest.raises(UserError, match=r"takes task sequence, and no other model does.*Received: task=sequence"):
        evaluate.main([str(finished[0]), "--task", "sequence"])


def test_what_another_task_trains_on_validates_no_run(finished):
    with pytest.raises(
        UserError, match=r"other tasks are trained on: use --split test. Received: task=belaid, of a run"
    ):
        evaluate.main([str(finished[0]), "--task", "belaid", "--split", "validation"])


def test_a_flag_that_would_be_overlooked_is_refused(finished):
    folder = str(finished[0])
    for words in (
        ["--canvas", "40", "--plots"],
        ["--canvas", "40", "--seeds", "2"],
        ["--canvas", "40", "--exit-confidence", "0.9"],
    ):
        with pytest.raises(UserError, match=f"{words[2]} is for one run, on such images as it was trained on"):
            evaluate.main([folder, *words])
    with pytest.raises(UserError, match="--votes is for one run"):
        evaluate.main([folder, folder, "--votes", "3"])


def test_a_network_of_whole_images_refuses_another_canvas(tmp_path):
    run(tmp_path, model="fc", epochs=1)
    folder = str(tmp_path / "runs" / "run")
    with pytest.raises(UserError, match="a FullyConnected takes images of 30×30 pixels only"):
        evaluate.main([folder, "--canvas", "60"])
    with pytest.raises(UserError, match="--seeds is for models that sample their gazes"):
        evaluate.main([folder, "--seeds", "3"])
    assert [name for name, model in MODELS.items() if model.takes_any_size] == ["ram", "edram"]
    evaluate.main([folder, "--digit-size", "20"])  # the same canvas


def test_digits_of_another_size_fill_their_box():
    for side in (20, 40):
        config = Config(dataset="digits", task="translated", canvas=60, digit_size=side).resolved("digits")
        batch = data.load(config).validation.batch(0)
        assert set(batch.boxes[:, 2]) == set(batch.boxes[:, 3]) == {side}
        plain = data.load(config.model_copy(update={"digit_size": None})).validation.batch(0)
        mass = batch.images.sum((1, 2, 3), float) / plain.images.sum((1, 2, 3), float)
        np.testing.assert_allclose(mass, (side / 28) ** 2, rtol=0.1)
    image = np.zeros((1, 4, 4, 1), "uint8")
    image[0, :2] = 200
    np.testing.assert_array_equal(resized(image, 2)[0, :, :, 0], [[171, 171], [29, 29]])  # 200 · 6 / 7 and 200 / 7


def test_a_part_of_the_training_examples(tmp_path):
    config = Config(dataset="digits", task="original", train_size=100).resolved("digits")
    some, others = (sources.read(config.model_copy(update={"seed": seed}), None) for seed in (0, 1))
    whole = sources.read(config.model_copy(update={"train_size": None}), None)
    assert len(some.train.labels) == len(some.train.images) == 100 and len(set(some.train.labels)) == 10
    assert not np.array_equal(some.train.labels, others.train.labels)
    np.testing.assert_array_equal(some.validation.labels, whole.validation.labels)
    known = {image.tobytes(): label for image, label in zip(whole.train.images, whole.train.labels, strict=True)}
    assert [known[image.tobytes()] for image in some.train.images] == list(some.train.labels)
    with pytest.raises(UserError, match="train_size must be at most the 1,295 training examples of digits"):
        sources.read(config.model_copy(update={"train_size": 5000}), None)
