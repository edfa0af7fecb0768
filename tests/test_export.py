import importlib.util

import keras
import numpy as np
import pytest

from nam import export, models
from nam.config import Config
from nam.data import Spec
from nam.errors import UserError

tensorflow_only = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow writes the formats")


def model_of(**values):
    return models.build(Config(glimpses=3, scales=2, bandwidth=6, hidden=8, seed=1, **values), Spec(40, 50, 1, "abc"))


def run_saved_model(path, images):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return {name: value.numpy() for name, value in loaded.serve(images).items()}


def run_onnx(path, images):
    session = pytest.importorskip("onnxruntime").InferenceSession(str(path))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": images}), strict=True))


def run_litert(path, images):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(path))
    return interpreter.get_signature_runner()(images=images)


RUNTIMES = {"saved_model": run_saved_model, "onnx": run_onnx, "litert": run_litert}


@tensorflow_only
@pytest.mark.parametrize("bandwidth", [2, 24])  # windows are gathered, and a table is summed
@pytest.mark.parametrize("format", RUNTIMES)
def test_an_exported_model_answers_as_keras_does(tmp_path, rng, format, bandwidth):
    model = models.build(
        Config(glimpses=3, scales=2, bandwidth=bandwidth, hidden=16, seed=1), Spec(40, 50, 1, tuple("abc"))
    )
    model.set_weights([w + rng.normal(0, 0.1, w.shape) for w in model.get_weights()])
    assert model.sensor.prepare(np.zeros((1, 40, 50, 1), "uint8"), 3).table == (bandwidth == 24)
    path = tmp_path / export.FORMATS[format].file
    export.export(model, path, format)
    for n in (1, 5):
        images = rng.integers(0, 256, (n, 40, 50, 1)).astype("uint8")
        found, outputs = RUNTIMES[format](path, images), model(images)
        np.testing.assert_allclose(found["probabilities"], keras.ops.softmax(outputs["logits"]), atol=1e-4)
        np.testing.assert_allclose(found["locations"], outputs["locations"], atol=1e-4)
    assert np.ptp(found["locations"][:, -1], axis=0).max() > 1e-3  # each image has its own gaze


@tensorflow_only
def test_the_command_writes_beside_the_model(tmp_path, capsys):
    model_of().save(tmp_path / "small.keras")
    export.main([str(tmp_path / "small.keras"), "--format", "litert"])
    assert (tmp_path / "model.tflite").stat().st_size > 1000
    assert "images (batch, 40, 50, 1) uint8" in capsys.readouterr().out
    with pytest.raises(UserError, match="ends in .tflite"):
        export.main([str(tmp_path / "small.keras"), "--format", "litert", "--output", str(tmp_path / "model.bin")])
    with pytest.raises(UserError, match="there is no folder"):
        export.main([str(tmp_path / "small.keras"), "--format", "litert", "--output", "/nowhere/model.tflite"])
    with pytest.raises(UserError, match="is a file, and a saved_model is a folder"):
        export.main([str(tmp_path / "small.keras"), "--output", str(tmp_path / "model.tflite")])
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(UserError, match="cannot write .*model.onnx"):
        export.main([str(tmp_path / "small.keras"), "--format", "onnx"])


@tensorflow_only
def test_what_cannot_be_exported_is_told(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="sees noise beyond the image"):
        export.export(model_of(padding="noise"), tmp_path / "m", "saved_model")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else find(name))
    with pytest.raises(UserError, match=r'onnx needs tf2onnx: pip install -e "\.\[export\]"'):
        export.export(model_of(), tmp_path / "m.onnx", "onnx")


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="about other backends")
def test_other_backends_are_told(tmp_path):
    with pytest.raises(UserError, match="set KERAS_BACKEND=tensorflow"):
        export.export(model_of(), tmp_path / "m", "saved_model")
