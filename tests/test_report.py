"""Results, claims and the report, on logs whose accuracies are made up."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nam import charts, claims, published, report
from nam.config import Config
from nam.configs import named_configs, studies
from nam.errors import UserError
from nam.events import Events
from nam.results import KINDS, POLICIES, VOTE, Results, _residual, _student
from nam.runs import Run
from tests.small import RESULT

TIMINGS = {
    "machine": {},
    "glimpses": {f"glimpses={n}_learned_seed=0": [0.005 + 0.003 * n] * 3 for n in (2, 5, 8, 20)},
    "scales": {
        "scales=2_scale_factors=1-2_learned_seed=0": [0.012],
        "scales=8_scale_factors=1-2-3-4-5-6-7-8_learned_seed=0": [0.018],
        "scales=8_scale_factors=1-2-4-8-16-32-64-128_learned_seed=0": [9],
    },
    "std": {"std=0.1_learned_seed=0": [0.020], "std=1.2_learned_seed=0": [0.021]},
    "batch-size": {"batch_size=32_learned_seed=0": [0.004], "batch_size=256_learned_seed=0": [0.003]},
    "epochs": {f"glimpses={n}_learned_seed=0": [0.0005 + 0.0003 * n] for n in (3, 5, 9)},
}  # seconds per image


def published_like(config):
    """A vote that follows the paper: every claim holds that is about accuracy."""
    vote = 0.5 + 0.01 * config.bandwidth**0.5 + 0.02 * config.scales
    vote -= 0.05 * (config.bandwidth in (17, 24) and config.scales < 4) + 0.1 * (config.std in (0.1, 1.2))
    return vote + 0.05 * (config.std in (0.4, 0.6)) - 0.0003 * config.batch_size + 0.002 * config.glimpses


def flat(config):
    return 0.61 if config.samples == 8 else 0.6


def curve(config, vote):
    """Few looks learn quickly, many late; all have learned after 40 epochs."""
    return [vote * (1 - math.exp(-epoch / (0.05 * config.glimpses**2))) if epoch < min(20, config.epochs - 1) else vote
            for epoch in range(config.epochs)]  # fmt: skip


def write(logs, frozen, learned, names=None, **changes):
    for name in names or studies():
        for run_name, config in studies()[name].model_copy(update=changes).runs().items():
            vote = (frozen if config.policy == "frozen" else learned)(config) + 0.001 * config.seed
            run = Run(logs / name / run_name)
            run.path.mkdir(parents=True)
            run.write("config.json", json.loads(config.to_json()))
            run.write("hardware.json", {"cores": 2})
            run.write("dataset.json", RESULT["dataset"])
            shares = {"sampled": vote - 0.2, "deterministic": vote - 0.3, "vote": vote, "votes": 10}
            if config.model != "ram":
                shares = {"deterministic": vote}
            run.write("result.json", {
                **RESULT, "validation": shares, "test": shares if studies()[name].test else None,
                "best_epoch": 9, "epochs": config.epochs,
            })  # fmt: skip
            if name in ("epochs", "baseline"):
                events = Events(run)
                for epoch, share in enumerate(curve(config, vote)):
                    events.scalars("train", {"seconds": 4.0}, epoch)
                    events.scalars("validation", {"vote_accuracy": share}, epoch)
                events.close()


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Frozen runs do as the paper says; for learned ones nothing matters."""
    folder = tmp_path_factory.mktemp("logs")
    write(folder, published_like, flat)
    (folder / "timings.json").write_text(json.dumps(TIMINGS))
    return folder


@pytest.fixture(scope="module")
def results(logs):
    return Results(logs, logs / "timings.json")


def test_published_numbers_are_found_by_config():
    base = Config(**named_configs()["published"])
    found = published.find(base)
    assert (found.epochs, found.vote, found.sampled, len(found.curve)) == (100, 0.7594, 0.491, 100)
    assert found.curve[9] == 0.6709 and found.seconds_per_epoch == 46.2
    assert published.find(base.model_copy(update={"policy": "learned", "samples": 4, "seed": 3})) == found
    assert published.find(base.model_copy(update={"glimpses": 3})).vote == 0.7218  # the longer of two runs
    assert published.find(base.model_copy(update={"std": 0.6})).vote == 0.84
    assert published.find(base.model_copy(update={"optimizer": "rmsprop", "learning_rate": 1.5e-3})).vote == 0.79
    assert published.find(base.model_copy(update={"scales": 6, "scale_factors": (1, 2, 3, 4, 5, 6)})).vote == 0.201
    for unknown in ({"scale_factors": (1, 2, 4, 8)}, {"std": 0.5}, {"task": "augmented"}, {"std": 0.6, "glimpses": 3}):
        assert published.find(base.model_copy(update=unknown)) is None


