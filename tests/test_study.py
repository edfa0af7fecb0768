"""Studies: what they consist of, and that nothing runs twice, is lost, or stops the rest."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from nam import configs, engines, study
from nam.configs import Study, choose_studies, studies
from nam.errors import UserError
from nam.runs import Busy, Run
from tests.small import RESULT, SMALL

TINY = {**SMALL, "scale_factors": [1], "distractors": None, "distractor_size": None, "padding": "zero", "epochs": 1}


def tiny(**values):
    fixed = {**TINY, **values.pop("fixed", {})}
    return Study(
        **{
            "question": "Does it run?",
            "label": "{glimpses}",
            "vary": {"glimpses": [1, 2]},
            "policies": ("frozen",),
            "fixed": fixed,
            **values,
        }
    )


def test_every_study_is_made_of_whole_configs():
    for name, found in studies().items():
        if found.rows:
            continue
        configs = found.runs()
        assert len(configs) == len(next(iter(found.vary.values()))) * len(found.policies) * len(found.seeds), name
        assert len({config.to_json() for config in configs.values()}) == len(configs), name
        for config in configs.values():
            assert (config.task, config.canvas, config.dataset) == ("belaid", 100, "mnist")
            assert config.resolved("mnist") == config  # nothing is left open
            assert config.samples == 4 and config.epochs in (15, 100)


def test_every_comparison_is_made_of_whole_configs():
    comparisons = {name: found for name, found in studies().items() if found.rows}
    searches = {"recipe", "recipe-long"}
    assert set(comparisons) == {
        *searches,
        "headline",
        "translated-60",
        "cluttered-60",
        "cluttered-40",
        "fashion",
        "size",
        "edram",
    }
    for name, found in comparisons.items():
        configs, labels = found.runs(untrained=True), found.labels()
        assert len(found.rows) == len(set(labels.values())) == len(configs) / len(found.seeds), name
        assert found.test != (name in searches)  # a search leaves the test split alone
        for config in configs.values():
            assert config.dataset and config.resolved(config.dataset) == config
            same = {name: value for name, value in found.fixed.items() if name not in found.varied}
            assert same.items() <= dict(config).items()
    configs = comparisons["translated-60"].runs()
    assert configs["cnn_seed=0"].model == "cnn" and configs["fc_hidden=64_seed=0"].hidden == 64
    config = configs["ram_glimpses=6_bandwidth=8_scales=2_epochs=20_seed=0"]
    assert (config.glimpses, config.bandwidth, config.scale_factors, config.policy) == (6, 8, (1, 2), "learned")
    assert comparisons["translated-60"].varied == ["model", "hidden", "glimpses", "bandwidth", "scales", "epochs"]


def test_a_study_names_what_varies():
    vary = {"scales": [2, 3], "scale_factors": [[1, 2], [1, 2, 4]]}
    found = Study(question="?", label="{scales}: {scale_factors}", vary=vary, seeds=(0, 1)).runs(epochs=2)
    assert list(found)[:2] == [
        "scales=2_scale_factors=1-2_frozen_seed=0",
        "scales=2_scale_factors=1-2_learned_seed=0",
    ]
    config = found["scales=3_scale_factors=1-2-4_learned_seed=1"]
    assert (config.scales, config.scale_factors, config.policy) == (3, (1, 2, 4), "learned")
    assert (config.seed, config.epochs) == (1, 2)
    assert Study(question="?", label="{scales}: {scale_factors}", vary=vary).name(config) == "3: 1 2 4"


def test_mistakes_are_told():
    with pytest.raises(UserError, match="unknown key 'glimpse'. Did you mean 'glimpses'"):
        Study(question="?", label="", vary={"glimpse": [2]}).runs()
    with pytest.raises(UserError, match="unknown key 'seed'. Did you mean 'seeds'"):
        Study(question="?", label="", vary={}, seed=3)
    with pytest.raises(UserError, match="unknown study 'glimpse'. Did you mean 'glimpses'"):
        study.main(["glimpse"])
    with pytest.raises(UserError, match="--gpus-per-run is for Ray: add --engine ray"):
        study.main(["std", "--gpus-per-run", "0.5"])
    assert set(choose_studies(["all"])) == set(studies())


def test_studies_are_listed_and_tried_without_training(tmp_path, capsys):
    assert study.main(["--list"]) == 0
    text = capsys.readouterr().out
    assert all(f"{name}: {found.question}" in text for name, found in studies().items())
    assert study.main(["std", "--dry-run", "--seeds", "2", "--logs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 * 2 * 2 and lines[0] == "std/std=0.1_frozen_seed=0" and not list(tmp_path.iterdir())


class Engine:
    """Pretends to train; some runs fail."""

    def __init__(self, failing=()):
        self.failing = failing
        self.trained = []

    def __call__(self, config, execution):
        self.trained.append(execution.name)
        if execution.name in self.failing:
            return "it fails"
        run = Run.of(config, execution)
        run.path.mkdir(parents=True)
        run.write("config.json", json.loads(config.to_json()))
        run.write("hardware.json", {"cores": 1})
        shares = {"vote": 0.5, "sampled": 0.4, "deterministic": 0.3, "votes": 10}
        run.write("result.json", {**RESULT, "validation": shares, "test": None})
        return None

    def stop(self):
        raise AssertionError


def test_a_failing_run_does_not_stop_the_rest(tmp_path):
    todo = study.tasks({"tiny": tiny(vary={"glimpses": [1, 2, 3]})})
    engine = Engine(failing=[todo[1].name])
    outcomes = [(task.name, failure) for task, failure, _ in study.train_all(todo, engine, tmp_path, workers=2)]
    assert sorted(outcomes) == [(todo[0].name, None), (todo[1].name, "it fails"), (todo[2].name, None)]


def test_the_same_run_is_not_trained_for_another_study(tmp_path):
    first, second = (study.tasks({name: tiny()}) for name in ("first", "second"))
    engine = Engine()
    for todo in (first, second):
        assert [failure for _, failure, _ in study.train_all(todo, engine, tmp_path, workers=1)] == [None, None]
    assert len(engine.trained) == 2
    assert second[0].run(tmp_path).read("result.json") == first[0].run(tmp_path).read("result.json")
    assert not list(tmp_path.rglob(".copy-*"))
    accumulator = EventAccumulator(str(second[0].run(tmp_path).path)).Reload()
    start = accumulator.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(start).session_start_info
    assert start.hparams["study"].string_value == "second" and start.group_name == f"second/{second[0].name}"
    columns = accumulator.summary_metadata["_hparams_/experiment"].plugin_data.content
    columns = plugin_data_pb2.HParamsPluginData.FromString(columns).experiment.hparam_infos
    assert columns[0].name == "study" and {"policy", "std"} < {column.name for column in columns}
    assert {"study", "policy"} < {column.name for column in columns if column.differs}
    assert accumulator.Scalars("validation/vote")[0].value == 0.5
    third = study.tasks({"third": tiny()})
    assert [failure for _, failure, _ in study.train_all(third, engine, tmp_path, 1, mixed_precision=True)] == [
        None
    ] * 2
    assert len(engine.trained) == 4  # of another precision is another run


@pytest.mark.parametrize("kind", [OSError, ZeroDivisionError])  # foreseen, and not
def test_what_goes_wrong_in_one_run_does_not_stop_the_rest(tmp_path, kind):
    todo = study.tasks({"tiny": tiny(vary={"glimpses": [1, 2, 3]})})
    engine = Engine()

    def broken(config, execution):
        if config.glimpses == 2:
            raise kind("the disk is full")
        return engine(config, execution)

    outcomes = {task.config.glimpses: failure for task, failure, _ in study.train_all(todo, broken, tmp_path, 1)}
    assert outcomes == {1: None, 2: "the disk is full", 3: None}


def test_a_failed_run_whose_twin_is_finished_is_copied(tmp_path):
    first, second = (study.tasks({name: tiny(vary={"glimpses": [1]})})[0] for name in ("first", "second"))
    engine = Engine()
    list(study.train_all([first], engine, tmp_path, 1))
    folder = second.run(tmp_path).path
    folder.mkdir(parents=True)
    (folder / engines.FAILURE).write_text("it failed")
    list(study.train_all([second], engine, tmp_path, 1))
    assert len(engine.trained) == 1 and {"result.json"} < {path.name for path in folder.iterdir()}
    assert not (folder / engines.FAILURE).exists()


def test_a_result_that_cannot_be_read_stops_its_own_run_only(tmp_path):
    todo = study.tasks({"tiny": tiny()})
    todo[0].run(tmp_path).path.mkdir(parents=True)
    (todo[0].run(tmp_path).path / "result.json").write_text('{"epochs":')
    assert [task.is_done(tmp_path) for task in todo] == [False, False]
    failures = [failure for _, failure, _ in study.train_all(todo, Engine(), tmp_path, workers=1)]
    assert failures[0] and failures[1] is None


def test_what_a_killed_study_was_copying_is_cleared_away(tmp_path):
    first, second = (study.tasks({name: tiny(vary={"glimpses": [1]})})[0] for name in ("first", "second"))
    list(study.train_all([first], Engine(), tmp_path, 1))
    digest = hashlib.sha256(first.config.to_json().encode()).hexdigest()[:16]
    (tmp_path / "first" / f".copy-{digest}" / "second" / second.name).mkdir(parents=True)
    list(study.train_all([second], Engine(), tmp_path, 1))
    assert not list(tmp_path.rglob(".copy-*")) and second.is_done(tmp_path)


@pytest.mark.fault
def test_what_another_process_trains_for_another_study_is_left_alone(tmp_path):
    first, second = (study.tasks({name: tiny(vary={"glimpses": [1]})}) for name in ("first", "second"))
    engine, found = Engine(), []

    def slow(config, execution):
        found.extend(study.train_all(second, engine, tmp_path, workers=1))
        return engine(config, execution)

    list(study.train_all(first, slow, tmp_path, workers=1))
    assert [failure for _, failure, _ in found] == [engines.ELSEWHERE] and len(engine.trained) == 1


def test_a_run_from_before_a_field_was_added_is_the_same_run(tmp_path):
    (task,) = study.tasks({"tiny": tiny(vary={"glimpses": [1]})})
    engine = Engine()
    list(study.train_all([task], engine, tmp_path, workers=1))
    values = task.run(tmp_path).read("config.json")
    task.run(tmp_path).write("config.json", {name: value for name, value in values.items() if name != "loss_steps"})
    assert task.run(tmp_path).config() == task.config
    (tmp_path / "other" / "broken").mkdir(parents=True)
    for name in ("config.json", "result.json"):
        (tmp_path / "other" / "broken" / name).write_text("{}")
    list(study.train_all([task._replace(study="second")], engine, tmp_path, workers=1))
    assert len(engine.trained) == 1


def test_a_folder_of_other_runs_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(configs, "studies", lambda: {"tiny": tiny()})
    monkeypatch.setattr(study, "Local", lambda workers: Engine())
    assert study.main(["tiny", "--logs", str(tmp_path)]) == 0
    with pytest.raises(UserError, match="holds another run .epochs 1 there and 2 here"):
        study.main(["tiny", "--logs", str(tmp_path), "--epochs", "2"])


def test_a_study_trains_tells_and_records(tmp_path, monkeypatch, capsys):
    broken = {"optimizer": "sgd", "clip_norm": None, "schedule": "constant", "core": "rnn"}
    found = tiny(vary={"learning_rate": [100.0, 0.001]}, fixed=broken)
    monkeypatch.setattr(configs, "studies", lambda: {"tiny": found})
    assert study.main(["tiny", "--logs", str(tmp_path), "--workers", "2", "--jit", "off", "--mixed-precision"]) == 1
    out = capsys.readouterr().out
    failed = tmp_path / "tiny" / "learning_rate=100.0_frozen_seed=0" / engines.FAILURE
    assert "/2] tiny/learning_rate=100.0_frozen_seed=0: status 2: error: the loss became" in out
    assert "the loss became" in failed.read_text()
    assert "/2] tiny/learning_rate=0.001_frozen_seed=0: vote" in out and "0 minutes left" in out
    run = Run(tmp_path / "tiny" / "learning_rate=0.001_frozen_seed=0")
    assert run.read("result.json")["test"] is None  # a search leaves it alone
    card, cores = run.read("hardware.json"), len(os.sched_getaffinity(0))
    assert card["jit"] == "off" and card["mixed_precision"]
    assert card["cores"] in {cores // 2 or cores, cores - cores // 2}
    with Run(failed.parent).claim():  # another process trains the one that is left
        assert study.main(["tiny", "--logs", str(tmp_path)]) == Busy.status
    told = re.escape(f"1 of 2 runs are finished\n[1/1] tiny/{failed.parent.name}: {engines.ELSEWHERE}")
    assert re.search(told + r"  \([0-9.]+ minutes\)\n", capsys.readouterr().out)  # how many are left cannot be said


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.fault
def test_a_stopped_study_can_go_on(tmp_path, start, number):
    code = (
        "from nam import command, configs, study; from tests.test_study import tiny\n"
        "configs.studies = lambda: {'tiny': tiny(vary={'glimpses': [1]}, fixed={'epochs': 30})}\n"
        "command.run(study.main)"
    )
    words = [sys.executable, "-c", code, "tiny", "--logs", str(tmp_path)]
    process = start(words, stdout=subprocess.PIPE)
    folder = tmp_path / "tiny" / "glimpses=1_frozen_seed=0"
    while not (folder / "state.npz").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert (
        process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
        and "the same command goes on from there" in out
    )
    assert (folder / "state.npz").exists() and not (folder / "result.json").exists()
    with Run(folder).claim():  # nothing trains on
        pass
