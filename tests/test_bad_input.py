"""Whatever a file, a config or a command line holds: a result or one sentence, no traceback, and no long wait."""

import io
import json
import os
import re
import shutil
import tarfile
from datetime import timedelta
from importlib import resources

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from nam import (
    callbacks,
    command,
    configs,
    evaluate,
    events,
    export,
    models,
    plots,
    predict,
    report,
    scorecard,
    ship,
    study,
    train,
    transfer,
)
from nam.config import Config
from nam.configs import Study, load_config, named_configs
from nam.data import images, sources, svhn
from nam.errors import UserError
from nam.runs import MODEL, STATE, Run
from tests.data.test_svhn import write
from tests.small import SMALL, run

LONGEST = timedelta(seconds=10)  # of a case
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def cases(record_property, examples, **strategies):
    """Runs a function for as many cases as `examples`, and records how many that were."""

    def decorated(function):
        tried = []

        @settings(
            max_examples=examples, deadline=LONGEST, database=None, derandomize=True,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(**strategies)
        def each(**values):
            tried.append(1)
            function(**values)

        each()
        record_property("cases", len(tried))

    return decorated


def told(function, *args):
    """The result, or `None` after a mistake told in one sentence."""
    try:
        return function(*args)
    except UserError as error:
        sentence = str(error)
        assert sentence and "\n" not in sentence.strip() and "Traceback" not in sentence
        return None


@st.composite
def broken(draw, whole: bytes):
    """What is left of a file that was cut, or of which some bytes were changed."""
    if draw(st.booleans()):
        return whole[: draw(st.integers(0, len(whole)))]
    changed = bytearray(whole)
    places = st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255))
    for place, value in draw(st.lists(places, min_size=1, max_size=20)):
        changed[place] = value
    return bytes(changed)


def test_a_mistake_is_told_in_one_line():
    with pytest.raises(UserError, match=r"Received: model=a b$"):
        Config(model="a\nb")


def test_configs(record_property):
    names = st.sampled_from([*Config.model_fields, "self", "glimpse", "", "__class__"])
    sound = {name: st.sampled_from([value, *VALID.get(name, ())]) for name, value in Config()}

    @cases(record_property, 400, values=st.dictionaries(names, VALUES, max_size=4), start=st.fixed_dictionaries(sound))
    def _(values, start):
        config = told(lambda: Config(**{**start, **values}))
        if config is not None:
            resolved = told(config.resolved, config.dataset or "digits")
            assert Config.from_json(config.to_json()) == config
            assert resolved is None or Config.from_json(resolved.to_json()).resolved(resolved.dataset) == resolved


@pytest.mark.parametrize("dataset", ["digits", "svhn", "folder:x"])
@pytest.mark.parametrize("task", [None, "original", "translated", "cluttered", "belaid", "sequence"])
@pytest.mark.parametrize("curriculum", ["clutter", "canvas"])
def test_what_resolves_is_read_again(dataset, task, curriculum):
    resolved = told(lambda: Config(task=task, curriculum=curriculum).resolved(dataset))
    assert resolved is None or Config.from_json(resolved.to_json()).resolved(dataset) == resolved
    assert (resolved is not None) == ((dataset, task, curriculum) in TAKEN)


TAKEN = [(dataset, task, curriculum) for dataset in ("digits", "folder:x") for task, curriculum in [
    ("translated", "canvas"), ("cluttered", "canvas"), ("cluttered", "clutter")]]  # fmt: skip
TAKEN += [("digits", None, "canvas"), ("digits", None, "clutter")]
VALID = {
    "model": ("cnn", "fc", "edram"), "dataset": ("mnist", "digits", "svhn", "folder:x"), "canvas": (28, 60, 4096),
    "task": ("original", "cluttered", "belaid", "sequence"), "scales": (1, 16), "bandwidth": (1, 26), "samples": (1,),
    "scale_factors": ((1, 2, 4, 8), (3,)), "curriculum": ("clutter", "canvas"), "digit_size": (4, 100),
}  # fmt: skip