def test_a_table_sets_runs_beside_the_published(results):
    table = results.table("baseline")
    assert list(table["policy"]) == ["frozen", "learned"] and set(table["verdict"]) == {"reference"}
    learned = table.iloc[1]
    assert learned["vote"] == pytest.approx(0.601, rel=1e-5) and learned["seeds"] == 3
    assert learned["interval"] == pytest.approx(4.303 * 0.001 / 3**0.5, rel=1e-3)  # Student's, of three seeds
    assert learned["published"] == 0.7594 and learned["published_then"] == 0.6987
    assert results.threshold("learned") == pytest.approx(2 * 2**0.5 * 0.001, rel=1e-3)
    bandwidth = results.table("bandwidth").set_index(["policy", "value"])
    assert list(bandwidth.loc["frozen", "verdict"]) == [
        "worse",
        "worse",
        "reference",
        "no difference",
        "better",
        "better",
    ]
    assert set(bandwidth.loc["learned", "verdict"]) == {"reference", "no difference"}
    assert bandwidth.loc[("learned", "24"), "interval"] == pytest.approx(4.303 * 0.001, rel=1e-3)  # of a single one


def test_every_sweep_has_the_seeds_of_the_baseline_for_its_reference(results):
    std = results.table("std").set_index(["policy", "value"])
    assert std.loc[("learned", "0.22"), "seeds"] == 3 and std.loc[("learned", "0.4"), "seeds"] == 1
    assert std.loc[("learned", "0.22"), "vote"] == pytest.approx(0.601) == results.vote("std", "learned", std=0.22)
    assert set(results.table("epochs")["seeds"]) == {1}  # its runs are longer
    lines = report.curves(results, "baseline")
    assert len(lines["learned"]["5"]) == 3 and len(lines["published (frozen)"]["5"]) == 1
    assert {*report.charts_of(results, "baseline")} == {"curves"}


def test_a_sweep_tells_the_last_epoch_and_a_comparison_the_best(tmp_path):
    write(tmp_path, flat, flat, ["std", "recipe"])
    for study, vote in (("std", 0.7), ("recipe", 0.6)):
        runs = Results(tmp_path).runs(study)
        name = runs.index[0]
        events, epochs = Events(Run(tmp_path / study / name)), runs["epochs"].iloc[0]
        for epoch in range(epochs):
            shares = {"vote_accuracy": 0.5 if epoch < epochs - 1 else 0.7, "accuracy": 0.2}
            events.scalars("validation", shares, epoch)
        events.close()
        row = Results(tmp_path).runs(study).loc[name]
        assert row["vote"] == pytest.approx(vote, rel=1e-3) and row["sampled"] == pytest.approx(0.4, rel=1e-2)
        assert row["deterministic"] == pytest.approx(0.2 if study == "std" else 0.3)
    (path,) = (Run(tmp_path / "std" / Results(tmp_path).runs("std").index[0]).path / "validation").glob("events*")
    content = bytearray(path.read_bytes())
    content[-30] ^= 1  # where TensorBoard ends without a word
    path.write_bytes(content)
    with pytest.raises(UserError, match="hold 14 of 15 epochs .*take another copy"):
        Results(tmp_path).runs("std")


def test_a_comparison_sets_rows_beside_the_published(logs, tmp_path):
    prices = {"translated-60": {"cnn_seed=0": {"1": [0.002, 0.001], "32": [0.0001]}}, "machine": {}}
    (tmp_path / "models.json").write_text(json.dumps(prices))
    results = Results(logs, prices=tmp_path / "models.json")
    table = results.comparison("translated-60").set_index("label")
    assert len(table) == len(studies()["translated-60"].rows)
    cnn = table.loc["CNN"]
    assert cnn["deterministic"] == 0.6 and math.isnan(cnn["vote"]) and cnn["multiply_adds"] == 2000
    assert (cnn["milliseconds_1"], cnn["milliseconds_32"]) == pytest.approx((1.0, 0.1))
    assert cnn["interval_deterministic"] == pytest.approx(1.96 * (0.6 * 0.4 / 10_000) ** 0.5)
    ram = table.loc["RAM, 6 looks, 12×12, 3 scales"]
    assert (ram["deterministic"], ram["vote"]) == pytest.approx((0.3, 0.6)) and math.isnan(ram["milliseconds_1"])
    text = report.of_comparison(results, "translated-60")
    assert (
        "96.66 % (Fang, Tian & Yang, epoch 96); 98.38 % (Mnih et al. 2014, another network)" in text
        and "| 9 of 20 " in text
    )
    assert "92.61 % (Wu, Xu & Lee, 1.83 M parameters)" in report.of_comparison(results, "fashion")
    known = {(name, label) for name, plan in studies().items() for label in plan.labels().values()}
    assert {(name, label) for name, rows in published.everything()["comparisons"].items() for label in rows} <= known


