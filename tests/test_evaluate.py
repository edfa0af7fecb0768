import json
import re
import shutil

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nam import data, evaluate, evaluation, events, gaze, models, scorecard, train
from nam.config import Config, Execution
from nam.errors import UserError
from nam.runs import MODEL, Run
from tests.small import SMALL, run


@pytest.fixture(scope="module")
def folder(finished, tmp_path_factory):
    """A copy of a small run's folder, which evaluations may write to."""
    return shutil.copytree(finished[0], tmp_path_factory.mktemp("copy") / "run")


@pytest.fixture(scope="module")
def evaluated(finished, folder):
    """A small run's result and its evaluation."""
    _, result = finished
    evaluate.main([str(folder), "--votes", "10", "--seeds", "3", "--plots", "--exit-confidence", "0.15"])
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
    tested = data.load(Config(**SMALL).resolved("digits")).test
    np.testing.assert_array_equal(confusion.sum(1), np.bincount(tested.all_labels()))
    assert np.trace(confusion) / found["images"] == pytest.approx(accuracy["deterministic"])


def test_pictures_lie_in_the_folder_and_in_tensorboard(evaluated, folder):
    names = {"accuracy", "curves", "gaze", "heat", "retina"}
    assert {path.name for path in (folder / "plots").iterdir()} == {f"{name}.png" for name in names}
    tags = EventAccumulator(str(folder)).Reload().Tags()
    assert set(tags["images"]) == {f"evaluation/{name}" for name in names}
    assert "evaluation/test" in tags["tensors"]


def test_the_table_holds_what_was_found(evaluated):
    _, found = evaluated
    text = re.sub(" +", " ", scorecard.table(found, [f"digit {i}" for i in range(10)]))
    assert f"| deterministic gaze | {found['accuracy']['deterministic']:.2%} |" in text
    assert "| **0.15** |" in text and "| digit 9 |" in text
    assert "taught to answer after the last look only" in text


def test_a_frozen_policy_is_found_worth_nothing(tmp_path, uncompiled):
    result = run(tmp_path, policy="frozen", execution={"no_test": True})
    folder = tmp_path / "runs" / "run"
    votes = events.history(Run(folder))["val_vote_accuracy"]
    assert result["best_epoch"] == np.argmax(votes) + 1  # its mean, which nobody trained, chooses nothing
    found = evaluation.evaluate(models.load(folder / MODEL), data.load(Run(folder).config()).test, votes=2, seeds=3)
    worth = found["worth"]
    assert abs(worth["difference"]) <= 1.5 * worth["interval"] and 0 < worth["interval"] < 0.02
    assert worth["own"] > 0.15  # it has learned to read, though not where to look


def test_the_gazes_that_it_is_compared_with(finished, monkeypatch):
    model, split = models.load(finished[0] / MODEL), data.load(Config(**SMALL).resolved("digits")).validation
    seen, sampled = split.all_but_images(), []
    targets = (seen.boxes[:, :2] + seen.boxes[:, 2:] / 2) / 15 - 1  # of an image of 30 pixels
    watched = gaze.Watcher.sample

    def sample(self, batches, seed):
        sampled.append(watched(self, batches, seed))
        return sampled[-1]

    def follow(self, batches, locations):
        """Answers right for as many images as tell which gaze it was that the model was led along."""
        own = sampled[-1].locations[:, 0, :2]  # twice as many looks are sampled as are followed
        if not locations.any():
            right = 1
        elif np.allclose(locations, targets[:, None], atol=1e-5):
            right = 2
        elif np.array_equal(np.sort(locations, axis=0), np.sort(own, axis=0)):  # those of the images, in another order
            assert not (locations == own).all((1, 2)).any()
            right = 3
        else:
            assert np.abs(locations).max() > 0.99 and abs(locations.mean()) < 0.1
            right = 4
        answers = np.where(np.arange(len(own)) < right, seen.labels, (seen.labels + 1) % 10)
        return np.eye(10)[answers][:, None]

    monkeypatch.setattr(gaze.Watcher, "sample", sample)
    monkeypatch.setattr(gaze.Watcher, "follow", follow)
    worth = evaluation.evaluate(model, split, votes=1, seeds=2)["worth"]
    found = [split.size * worth[name] for name in ("center", "oracle", "shuffled", "random")]
    assert found == pytest.approx([1, 2, 3, 4])
    right = [(one.probabilities[:, 0, 1].argmax(-1) == seen.labels).mean() for one in sampled]
    assert worth["own"] == pytest.approx(np.mean(right))
    assert worth["difference"] == pytest.approx(worth["own"] - worth["shuffled"])