def test_json_of_configs(record_property, tmp_path):
    text, path = Config().to_json().encode(), tmp_path / "config.json"

    @cases(
        record_property, 300, found=broken(text) | st.binary(max_size=60) | VALUES.map(lambda v: json.dumps(v).encode())
    )
    def _(found):
        path.write_bytes(found)
        told(load_config, str(path))

    path.write_text("[" * 100_000)  # deeper than a parser can follow
    assert told(load_config, str(path)) is None


def test_studies(record_property):
    rows = st.lists(
        st.dictionaries(st.sampled_from(["label", "config", "glimpses", "x"]), VALUES, max_size=3), max_size=2
    )
    names = st.sampled_from([*named_configs(), "publishd"])

    @cases(record_property, 150, values=st.fixed_dictionaries(
        {"question": st.text(max_size=9)}, optional={"rows": rows, "seeds": VALUES, "policies": VALUES, "fixed": VALUES}
    ), name=names)  # fmt: skip
    def _(values, name):
        told(lambda: Study(**values).runs(1))
        told(load_config, name)


def test_studies_and_starting_points_of_a_changed_file(record_property, tmp_path, monkeypatch):
    path = tmp_path / "configs.json"
    whole = resources.files("nam").joinpath(path.name).read_bytes()
    monkeypatch.setattr(configs.resources, "files", lambda package: tmp_path)
    another = st.sampled_from(["configs", "studies"]).flatmap(lambda part: VALUES.map(lambda v: {part: {"a": v}}))

    @cases(record_property, 60, content=broken(whole) | another.map(lambda values: json.dumps(values).encode()))
    def _(content):
        path.write_bytes(content)
        configs._named.cache_clear()
        for name in told(named_configs) or ():
            told(load_config, name)
        for one in (told(configs.studies) or {}).values():
            told(lambda one=one: [*one.each()])

    configs._named.cache_clear()


def test_command_lines(record_property):
    flags = [f"--{name.replace('_', '-')}" for name in Config.model_fields]
    words = st.sampled_from([*flags, *VALID["dataset"], "None", "3", "-1", "0.5", "1e400", "", "-", "--", "=", "--x=y"])

    @cases(record_property, 150, argv=st.lists(words | st.text(max_size=8), max_size=5))
    def _(argv):
        if {"--help", "-h"} & {*argv}:
            return
        told(command.parse, argv, "nam", "Trains.")


@pytest.mark.parametrize("module", [evaluate, export, predict, report, ship, study])
def test_command_lines_of_other_commands(record_property, module):
    flags = [f"--{name.replace('_', '-')}" for name in module.Options.model_fields]
    words = st.sampled_from([*flags, *named_configs(), "None", "3", "-1", "0.5", "1e400", "", "-", "--", "=", "--x=y"])

    @cases(record_property, 60, argv=st.lists(words | st.text(max_size=8), max_size=5))
    def _(argv):
        if not {"--help", "-h"} & {*argv}:
            told(command.options, module.Options, argv, "nam", "Does something.")


def picture(mode, kind, size=(13, 9)):
    encoded = io.BytesIO()
    Image.fromarray(np.arange(13 * 9 * 3, dtype="uint8").reshape(9, 13, 3)).convert(mode).resize(size).save(
        encoded, kind
    )
    return encoded.getvalue()


@pytest.mark.parametrize(("mode", "kind"), [("RGB", "PNG"), ("RGBA", "PNG"), ("L", "JPEG")])
def test_image_files(record_property, tmp_path, mode, kind):
    path = tmp_path / "a.png"

    @cases(record_property, 200, content=broken(picture(mode, kind)) | st.binary(max_size=40))
    def _(content):
        path.write_bytes(content)
        found = told(images.decode, path, 1)
        assert found is None or (found.dtype == np.uint8 and found.ndim == 3)