def test_what_a_row_was_asked_besides_is_told(logs, tmp_path):
    shutil.copytree(logs / "edram", tmp_path / "edram")
    small, forward = (Run(tmp_path / "edram" / f"{name}_seed=0") for name in ("edram-small", "sequence"))
    result = forward.read("result.json")
    forward.write("result.json", {**result, "test": {"deterministic": 0.8, "digits": 0.914, "overlap": 0.654}})
    both = [{"run": n, "reading": n, "parameters": 10**6, "whole": 0.7, "digits": 0.8} for n in ("forward", "backward")]
    forward.write("together.json", {"split": "test", "runs": both, "together": {"whole": 0.812, "digits": 0.9}})
    small.write("evaluation.json", {"split": "test", "windows": {"overlap": [0.5], "alone": [0.6], "mean": [0.6]}})
    row = {"task": "cluttered", "canvas": 100, "distractors": 5, "digit_size": None, "images": 9, "deterministic": 0.77}
    small.write("transfer.json", {"test": [{**row, "deterministic": 0.76}], "train": [row]})
    events = Events(small)
    for epoch in range(2):
        events.scalars("train", {"seconds": 4.0, "loss": 2.0}, epoch)
        events.scalars("validation", {"accuracy": 0.5, "loss": 2.0}, epoch)
    events.close()
    results = Results(tmp_path)
    text = report.of_comparison(results, "edram")
    for told in ("91.4 %", "0.65", "18.80%", "76.00%", "77.00%", "on other images (split train)", "reading backward"):
        assert told in text, told
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["ST-CNN, one transformer", "SVHN, whole numbers", "96.3 %", "33"] in cells
    numbers = "MNIST digits in SVHN's places, whole numbers: another task"
    assert ["**EDRAM, numbers, forward** (ours)", numbers, "80 %", "0.001"] in cells
    assert ["**EDRAM, numbers, forward**, together with 1 other (ours)", numbers, "81.2 %", "2"] in cells
    text, figures = report.report(results, {"edram": studies()["edram"]})
    assert "**EDRAM, a tenth of the arithmetic**, look by look (split test):" in text
    assert "edram-edram-small_seed=0.png" in figures and "](edram-edram-small_seed=0.png)" in text
    assert "edram-edram-small_seed=0-curves.png" in figures and "](edram-edram-small_seed=0-curves.png)" in text
    assert not any(name.startswith("edram-ram") for name in figures)


def test_rows_with_several_seeds_are_compared_with_the_first(results):
    table = results.comparison("recipe").set_index("label")  # on validation, as nothing is tested in a search
    assert table["deterministic"].iloc[0] == pytest.approx(0.3005) and table["seeds"].iloc[0] == 2
    # All rows have the deviation of seeds 0.001 apart; their differences with the first have none.
    for kind in ("deterministic", "sampled"):
        assert table[f"interval_{kind}"].iloc[0] == pytest.approx(2.04 * 0.001 / 2**0.5 / 2**0.5, rel=0.01)
        verdicts = table[f"verdict_{kind}"]
        assert verdicts.iloc[0] == "reference" and verdicts["8 copies"] == "better"
        assert set(verdicts.drop(verdicts.index[0]).drop("8 copies")) == {"no difference"}
    text = report.of_comparison(results, "recipe")
    assert "- accuracies: on the validation split" in text and "| better " in text and "published" not in text
    assert "| seeds " in text and set(table["seeds"]) == {2}