def test_images_that_are_all_target_have_no_place_to_look_for():
    config = Config(dataset="digits", task="original", glimpses=2, scales=1, bandwidth=6, hidden=16).resolved("digits")
    splits = data.load(config)
    found = evaluation.evaluate(models.build(config, splits.spec), splits.validation, votes=2, seeds=1)
    text = scorecard.table(found)
    assert found["worth"]["oracle"] is None and found["gaze"]["sampled"]["hits"] is None
    assert "target" not in text and "oracle" not in text and "locations at the border" in text


def test_a_gaze_that_never_ends_early_is_the_whole_gaze(evaluated):
    _, found = evaluated
    exits = found["early_exit"]
    assert exits[-1] == {"confidence": 1.0, "looks": SMALL["glimpses"], "accuracy": found["accuracy"]["deterministic"]}
    assert [e["looks"] for e in exits] == sorted(e["looks"] for e in exits) and exits[0]["looks"] < exits[-1]["looks"]


@pytest.mark.slow
def test_where_only_the_digit_tells_the_oracle_beats_the_learned_gaze_and_that_a_random_one(tmp_path):
    # One small patch on a large canvas: what is not looked at is not seen at all.
    config = Config(
        dataset="digits", task="translated", canvas=80, scales=1, bandwidth=20, std=0.15, hidden=64, batch_size=64,
        learning_rate=3e-3, epochs=20,
    )  # fmt: skip
    train.train(config, Execution(logs=str(tmp_path), name="toy", no_test=True))
    model = models.load(tmp_path / "runs" / "toy" / MODEL)
    worth = evaluation.evaluate(model, data.load(config.resolved("digits")).test, votes=1, seeds=2)["worth"]
    assert worth["oracle"] > worth["own"] + 0.05 > worth["random"] + 0.15
    assert worth["difference"] > 3 * worth["interval"]


def test_intervals_by_hand():
    # Student's t for one degree of freedom is 12.706; the standard error of two values is half their distance.
    assert evaluation.over_seeds(np.array([0.5, 0.7])) == pytest.approx((0.6, 12.706 * 0.1), rel=1e-4)
    assert evaluation.over_seeds(np.array([0.5])) == (0.5, None)
    assert evaluation.over_images(np.array([0.5, 0.7]), np.array([3, 8])) == pytest.approx(
        (0.6, 12.706 * 0.1), rel=1e-4
    )
    # Ten draws of each of two digits that are always read alike tell no more than the two.
    values, examples = np.repeat([0.0, 1.0], 10), np.repeat([0, 1], 10)
    assert evaluation.over_images(values, examples) == pytest.approx((0.5, 12.706 * 0.5), rel=1e-4)
    assert evaluation.over_images(np.zeros(8), np.arange(8)) == (0, 0)  # a difference
    mean, interval = evaluation.over_images(np.ones(8, bool), np.arange(8))
    assert mean == 1 and (1 - interval) ** 8 == pytest.approx(0.05)  # of eight, so many are all right by chance


def test_one_seed_has_no_interval(folder, capsys, uncompiled):
    evaluate.main([str(folder), "--split", "validation", "--votes", "1", "--seeds", "1"])
    assert "one sampled gaze, 1 seed " in capsys.readouterr().out
    found = json.loads((folder / "evaluation.json").read_text())
    assert found["accuracy"]["sampled_interval"] is None and found["split"] == "validation"
    assert found["accuracy"]["sampled"] == found["accuracy"]["vote"] == found["worth"]["own"]


def test_a_worthless_gaze_a_collapsed_one_and_one_at_the_border_are_told():
    found = {
        "policy": "learned",
        "looks": {"trained": 4},
        "worth": {"difference": 0.02, "interval": 0.01},
        "gaze": {"deterministic": {"spread": 0.2, "border": 0.1}},
    }
    assert scorecard.warnings(found) == []
    found["worth"]["difference"] = 0.01
    found["gaze"]["deterministic"] = {"spread": 0.001, "border": 0.9}
    worth, collapsed, border = scorecard.warnings(found)
    assert "+1.00 ± 1.00 points" in worth and "collapsed" in collapsed and "border: 90%" in border
    found["looks"]["trained"] = 1  # nowhere to look, so nothing to learn
    assert len(scorecard.warnings(found)) == 2
    found["policy"] = "center"  # as it was asked for
    assert scorecard.warnings(found) == []


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(UserError, match="is not a run's folder"):
        evaluate.main([str(tmp_path)])
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="has no model yet"):
        evaluate.main([str(tmp_path)])
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(UserError, match="is finished, but without its weights: train it again by `python -m nam.train"):
        evaluate.main([str(tmp_path)])
    with pytest.raises(UserError, match="RUN is missing"):
        evaluate.main([])
