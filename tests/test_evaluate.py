import json
import shutil

import numpy as np
import pytest

from nam import data, evaluate, models
from nam.config import Config
from nam.errors import UserError
from nam.runs import MODEL
from tests.small import SMALL, run


@pytest.fixture(scope="module")
def folder(finished, tmp_path_factory):
    """A copy of a small run's folder, which evaluations may write to."""
    return shutil.copytree(finished[0], tmp_path_factory.mktemp("copy") / "run")


@pytest.fixture(scope="module")
def evaluated(finished, folder):
    """A small run's result and its evaluation."""
    _, result = finished
    evaluate.main([str(folder), "--votes", "10", "--seeds", "3"])
    return result, json.loads((folder / "evaluation.json").read_text())


def test_a_run_is_evaluated_as_it_was_at_its_end(evaluated):
    result, found = evaluated
    # Compiled otherwise than in the run: numbers differ in their last bits, and an answer here and there.
    for kind in ("deterministic", "sampled", "vote"):
        assert found["accuracy"][kind] == pytest.approx(result["test"][kind], abs=0.02)
    assert found["cost"]["parameters"] == result["parameters"] and found["cost"]["pixels_read"] == 72
    assert found["cost"]["milliseconds_per_image_in_batches_of_1"] > 0


def test_the_kinds_of_accuracy_agree_with_each_other(evaluated):
    _, found = evaluated
    accuracy, looks, last = found["accuracy"], found["looks"], SMALL["glimpses"] - 1
    assert len(looks["sampled"]) == 2 * SMALL["glimpses"] and len(found["vote_curve"]) == 10
    for kind in ("deterministic", "sampled", "vote"):
        assert looks[kind][last] == pytest.approx(accuracy[kind])
    assert found["vote_curve"][-1] == pytest.approx(accuracy["vote"])
    assert found["vote_curve"][0] == pytest.approx(found["worth"]["own"])  # a vote of one is one sampled gaze
    assert 0 < accuracy["sampled_interval"] < 0.05
    confusion = np.array(found["confusion"])
    assert confusion.sum() == found["images"]
    assert np.trace(confusion) / found["images"] == pytest.approx(accuracy["deterministic"])


def test_a_frozen_policy_is_found_worth_nothing(tmp_path):
    run(tmp_path, policy="frozen", execution={"no_test": True})
    folder = tmp_path / "runs" / "run"
    config = Config(**json.loads((folder / "config.json").read_text()))
    found = evaluate.evaluate(models.load(folder / MODEL), data.load(config).test, votes=2, seeds=3)
    worth = found["worth"]
    assert abs(worth["difference"]) <= 1.5 * worth["interval"] < 0.03
    assert worth["own"] > 0.15  # it has learned to read, though not where to look


def test_one_seed_has_no_interval(folder, capsys):
    evaluate.main([str(folder), "--split", "validation", "--votes", "1", "--seeds", "1"])
    assert "one sampled gaze, 1 seed |" in capsys.readouterr().out
    found = json.loads((folder / "evaluation.json").read_text())
    assert found["accuracy"]["sampled_interval"] is None and found["split"] == "validation"
    assert found["accuracy"]["sampled"] == found["accuracy"]["vote"] == found["worth"]["own"]


def test_a_worthless_gaze_a_collapsed_one_and_one_at_the_border_are_told():
    found = {
        "looks": {"trained": 4},
        "worth": {"difference": 0.02, "interval": 0.01},
        "gaze": {"deterministic": {"spread": 0.2, "border": 0.1}},
    }
    assert evaluate.warnings(found) == []
    found["worth"]["difference"] = 0.01
    found["gaze"]["deterministic"] = {"spread": 0.001, "border": 0.9}
    worth, collapsed, border = evaluate.warnings(found)
    assert "+1.00 ± 1.00 points" in worth and "collapsed" in collapsed and "border: 90%" in border
    found["looks"]["trained"] = 1  # nowhere to look, so nothing to learn
    assert len(evaluate.warnings(found)) == 2


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(UserError, match="is not a run's folder"):
        evaluate.main([str(tmp_path)])
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="has no model yet"):
        evaluate.main([str(tmp_path)])
    with pytest.raises(UserError, match="RUN is missing"):
        evaluate.main([])