def test_the_quickest_epoch_is_one_of_whole_images(tmp_path):
    write(tmp_path, flat, flat, ["size"])
    config = studies()["size"].runs()[name := next(name for name in studies()["size"].runs() if "curriculum" in name)]
    events = Events(Run(tmp_path / "size" / name))
    for epoch in range(config.epochs):
        events.scalars("train", {"seconds": 4.0 if epoch >= config.curriculum_epochs else 1.0}, epoch)
    events.close()
    row = Results(tmp_path).runs("size").loc[name]
    assert row["core_seconds"] == 2 * 4 and row["core_hours"] == pytest.approx(2 * 60 / 3600)


def test_runs_of_further_seeds_count_as_runs(tmp_path):
    write(tmp_path, flat, flat, ["fashion"], seeds=(0, 1))
    (tmp_path / "fashion" / "simple-cnn_patience=10_plateau=3_seed=0" / "result.json").unlink()
    assert " 11 of 12 runs are finished." in report.of_comparison(Results(tmp_path), "fashion")


def test_a_run_that_was_not_tested_is_no_system(tmp_path):
    write(tmp_path, flat, flat, ["edram"])
    run = Run(tmp_path / "edram" / "edram-small_seed=0")
    run.write("result.json", {**run.read("result.json"), "test": None})
    tested = [each["system"] for each in report._systems(Results(tmp_path), "edram")]
    assert tested and "**EDRAM, a tenth of the arithmetic** (ours)" not in tested


def test_rows_on_other_images_are_not_compared(tmp_path):
    write(tmp_path, lambda config: 0.6 + 0.01 * config.glimpses, flat, ["headline"])
    table = Results(tmp_path).comparison("headline")
    assert set(table["verdict_sampled"]) == {""} == set(table["verdict_deterministic"]) and table["seeds"].min() == 2
    assert "verdict" not in report.of_comparison(Results(tmp_path), "headline")


def test_verdicts_pair_the_seeds(tmp_path):
    short = studies()["recipe"].fixed["epochs"]

    def vote(config):
        found = {(2, short): 0.02, (8, short): (0.03, 0.05)[config.seed]}.get((config.samples, config.epochs), 0)
        return 0.6 + found + 0.05 * config.seed  # what seeds share does not count

    write(tmp_path, vote, vote, ["recipe"])
    (tmp_path / "recipe" / "samples=2_seed=1" / "result.json").unlink()
    table = Results(tmp_path).comparison("recipe").set_index("label")
    assert list(table.loc[["2 copies", "8 copies"], "verdict_sampled"]) == ["better"] * 2
    # Means of rows 25, 55, 20 and of columns 10, 170 / 3, all but the last without.
    small = pd.DataFrame([(0, 50), (10, 100), (20, 20), (30, math.nan)])
    of_one, freedom = _residual(small)
    assert freedom == 2 and of_one == pytest.approx(2 * ((5 / 3) ** 2 + (65 / 3) ** 2 + (70 / 3) ** 2) / 2)
    assert math.isnan(_residual(small[[0]])[0])


def test_one_in_twenty_equal_rows_is_told_apart(rng):
    apart = []
    for _ in range(400):
        table = pd.DataFrame(rng.normal(size=(8, 2)) + rng.normal(size=2))  # what equal seeds share does not count
        of_one, freedom = _residual(table)
        more = (table - table.loc[0]).mean(axis=1)[1:]
        apart.append(more.abs() > _student(freedom + 1) * (2 * of_one / 2) ** 0.5)
    assert 0.02 < np.mean(apart) < 0.08


def test_the_size_of_the_canvas_is_drawn_for_each_kind_of_model(logs):
    figure = charts.size(Results(logs).comparison("size"), studies()["size"].untrained)
    assert len(figure.axes) == 4
    assert any("CNN, 800×800 untrained: an epoch" in text.get_text() for text in figure.legends[0].get_texts())
    lines = {line.get_label(): list(line.get_xdata()) for line in figure.axes[0].lines}
    assert lines["RAM"] == lines["CNN"] == [60, 100, 200, 400, 800]
    assert lines["RAM with a wide view"] == [200, 400, 800]
    assert {name for name in lines if lines[name]} == {"RAM", "RAM with a wide view", "CNN", "self-attention"}


