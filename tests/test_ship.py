import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nam import command, export, models, predict, ship, weights
from nam.config import Config
from nam.configs import load_config, named_configs
from nam.errors import UserError
from nam.runs import MODEL, Run


@pytest.fixture(scope="module")
def two(finished, tmp_path_factory):
    """Finished runs of two seeds, the second made of the first."""
    first, second = Run(finished[0]), Run(tmp_path_factory.mktemp("second") / "run")
    shutil.copytree(first.path, second.path)
    (second.path / MODEL).unlink()
    models.load(first.path / MODEL).save(second.path / MODEL)
    second.write("config.json", {**second.read("config.json"), "seed": 1})
    result = second.read("result.json")
    result["validation"] = {**result["validation"], "deterministic": 0.99}
    result["test"] = {kind: share if kind == "votes" else share / 2 for kind, share in result["test"].items()}
    second.write("result.json", result)
    return [first, second]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "weights")
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def test_the_best_of_two_seeds_is_shipped_with_its_card_and_found_by_its_name(two, folder, tmp_path, capsys):
    ship.main(["small-digits", *(str(one.path) for one in two)])
    results = [one.read("result.json") for one in two]
    shipped = folder / "small-digits.keras"
    assert shipped.read_bytes() == (two[1].path / MODEL).read_bytes()
    assert weights.names() == ["small-digits"] and weights.find("small-digits") == shipped
    assert not models.load(shipped).compiled
    card = (folder / "small-digits.md").read_text()
    tested = [result["test"]["sampled"] for result in results]
    assert "seed 1, the best on validation" in card and "task `translated` on 30×30 pixels" in card
    for share in (*tested, np.mean(tested)):
        assert f"{share:.2%}" in card
    assert f"± {100 * np.std(tested, ddof=1):.2f}" in card and "{" not in card
    assert re.search(r"\nmodel ram, .*, hidden 16, samples 2, .*, learning_rate 0\.0005, .*\.\n", card)
    # What the card says was trained is what was trained.
    words = re.search(r"`python -m nam.train (.*)`", card)[1].split()
    assert command.parse(words, "", "")[0].resolved("digits") == two[1].config()
    Image.fromarray(np.zeros((30, 30), "uint8")).save(tmp_path / "black.png")
    capsys.readouterr()
    assert predict.main(["small-digits", str(tmp_path / "black.png")]) == 0
    by_name = capsys.readouterr().out
    assert predict.main([str(shipped), str(tmp_path / "black.png")]) == 0
    assert capsys.readouterr().out == by_name


def test_a_shipped_model_is_exported_to_where_its_user_is(two, folder, monkeypatch):
    ship.main(["small-digits", str(two[0].path)])
    written = []
    monkeypatch.setattr(export, "check", lambda format: None)  # it is the place that matters, on any backend
    monkeypatch.setattr(export, "export", lambda model, path, format: written.append(path))
    export.main(["small-digits"])
    export.main([str(two[0].path)])
    assert written == [Path("saved_model"), two[0].path / "saved_model"]


def test_a_model_that_is_not_what_was_shipped_is_not_loaded(two, folder):
    ship.main(["small-digits", str(two[0].path)])
    shipped = folder / "small-digits.keras"
    whole = shipped.read_bytes()
    for changed in (whole[:-1], bytes([whole[0] ^ 1]) + whole[1:], b""):
        shipped.write_bytes(changed)
        with pytest.raises(UserError, match="install nam anew"):
            predict.open_model("small-digits")
    shipped.unlink()
    with pytest.raises(UserError, match="install nam anew"):
        predict.open_model("small-digits")


def test_what_cannot_be_shipped_is_told(two, folder, tmp_path):
    untested, other = tmp_path / "untested", tmp_path / "other"
    for copy in (untested, other):
        shutil.copytree(two[0].path, copy)
    Run(untested).write("result.json", {**two[0].read("result.json"), "test": None})
    Run(other).write("config.json", {**two[0].read("config.json"), "hidden": 17})
    for words, told in [
        (["a", str(untested)], "was not tested"),
        (["a", str(two[0].path), str(other)], "differ in more than their seeds"),
        (["a", str(two[0].path), str(two[0].path)], "two runs have the same seed"),
        (["a", str(tmp_path)], "is not a run's folder"),
        (["../a", str(two[0].path)], "a model's name is"),
    ]:
        with pytest.raises(UserError, match=told):
            ship.main(words)
    large = tmp_path / "large.keras"
    with large.open("wb") as file:
        file.truncate(weights.LARGEST + 1)
    with pytest.raises(UserError, match=r"has 5\.0 MB"):
        weights.add("a", large, "")
    assert not [*folder.iterdir()]


def test_what_nam_ships_is_whole():
    shipped = {path.stem for path in weights.FOLDER.glob("*.keras")}
    if not shipped:
        pytest.skip("no model is shipped yet")
    assert shipped == {*weights.names()} == {path.stem for path in weights.FOLDER.glob("*.md")}
    for name in shipped:
        model = models.load(weights.find(name))
        assert not model.compiled and weights.find(name).stat().st_size <= weights.LARGEST


def test_a_wheel_holds_what_nam_reads(tmp_path):
    root, tree = Path(__file__).parents[1], tmp_path / "tree"
    shutil.copytree(root / "nam", tree / "nam", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(root / name, tree)
    words = "wheel --no-deps --no-build-isolation --no-index --wheel-dir"
    made = subprocess.run([sys.executable, "-m", "pip", *words.split(), tmp_path, tree], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    (wheel,) = tmp_path.glob("*.whl")
    files = {path.relative_to(tree).as_posix() for path in (tree / "nam").rglob("*") if path.is_file()}
    assert "nam/configs.json" in files and files <= {*zipfile.ZipFile(wheel).namelist()}


@pytest.mark.parametrize("name", [None, *named_configs()])
def test_flags_make_the_config_that_they_stand_for(name):
    start = load_config(name) if name else Config(task="cluttered", canvas=100, glimpses=8, patience=3)
    config = start.resolved(start.dataset or "mnist")
    assert command.parse(command.flags(config), "", "")[0].resolved(config.dataset) == config


def test_flags_leave_out_what_goes_without_saying():
    config = Config(dataset="mnist", task="cluttered", canvas=60, glimpses=8, clip_norm=None).resolved("mnist")
    words = "--dataset mnist --task cluttered --glimpses 8 --clip-norm None"
    assert command.flags(config) == words.split()
