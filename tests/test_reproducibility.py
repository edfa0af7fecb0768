"""A run is what its config says: again the same, fed back the same, and in a later version still to be read."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nam import callbacks, evaluate, events, machine, models, train
from nam.config import FORMAT, Config
from nam.configs import load_config
from nam.errors import UserError
from nam.runs import MODEL, Run
from tests.small import SMALL, run

FIXTURES = Path(__file__).parent / "fixtures"


def curves(folder):
    return {tag: values for tag, values in events.history(Run(folder)).items() if "second" not in tag}


def test_a_config_fed_back_gives_the_same_run_to_the_last_digit(finished, tmp_path):
    folder, result = finished
    words = ["--config", str(folder / "config.json"), "--logs", str(tmp_path), "--name", "run", "--jit", "off"]
    assert train.main(words) == 0
    again = Run(tmp_path / "runs" / "run")
    for split in ("test", "validation"):
        assert again.read("result.json")[split] == result[split]
    assert curves(again.path) == curves(folder)
    for ours, theirs in zip(*(models.load(p / MODEL).get_weights() for p in (again.path, folder)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_another_seed_gives_other_first_weights_and_other_images(tmp_path, monkeypatch):
    begun = []

    def begins(self, logs=None):
        begun.append((self.model.core.get_weights()[0], self.train.batch(0).images, self.validation.batch(0).images))
        raise KeyboardInterrupt

    monkeypatch.setattr(callbacks.Epochs, "on_train_begin", begins)
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / name, seed=seed)
    for first, again, other in zip(*begun, strict=True):
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)


def test_other_versions_than_the_recorded_ones_are_named(tmp_path, finished, monkeypatch, capsys, uncompiled):
    card = machine.card()
    assert "changes" not in Run(finished[0]).read("hardware.json")
    with monkeypatch.context() as patch:
        patch.setattr(machine, "card", lambda: {**card, "keras": "3.14.0", "python": "3.10.0"})
        patch.setattr(callbacks.Resume, "finish", lambda self: (_ for _ in ()).throw(UserError("stop")))
        with pytest.raises(UserError, match="stop"):
            run(tmp_path, epochs=1)
    folder = tmp_path / "runs" / "run"
    (folder / "result.json").unlink()
    with pytest.raises(UserError, match="begun without --mixed-precision: go on so"):
        run(tmp_path, epochs=1, execution={"mixed_precision": True})
    run(tmp_path, epochs=1)
    told = capsys.readouterr().out
    assert f"other software: python 3.10.0, now {card['python']}; keras 3.14.0, now {card['keras']}" in told
    Run(folder).write("hardware.json", {**Run(folder).read("hardware.json"), "numpy": "1.0"})
    train.main(["--config", str(folder), "--logs", str(tmp_path), "--name", "run"])
    assert f"trained with other software: numpy 1.0, now {card['numpy']}" in capsys.readouterr().out
    evaluate.main([str(folder), "--seeds", "1"])
    told = capsys.readouterr().err
    assert f"trained with other software: numpy 1.0, now {card['numpy']}" in told
    assert f"trained with changing software: python 3.10.0, now {card['python']}" in told


@pytest.mark.parametrize("format", range(1, FORMAT + 1))
def test_a_run_of_each_format_is_read_by_every_part(tmp_path, capsys, uncompiled, format):
    folder = shutil.copytree(FIXTURES / f"run-of-format-{format}", tmp_path / "runs" / "run")
    opened, expected = Run.open(folder), json.loads((folder / "expected.json").read_text())
    assert opened.config().model_dump(mode="json").items() >= expected["config"].items()
    model = models.load(folder / MODEL)
    images = np.array(expected["images"], "uint8")
    logits = np.asarray(model(images)["logits"])
    np.testing.assert_allclose(logits, expected["logits"], rtol=1e-3, atol=1e-4)
    assert opened.read("result.json")["validation"]["deterministic"] == expected["deterministic"]
    assert events.history(opened)["val_accuracy"][-1] == pytest.approx(expected["deterministic"])
    evaluate.main([str(folder), "--seeds", "1"])
    assert "accuracy on" in capsys.readouterr().out
    assert train.main(["--config", str(folder), "--logs", str(tmp_path), "--name", "run"]) == 0
    assert "finished before" in capsys.readouterr().out


def test_files_say_their_format_and_a_newer_one_is_told(finished, tmp_path):
    for name in ("config.json", "result.json"):
        assert json.loads((finished[0] / name).read_text())["format"] == FORMAT
    newer = tmp_path / "config.json"
    newer.write_text(json.dumps({**json.loads(Config(**SMALL).to_json()), "format": FORMAT + 1}))
    with pytest.raises(
        UserError, match=f"has format {FORMAT + 1}, and this nam reads up to {FORMAT}: install a newer nam"
    ):
        load_config(str(newer))
    with pytest.raises(UserError, match="install a newer nam"):
        Run(tmp_path).config()