def test_what_is_not_trained_has_a_cost_and_says_why(logs, tmp_path):
    name = "cnn_canvas=800_seed=0"
    assert name not in studies()["size"].runs() and studies()["size"].runs(untrained=True)[name].canvas == 800
    cost = {"parameters": 1, "multiply_adds": 20_000, "pixels_read": 3, "pixels_touched": 4, "pixels": 5}
    prices = {"size": {name: {"1": [0.2], "32": [0.1], "cost": cost}}, "machine": {"cpu": "Abacus", "cores": 2}}
    (tmp_path / "models.json").write_text(json.dumps(prices))
    results = Results(logs, prices=tmp_path / "models.json")
    row = results.comparison("size").set_index("label").loc["CNN, 800×800"]
    assert (row["multiply_adds"], row["milliseconds_32"], row["seeds"]) == (20_000, 100, 0)
    text = report.of_comparison(results, "size")
    assert "Not trained: CNN, 800×800 (an epoch would take" in text
    assert "runs are finished" not in text and "on 2 cores of an Abacus" in text


def test_claims_are_told_for_each_policy(results):
    verdicts = [finding.verdict for _, finding in claims.findings(results)]
    of_the_sensor = f"probably {claims.ARTEFACT} of the published sensor"
    only_frozen = f"{claims.UNSHOWN} once the policy is trained, {claims.CONFIRMED} as published"
    assert verdicts[0] == claims.CONFIRMED  # time, linear in looks
    # After 30 of 76 minutes all have learned.
    assert verdicts[1] == f"{claims.UNSHOWN} once the policy is trained, {claims.REFUTED} as published"
    assert verdicts[2] == only_frozen
    assert verdicts[3] == of_the_sensor
    assert verdicts[4:7] == [only_frozen] * 3
    assert verdicts[7] == of_the_sensor
    assert verdicts[8] == only_frozen
    assert verdicts[9:] == [claims.CONFIRMED] * 2  # nothing after epoch 50, no optimizer differs


def test_what_a_trained_policy_turns_round_is_an_artefact(logs, tmp_path):
    names = ["scales", "bandwidth", "scales-vs-bandwidth", "std", "batch-size"]
    write(tmp_path, published_like, lambda config: 1.1 - published_like(config), ["baseline", *names])
    for name in names:
        found = claims.findings(Results(tmp_path, logs / "timings.json"), [name])
        accuracy = [finding.verdict for claim, finding in found if claim.number not in ("3b", "7")]
        assert accuracy == [f"{claims.ARTEFACT} of the untrained policy"]


def test_what_a_verdict_rests_on_is_told(results):
    told = {claim.number: "\n".join(finding.evidence) for claim, finding in claims.findings(results)}
    assert "the looks takes as long as 1.7 of them" in told["1"] and "published: 15.1 s and 6.3 s a look" in told["1"]
    assert "9 are ahead of 3 for good from" in told["2"] and "runs or times are missing" not in told["2"]
    assert "8 scales take 1.50 × as long as 2" in told["3b"] and "published_sensor" in told["3b"]
    assert "the better of 0.4 and 0.6 over 0.1, 0.22, 1.2: +15.0, +4.9, +15.0 points" in told["6"]
    assert "a std of 1.2 takes 1.05 × as long as 0.1" in told["7"]
    assert "32 over 256: +6.7 points" in told["8"] and "an epoch at 256 takes 25 % less than at 32" in told["8"]
    assert "from 50 to 100 +0.0 ± 0.0, +0.0 ± 0.0, +0.0 ± 0.0 points" in told["9"]
    assert "at the code's rates adam 0.001: " in told["10"] and ", adagrad 0.3: " in told["10"]


def test_a_sweep_shows_each_kind_in_its_panel(results):
    table = results.table("bandwidth")
    figure = charts.sweep(table, "bandwidth")
    for axis, kind in zip(figure.axes, KINDS, strict=True):
        shown = {bars.get_label(): bars.lines[0].get_xydata() for bars in axis.containers}
        for policy in POLICIES:
            rows = table[table["policy"] == policy]
            assert shown[policy].tolist() == [[float(row["value"]), 100 * row[kind]] for _, row in rows.iterrows()]
        theirs = [name for name in shown if name.startswith("published")]
        assert len(theirs) == {"vote": 2, "sampled": 1, "deterministic": 0}[kind]
    assert len(figure.legends[0].get_texts()) == 5


