import functools
import json

import numpy as np
import pytest
from PIL import Image

from nam import data, evaluate, numbers, predict
from nam.config import Config
from nam.data import Spec, sequences
from nam.data.sequences import END, NONE
from nam.errors import UserError
from nam.models import build
from tests.small import run


def probabilities(*rows, classes=11):
    """Each place gives its class 0.6 and shares the rest."""
    p = np.full((1, 6, classes), 0.4 / (classes - 1))
    p[0, np.arange(len(rows)), list(rows)] = 0.6
    return p


def test_reads_the_most_probable_number():
    assert numbers.read([np.log(probabilities(7, 1, END, 3, 3, 3))]).tolist() == [[7, 1, END, NONE, NONE, NONE]]
    # Nowhere is the end most probable: the length decides that fits best.
    p = probabilities(7, 1, 4, 0, 0, 0)
    p[0, 3, [0, END]] = 0.4, 0.3
    assert numbers.read([np.log(p)]).tolist() == [[7, 1, 4, END, NONE, NONE]]
    assert numbers.read([np.log(probabilities(5, 5, 5, 5, 5, END))]).tolist() == [[5, 5, 5, 5, 5, END]]


def test_the_ensemble_of_a_model_with_itself_changes_nothing(rng):
    p = rng.dirichlet(np.ones(11), (40, 6))
    log_p = np.log(p)
    alone = numbers.read([log_p])
    np.testing.assert_array_equal(numbers.read([log_p, log_p]), alone)
    mirrored = numbers.read([], [log_p])
    np.testing.assert_array_equal(numbers.read([], [log_p, log_p]), mirrored)
    np.testing.assert_array_equal(sequences.backward(alone, alone), mirrored)


def test_two_models_correct_each_other():
    forward, backward = probabilities(7, 1, END), probabilities(1, 7, END)
    forward[0, 1] = 0.05
    forward[0, 1, [2, 1]] = 0.3, 0.25  # unsure of the second digit, which the other reads first
    assert numbers.read([np.log(forward)])[0, 1] == 2
    assert numbers.read([np.log(forward)], [np.log(backward)]).tolist() == [[7, 1, END, NONE, NONE, NONE]]


def test_what_is_told_by_hand():
    labels = np.array([[1, 2, END, NONE, NONE, NONE], [3, END, NONE, NONE, NONE, NONE]])
    found = labels.copy()
    found[0, 1] = 5
    told = numbers.told(found, labels)
    assert told == {"whole": 0.5, "digits": pytest.approx(2 / 3), "by_length": {1: 1.0, 2: 0.0}}
    assert numbers.confusion(found, labels)[2, 5] == 1 and numbers.confusion(found, labels).sum() == 5
    classes = [*"0123456789", "end"]
    assert numbers.text(labels[0], classes) == "12" and numbers.text(3, "abcd") == "d"
    assert numbers.text(labels[0], classes, "backward") == "21"
    # Of 12 read as 1 one digit stands where it belongs, counted from the left: from the right none would.
    shorter = np.array([[1, END, NONE, NONE, NONE, NONE]])
    assert numbers.digits_right(shorter, labels[:1]) == numbers.digits_right(shorter, labels[:1, [1, 0, 2, 3, 4, 5]],
                                                                             "backward") == 0.5  # fmt: skip


def test_the_answer_at_a_place_is_that_after_the_last_look_at_it():
    p = np.arange(24).reshape(1, 6, 4)
    np.testing.assert_array_equal(numbers.answers(p, 3), p[:, [1, 3, 5]])
    np.testing.assert_array_equal(numbers.answers(p, 6), p)


SMALL = dict(task="sequence", canvas=None, epochs=1, glimpses=6)
MODELS = {"edram": dict(hidden=32, bandwidth=14), "ram": dict(hidden=16)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of a small run of a model that reads numbers in a direction."""
    logs = tmp_path_factory.mktemp("logs")

    @functools.cache
    def trained(model, reading="forward"):
        run(logs / f"{model}-{reading}", model=model, reading=reading, **SMALL, **MODELS[model])
        return logs / f"{model}-{reading}" / "runs" / "run"

    return trained


@pytest.mark.slow
@pytest.mark.parametrize("model", ["ram", "edram"])
def test_a_model_reads_numbers_from_training_to_prediction(runs, model, tmp_path, capsys):
    folder = runs(model)
    result = json.loads((folder / "result.json").read_text())
    assert (
        0 <= result["test"]["deterministic"] <= result["test"]["digits"] < 1
        and result["dataset"]["classes"][END] == "end"
    )
    evaluate.main([str(folder), "--plots"])
    found = json.loads((folder / "evaluation.json").read_text())
    assert found["numbers"]["digits"] == pytest.approx(result["test"]["digits"], abs=0.01)
    assert set(found["numbers"]["by_length"]) == set("12345") and np.shape(found["confusion"]) == (11, 11)
    if model == "edram":
        assert len(found["windows"]["overlap"]) == 6
    assert "whole number right" in capsys.readouterr().out
    path = tmp_path / "number.png"
    Image.fromarray(np.eye(54, dtype="uint8") * 255).save(path)
    assert predict.main([str(folder), str(path), "--json", "--figure", str(tmp_path / "a.png")]) == 0
    assert json.loads(capsys.readouterr().out)["class"].isdigit()


@pytest.mark.slow
def test_a_number_is_told_from_left_to_right_whichever_way_it_is_read(runs, tmp_path, monkeypatch, capsys):
    folder, path = runs("ram", "backward"), tmp_path / "number.png"
    Image.fromarray(np.zeros((54, 54), "uint8")).save(path)
    monkeypatch.setattr(numbers, "read", lambda *_: np.array([[9, 1, END, NONE, NONE, NONE]]))
    assert predict.main([str(folder), str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["class"] == "19"


@pytest.mark.slow
def test_both_directions_are_evaluated_together(runs, finished, capsys):
    forward, backward = runs("ram"), runs("ram", "backward")
    evaluate.main([str(forward), str(backward)])
    found = json.loads((forward / "together.json").read_text())
    assert [run["reading"] for run in found["runs"]] == ["forward", "backward"] and "whole" in found["together"]
    assert "| together " in capsys.readouterr().out
    evaluate.main([str(backward), str(backward)])
    found = json.loads((backward / "together.json").read_text())
    assert found["together"] == {name: found["runs"][0][name] for name in found["together"]}
    with pytest.raises(UserError, match="only runs of task sequence are evaluated together"):
        evaluate.main([str(finished[0]), str(forward)])


def test_looks_are_shared_alike_and_other_models_read_one_thing():
    config = Config(dataset="digits", task="sequence", glimpses=8)
    spec = data.load(config.resolved("digits")).spec
    with pytest.raises(UserError, match="set --glimpses to a multiple of that"):
        build(config, spec)
    with pytest.raises(UserError, match="model cnn reads one thing in an image"):
        build(Config(model="cnn", dataset="digits", task="sequence"), spec)
    assert isinstance(spec, Spec)