def test_folders_of_images(record_property, tmp_path):
    content = st.binary(max_size=8) | st.just(picture("L", "PNG")) | broken(picture("L", "PNG"))
    names = st.sampled_from(["a.png", "b.jpg", "c.txt", "d.PNG", "e.jpeg"])
    classes = st.sampled_from(["x", "y", "5$_and_$6", os.fsdecode(b"caf\xe9")])
    trees = st.dictionaries(classes, st.dictionaries(names, content, max_size=4), max_size=3)

    @cases(record_property, 100, tree=trees)
    def _(tree):
        root = tmp_path / "root"
        shutil.rmtree(root, ignore_errors=True)
        for folder, files in tree.items():
            (root / folder).mkdir(parents=True)
            for name, found in files.items():
                (root / folder / name).write_bytes(found)
        config = told(lambda: Config(dataset=f"folder:{root}").resolved(f"folder:{root}"))
        source = told(sources.read, config, None)
        if source is not None:
            assert "\udce9" not in "".join(source.classes)
            told(lambda: source.train.images[np.arange(len(source.train.labels))])


def test_house_numbers(record_property, tmp_path):
    number = [(1, 5, 5, 10, 20)], [(2, 5, 5, 10, 20), (10, 20, 5, 10, 20)]
    folder = write(tmp_path / "train", number)
    whole = (folder / svhn.STRUCT).read_bytes()

    @cases(record_property, 300, content=broken(whole))
    def _(content):
        (folder / svhn.STRUCT).write_bytes(content)
        found = told(svhn.crops, folder)
        assert found is None or found.images.shape[1:] == (64, 64, 1)


def test_archives_of_house_numbers(record_property, tmp_path):
    folder, path = write(tmp_path / "train", [[(1, 5, 5, 10, 20)]]), tmp_path / "train.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "train")

    @cases(record_property, 100, content=broken(path.read_bytes()))
    def _(content):
        path.write_bytes(content)
        told(svhn.crops, path)