def test_curves_are_shown_by_epoch_and_by_minute():
    frame = pd.DataFrame({VOTE: [0.5, 0.75], "minutes": [3.0, 6.0]}, index=[1, 2])
    figure = charts.curves({"frozen": {"a": [frame], "b": [frame / 2]}, "learned": {"b": []}}, "what")
    by_epoch, empty, by_minute, _ = figure.axes
    assert [line.get_xydata().tolist() for line in by_epoch.lines] == [[[1, 50], [2, 75]], [[1, 25], [2, 37.5]]]
    assert by_minute.lines[1].get_xydata().tolist() == [[1.5, 25], [3, 37.5]] and not empty.lines
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_times_are_told_by_what_they_do(results, logs, tmp_path):
    path = tmp_path / "timings.json"
    std = {f"std={std}_learned_seed=0": times for std, times in ((0.1, [0.02, 9]), (0.22, [9]), (1.2, [0.05]))}
    path.write_text(json.dumps({**TIMINGS, "std": std, "gone": {"x": [1]}, "glimpses": {"gone": [1]}}))
    verdicts = {claim.number: finding.verdict for claim, finding in claims.findings(Results(logs, path))}
    assert verdicts["7"] == claims.CONFIRMED  # the least of each; what lies between does not count
    assert verdicts["1"] == claims.OPEN
    path.write_text("{}")
    verdicts = {claim.number: finding.verdict for claim, finding in claims.findings(Results(logs, path))}
    assert [number for number, verdict in verdicts.items() if verdict == claims.OPEN] == ["1", "2", "3b", "7", "8"]


@pytest.mark.parametrize(("gain", "verdict"), [(0, claims.CONFIRMED), (0.01, claims.REFUTED)])
def test_a_gain_within_a_run_is_held_to_its_own_noise(tmp_path, monkeypatch, gain, verdict):
    def jagged(config, vote):
        return [vote + 0.002 * (-1) ** epoch + gain * (epoch > 75) for epoch in range(config.epochs)]

    monkeypatch.setitem(write.__globals__, "curve", jagged)
    write(tmp_path, flat, flat, ["epochs"])
    found = {claim.number: finding.verdict for claim, finding in claims.findings(Results(tmp_path), ["epochs"])}
    assert found["9"] == verdict


def test_curves_may_be_unequal_or_missing(results, logs, tmp_path):
    write(tmp_path, flat, flat, ["epochs"])
    name = "glimpses=3_frozen_seed=0"
    whole = Results(tmp_path, logs / "timings.json").curve("epochs", name)
    # As long as with a learned policy, which was timed.
    assert len(whole) == 100 and whole["minutes"].iloc[-1] == pytest.approx(100 * 54_000 * 0.0014 / 60)
    assert Results(tmp_path).curve("epochs", name)["minutes"].isna().all()
    events = Events(Run(tmp_path / "epochs" / name), first_epoch=100)
    events.scalars("train", {"seconds": 4.0}, 100)
    events.close()
    assert len(Results(tmp_path).curve("epochs", name)) == 101
    shutil.rmtree(tmp_path / "epochs" / name / "validation")
    assert report.curves(Results(tmp_path), "epochs")["frozen"]["3"] == []
    shutil.rmtree(tmp_path / "epochs" / name / "train")
    assert Results(tmp_path).curve("epochs", name).empty
    write(tmp_path, flat, flat, ["baseline"])
    assert claims.findings(Results(tmp_path, logs / "timings.json"), ["epochs"])[0][1].verdict == claims.OPEN


def test_more_seeds_than_the_study_has_are_taken(tmp_path):
    write(tmp_path, flat, flat, ["baseline", "epochs", "optimizer", "std"])
    alone = [finding.verdict for _, finding in claims.findings(Results(tmp_path))]
    write(tmp_path, flat, flat, ["epochs", "optimizer", "std"], seeds=(4,))
    write(tmp_path, flat, flat, ["std"], seeds=(1,))
    (tmp_path / "std" / "std=0.4_learned_seed=4" / "result.json").unlink()  # is being trained
    table = Results(tmp_path).table("std").set_index(["policy", "value"])
    assert table.loc[("frozen", "0.4"), "seeds"] == 3 and table.loc[("learned", "0.4"), "seeds"] == 2
    assert table.loc[("frozen", "0.22"), "seeds"] == 4  # seed 1 is that of the baseline
    assert table.loc[("frozen", "0.4"), "vote"] == pytest.approx(0.6 + 0.005 / 3)
    assert " runs are finished" not in report.of_study(Results(tmp_path), "std")
    found = claims.findings(Results(tmp_path))
    assert [finding.verdict for _, finding in found] == alone
    told = {claim.number: report.told(claim, finding) for claim, finding in found}
    assert "3 looks 60.2, 60.2, 60.2, 60.2 %" in told["9"] and "rmsprop 0.0015: 60.2 % (?), 0.0 points" in told["10"]


