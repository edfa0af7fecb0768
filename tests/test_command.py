import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nam import command
from nam.config import Config, Execution
from nam.errors import UserError

ROOT = Path(__file__).parents[1]


def parse(line):
    return command.parse(line.split(), "nam", "Trains.")


def test_flags_become_config_and_execution():
    config, execution = parse(
        "--glimpses 8 --scales 3 --scale-factors 1 2 3 --no-test --jit off --canvas 40 --clip-norm None"
    )
    assert config == Config(glimpses=8, scales=3, scale_factors=(1, 2, 3), canvas=40, clip_norm=None)
    assert execution == Execution(no_test=True, jit="off")


def test_no_flags_mean_the_defaults():
    assert parse("") == (Config(), Execution())


def test_other_flags_change_the_named_config():
    config, _ = parse("--epochs 5 --config published")
    assert (config.glimpses, config.epochs, config.task) == (5, 5, "belaid")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--glimpse 3", "unknown flag --glimpse. Did you mean '--glimpses'?"),
        ("--glimpses x", "glimpses should be a valid integer"),
        ("--glimpses 0", "glimpses should be greater than or equal to 1"),
        ("--glimpses", "--glimpses needs a value"),
        ("--glimpses 5 6", "--glimpses takes one value"),
        ("--no-test 3", "--no-test takes no value"),
        ("--scale-factors 1 b", "scale_factors should be a valid integer"),
        ("--scale-factors 1 2", "scale_factors must hold one factor per scale"),
        ("--task clutterd", "task should be"),
        ("--config publishd", "Did you mean 'published'"),
        ("eight", "unexpected word 'eight'"),
        ("--help=3", "--help takes no value"),
        ("--samples 1", "set samples to 2 or more"),
    ],
)
def test_a_mistake_is_one_sentence(line, sentence):
    with pytest.raises(UserError) as error:
        parse(line)
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_help_tells_every_field(capsys):
    with pytest.raises(SystemExit) as stop:
        parse("--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for name in {**Config.model_fields, **Execution.model_fields}:
        assert "--" + name.replace("_", "-") in text
    assert "each test digit ten times" in " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize(
    ("backend", "raised", "told"),
    [
        ("jax", UserError("this is wrong: do that."), "this is wrong: do that."),
        ("jax", ModuleNotFoundError(name="jax"), "jax is not installed: install it, or set KERAS_BACKEND=tensorflow."),
        (
            "tensorflow",
            ModuleNotFoundError(name="tensorflow"),
            "tensorflow is not installed: install it, or set KERAS_BACKEND=jax.",
        ),
        ("tensorflow", ModuleNotFoundError(name="PIL"), "PIL is not installed: install it."),
        ("torch", None, "KERAS_BACKEND must be tensorflow or jax. Received: KERAS_BACKEND=torch"),
    ],
)
def test_a_mistake_exits_with_status_2(capsys, monkeypatch, backend, raised, told):
    def main(argv):
        raise raised

    monkeypatch.setenv("KERAS_BACKEND", backend)
    with pytest.raises(SystemExit) as stop:
        command.run(main)
    assert stop.value.code == 2 and capsys.readouterr().err == f"error: {told}\n"


def test_keras_uses_tensorflow_unless_the_environment_says_otherwise(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    with pytest.raises(SystemExit):
        command.run(lambda argv: 0)
    assert os.environ["KERAS_BACKEND"] == "tensorflow"


def test_ctrl_c_is_no_mistake(capsys):
    def main(argv):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        command.run(main)
    assert stop.value.code == 130 and capsys.readouterr().err == ""


def test_too_little_memory_is_told(capsys):
    def main(argv):
        np.zeros(2**50)

    with pytest.raises(SystemExit) as stop:
        command.run(main)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: there is not enough memory: lower --batch-size")


def test_a_reader_that_has_seen_enough_is_no_mistake():
    code = "from nam import command; command.run(lambda argv: print('line\\n' * 100_000))"
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait(60) == 141