def test_prepared_arrays(record_property, tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "mnist.npz"
    arrays = {"x_train": rng.integers(0, 256, (20, 28, 28)).astype("uint8"), "y_train": np.arange(20) % 10,
              "x_test": np.zeros((5, 28, 28), "uint8"), "y_test": np.arange(5)}  # fmt: skip
    np.savez_compressed(path, **arrays)
    whole, config = path.read_bytes(), Config(dataset="mnist").resolved("mnist")
    changes = st.sampled_from([*arrays]).flatmap(lambda name: st.tuples(st.just(name), st.sampled_from([
        None, np.zeros(0), np.zeros((5, 28, 28), "uint8"), np.zeros((20, 1), int),
        -np.ones(20, int), np.full(20, 10), np.full(20, "a")
    ])))  # fmt: skip

    @cases(record_property, 200, content=broken(whole), change=st.none() | changes)
    def _(content, change):
        if change is None:
            path.write_bytes(content)
        else:
            found = {**arrays, change[0]: change[1]}
            np.savez(path, **{name: array for name, array in found.items() if array is not None})
        source = told(sources.read, config, str(tmp_path))
        assert source is None or (len(source.train.labels) == 18 and source.test.labels.ndim == 1)


@pytest.mark.slow
def test_prepared_datasets_of_tensorflow(record_property, mnist_dir, tmp_path):
    root = tmp_path / "tfds"
    shutil.copytree(f"{mnist_dir}/mnist", root / "mnist")
    files = sorted(path for path in root.rglob("*") if path.is_file())
    config = Config(dataset="mnist").resolved("mnist")

    @cases(record_property, 20, path=st.sampled_from(files), data=st.data())
    def _(path, data):
        whole = path.read_bytes()
        try:
            path.write_bytes(data.draw(broken(whole)))
            told(sources.read, config, str(root))
        finally:
            path.write_bytes(whole)


@pytest.mark.parametrize("name", ["config.json", "dataset.json", "result.json", "hardware.json"])
def test_run_folders(record_property, finished, tmp_path, name):
    folder = shutil.copytree(finished[0], tmp_path / "run")
    whole = (folder / name).read_bytes()

    @cases(record_property, 100, content=broken(whole) | VALUES.map(lambda value: json.dumps(value).encode()))
    def _(content):
        (folder / name).write_bytes(content)
        told(lambda: Run.open(folder).config())
        found = told(Run(folder).read, name)
        if found is not None and name == "result.json":
            assert train.summary(found)
        if found is not None and name == "dataset.json":
            assert all(isinstance(label, str) for label in found["classes"])
        told(ship.card, "model", [Run(folder)])


MOVED = {"task": "cluttered", "canvas": 60, "distractors": 4, "digit_size": None, "images": 9, "deterministic": 0.5}
READ = {"run": "a", "reading": "forward", "parameters": 9, "whole": 0.5, "digits": 0.6}


@pytest.mark.parametrize(("name", "found", "use"), [
    ("evaluation.json", {"split": "test", "windows": {"alone": [0.1, 0.2], "mean": [0.1, 0.3], "overlap": [0.2, 0.3]}},
     lambda found: "windows" not in found or plots.by_look(found["windows"])),
    ("transfer.json", {"test": [MOVED, {**MOVED, "canvas": None, "sampled": 0.4, "vote": 0.6, "votes": 10}]},
     lambda found: [transfer.table(rows) for rows in found.values()]),
    ("together.json", {"split": "test", "runs": [READ, READ], "together": {"whole": 0.7, "digits": 0.8}},
     scorecard.together),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_findings_in_run_folders(record_property, tmp_path, name, found, use):
    run = Run(tmp_path)
    run.write(name, found)
    whole = (tmp_path / name).read_bytes()
    assert use(run.read(name))

    @cases(record_property, 100, content=broken(whole) | VALUES.map(lambda value: json.dumps(value).encode()))
    def _(content):
        (tmp_path / name).write_bytes(content)
        found = told(run.read, name)
        if found is not None:
            use(found)


@pytest.mark.parametrize("group", ["train", "validation"])
def test_event_files(record_property, finished, tmp_path, group):
    folder = shutil.copytree(finished[0], tmp_path / "run")
    (path,) = (folder / group).glob("events*")
    whole = path.read_bytes()

    @cases(record_property, 40, content=broken(whole) | st.binary(max_size=40))
    def _(content):
        path.write_bytes(content)
        found = told(events.history, Run(folder))
        assert found is None or all(len(values) <= SMALL["epochs"] for values in found.values())


def test_states(record_property, tmp_path, monkeypatch):
    restored, models_there = callbacks.Resume.restore, []
    monkeypatch.setattr(callbacks.Resume, "restore", lambda self, model: models_there.append(model) or 0)
    monkeypatch.setattr(callbacks.Resume, "finish", lambda self: None)
    run(tmp_path, epochs=1)
    found = Run(tmp_path / "runs" / "run")
    path, resume = found.path / STATE, callbacks.Resume(found, "val_accuracy", any)
    whole = path.read_bytes()

    @cases(record_property, 60, content=broken(whole) | st.binary(max_size=40))
    def _(content):
        path.write_bytes(content)
        assert told(restored, resume, models_there[0]) in (None, 1)


def test_models(record_property, finished, tmp_path):
    whole, path = (finished[0] / MODEL).read_bytes(), tmp_path / "model.keras"

    @cases(record_property, 40, content=broken(whole) | st.binary(max_size=40))
    def _(content):
        path.write_bytes(content)
        found = told(models.load, path)
        assert found is None or isinstance(found, models.Classifier)


def test_names_of_images(record_property, tmp_path):
    @cases(record_property, 100, names=st.lists(st.text(max_size=9), min_size=1, max_size=3))
    def _(names):
        told(predict.find, [re.sub("/", "", name) for name in names])