def test_claims_need_their_runs(tmp_path):
    results = Results(tmp_path)
    assert {finding.verdict for _, finding in claims.findings(results)} == {claims.OPEN}
    write(tmp_path, flat, published_like, ["std"])  # without the baseline's seeds nothing can differ
    assert claims.findings(Results(tmp_path), ["std"])[0][1].verdict == claims.OPEN
    write(tmp_path, flat, published_like, ["baseline"])
    verdict = f"{claims.CONFIRMED} once the policy is trained, {claims.UNSHOWN} as published"
    assert claims.findings(Results(tmp_path), ["std"])[0][1].verdict == verdict


def test_the_reference_alone_does_not_begin_a_sweep(tmp_path):
    write(tmp_path, flat, flat, ["baseline"])
    text, figures = report.report(Results(tmp_path), studies())
    assert {*figures} == {
        "baseline-curves.png",
        "summary.png",
    } and "No run is finished of the studies glimpses, " in text
    write(tmp_path, flat, flat, ["std"])
    (tmp_path / "std" / "std=0.4_frozen_seed=0" / "result.json").unlink()
    assert "9 of 10 runs are finished" in report.of_study(Results(tmp_path), "std")


def test_the_threshold_takes_two_seeds(tmp_path):
    write(tmp_path, flat, flat, ["baseline", "std"])
    for run in (tmp_path / "baseline").glob("*_seed=[12]"):
        (run / "result.json").unlink()
    results = Results(tmp_path)
    table = results.table("std")
    assert math.isnan(results.threshold("frozen")) and table["interval"].isna().all()
    assert set(table["verdict"]) == {"", "reference"}
    assert "not known yet" in report.report(results, studies())[0]


def test_a_comparison_without_its_first_row_says_nothing(tmp_path):
    write(tmp_path, flat, flat, ["recipe"])
    for run in (tmp_path / "recipe").glob("seed=*"):
        (run / "result.json").unlink()
    table = Results(tmp_path).comparison("recipe")
    assert set(table["verdict_sampled"]) == {""} == set(table["verdict_deterministic"])


def test_optimizers_that_still_gain_refute_so_far(tmp_path):
    write(tmp_path, *[lambda config: 0.4 if config.optimizer == "adagrad" else 0.6] * 2, ["baseline", "optimizer"])
    (_, finding), *_ = claims.findings(Results(tmp_path), ["optimizer"])
    assert finding.verdict == claims.REFUTED
    for name, run in Results(tmp_path).runs("optimizer").iterrows():
        if (run["optimizer"], run["policy"]) == ("adagrad", "frozen"):
            events = Events(Run(tmp_path / "optimizer" / name))
            for epoch in range(15):
                events.scalars("train", {"seconds": 4.0}, epoch)
                events.scalars("validation", {"vote_accuracy": 0.4 - 0.02 * (14 - epoch)}, epoch)
            events.close()
    (_, finding), *_ = claims.findings(Results(tmp_path), ["optimizer"])
    assert finding.verdict == f"{claims.REFUTED} after 15 epochs, open beyond"
    assert "adagrad 0.2: 40.0 % (+10.0), adam 0.001: 60.1 % (?)" in finding.evidence[0]


def test_the_committed_report_is_that_of_the_committed_runs():
    """Where it is not: `python -m nam.report`."""
    root = Path(__file__).parents[1]
    timings, prices = (path if path.exists() else None for path in (root / report.TIMINGS, root / report.PRICES))
    text, figures = report.report(Results(root / "logs", timings, prices), studies())
    folder = root / "docs" / "report"
    assert (folder / "REPORT.md").read_text() == text
    assert {path.name for path in folder.glob("*.png")} == {*figures}


def test_the_report_holds_every_study_and_its_figures(logs, tmp_path, capsys):
    assert (
        report.main(["--logs", str(logs), "--timings", str(logs / "timings.json"), "--folder", str(tmp_path)]) is None
    )
    text = (tmp_path / "REPORT.md").read_text()
    for name, study in studies().items():
        assert f"## {name}\n\n{study.question}" in text
    for figure in ("glimpses-accuracy", "epochs-curves", "std-time", "summary"):
        assert f"({figure}.png)" in text and (tmp_path / f"{figure}.png").stat().st_size > 5000
    assert text.count("; it holds") == 11 and "0.3 points (frozen) and 0.3 points (learned)" in text
    assert "The 82 different runs that are finished took 3 core-hours" in text
    assert f"{tmp_path / 'REPORT.md'}, " in capsys.readouterr().out


def test_the_report_can_be_of_one_study_and_of_half_of_it(logs, tmp_path, monkeypatch, capsys):
    write(tmp_path / "logs", flat, flat, ["std"])
    gone = tmp_path / "logs" / "std" / "std=0.4_learned_seed=0"
    (gone / "result.json").unlink()
    monkeypatch.chdir(tmp_path)
    report.main(["std", "--logs", str(tmp_path / "logs"), "--folder", str(tmp_path)])
    assert "claims about time stay open" in capsys.readouterr().out
    text = (tmp_path / "REPORT.md").read_text()
    assert "9 of 10 runs are finished" in text and "## glimpses" not in text and "not known yet" in text
    assert "No run is finished" not in text
    assert text.count("| 0.4 ") == 2 and text.count(" 65 % (100)") == 1  # beside the frozen run
    write(tmp_path / "logs", flat, flat, ["fashion"])
    report.main(["fashion", "--logs", str(tmp_path / "logs"), "--folder", str(tmp_path)])
    assert "## fashion" in (tmp_path / "REPORT.md").read_text()
    report.main(["std", "epochs", "recipe", "--logs", str(tmp_path / "logs"), "--folder", str(tmp_path)])
    text = (tmp_path / "REPORT.md").read_text()
    assert "No run is finished of the studies epochs, recipe." in text and "## epochs" not in text and "**9. " in text


def test_mistakes_are_told(tmp_path):
    with pytest.raises(UserError, match="is no folder: name that of the runs with --logs"):
        report.main(["--logs", str(tmp_path / "none")])
    with pytest.raises(UserError, match="no run of any study is finished under .*: train them by python -m nam.study"):
        report.main(["--logs", str(tmp_path), "--folder", str(tmp_path)])
    with pytest.raises(UserError, match="unknown study 'sdt'. Did you mean 'std'"):
        report.main(["sdt", "--logs", str(tmp_path)])
    with pytest.raises(UserError, match="cannot read the timings"):
        report.main(["--logs", str(tmp_path), "--timings", str(tmp_path / "none.json")])
    write(tmp_path, flat, flat, ["std"])
    path = tmp_path / "std" / "std=0.4_frozen_seed=0" / "config.json"
    path.write_text(path.read_text().replace('"std": 0.4', '"std": 0.3'))
    with pytest.raises(UserError, match="holds another run than the study's"):
        report.main(["--logs", str(tmp_path)])


def test_times_are_relative_to_what_both_have():
    axis = charts.times({"2": 1.0, "5": 2.0}, {"10": 92.0, "5": 46.0}, "looks").axes[0]
    ours, theirs = (list(line.get_ydata()) for line in axis.lines)
    assert ours == [0.5, 1.0] and theirs == [1.0, 2.0]
    assert "relative to 5" in axis.get_ylabel()


def test_the_summary_has_each_run_once(tmp_path):
    write(tmp_path, flat, flat, ["baseline", "std", "glimpses"])
    times = {"baseline": {"glimpses=5_learned_seed=0": [1]}, "std": {"std=0.22_learned_seed=0": [2]}}
    (tmp_path / "timings.json").write_text(json.dumps(times))
    points = report.everything(Results(tmp_path, tmp_path / "timings.json"), ["baseline", "std", "glimpses"])
    ours = points[points["who"] != "published"]
    assert len(ours) == 6 and set(ours["minutes"]) == {15 * 54_000 / 60}  # three seeds, both policies
    assert list(points[points["who"] == "published"]["name"])[:2] == ["looks 5", "std 0.1"]


def test_numbers_of_every_size_are_told():
    assert [report._number(value) for value in (0.0123, 9.34, 109.0, math.nan)] == ["0.012", "9.3", "109", ""]


def test_the_summary_names_the_best_and_the_worst():
    points = pd.DataFrame({
        "name": ["a", "b", "c", "d", "e"], "who": ["frozen"] * 4 + ["published"], "minutes": [1, 2, 3, 4, 5],
        "accuracy": [0.5, 0.6, 0.7, 0.8, 0.9],
    })  # fmt: skip
    axis = charts.summary(points).axes[0]
    assert [text.get_text() for text in axis.texts] == ["a", "c", "d", "e"]
    assert [len(dots.get_offsets()) for dots in axis.collections] == [4, 0, 1]
