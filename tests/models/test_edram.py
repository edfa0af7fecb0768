import math
import warnings

import keras
import numpy as np
import pytest

from nam import losses
from nam.config import Config
from nam.configs import load_config
from nam.data import Spec
from nam.data.boxes import framing
from nam.data.sequences import TARGETS
from nam.errors import UserError
from nam.models import EDRAM, build, load
from nam.models.edram import _means, _shrunk
from tests.models.test_cost import operations
from tests.small import JIT

SMALL = dict(classes=3, glimpses=2, bandwidth=14, hidden=32)


@pytest.fixture
def data(rng):
    """Noise, much or little of it by the class, and where it is said to be: about in the middle."""
    labels = rng.integers(0, 3, 20)
    images = (rng.integers(0, 256, (20, 24, 24, 1)) // (1 + 3 * labels)[:, None, None, None]).astype("uint8")
    boxes = np.tile([6, 4, 12, 12], (20, 1))
    return images, {"labels": labels.astype("int32"), "thetas": framing(boxes, 24, 24)}


def compiled(jit=JIT, **values):
    keras.utils.set_random_seed(0)
    model = EDRAM(**{**SMALL, **values})
    model.build((None, 24, 24, 1))
    model.compile(keras.optimizers.Adam(3e-3), metrics=["accuracy"], jit_compile=jit)
    return model


def named(name, side, targets=1):
    """The model of a config of `configs.json`."""
    return build(load_config(name), Spec(side, side, 1, tuple("0123456789") + ("end",) * (targets > 1), targets))


def trainable(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def test_has_the_published_size():
    model = named("edram", 100)
    assert (model.glimpses, model.config["bandwidth"]) == (6, 26)
    assert model.count_params() == 10_766_368  # the paper says 11 million
    assert trainable(model) == 10_720_544  # and its code 10.7, without statistics
    small = named("edram-small", 100)
    assert small.cost(100, 100).multiply_adds == pytest.approx(0.1 * model.cost(100, 100).multiply_adds, rel=0.05)
    large = named("svhn", 54, TARGETS)
    assert trainable(large) == trainable(model) + 1025  # the class of the end; both windows end in 4 × 4 places


def test_tells_what_it_looked_through(data):
    for first in ("context", "identity"):
        model = compiled(first_transformation=first)
        outputs = {name: np.asarray(value) for name, value in model(data[0]).items()}
        assert {name: value.shape[1:] for name, value in outputs.items()} == {
            "logits": (3,), "look_logits": (2, 3), "thetas": (2, 6),
        }  # fmt: skip
        zoom = 1 if first == "identity" else np.tanh(1)  # of an emission network that knows nothing yet
        np.testing.assert_allclose(outputs["thetas"][:, 0], [[zoom, 0, 0, 0, zoom, 0]] * 20, rtol=1e-6)
        p = np.exp(outputs["look_logits"])
        p /= p.sum(-1, keepdims=True)
        np.testing.assert_allclose(np.exp(outputs["logits"]), p.mean(1), rtol=1e-4)


def test_the_looks_at_a_target_answer_together(data):
    outputs = {name: np.asarray(value) for name, value in compiled(glimpses=4, targets=2)(data[0]).items()}
    p = np.exp(outputs["look_logits"])
    p /= p.sum(-1, keepdims=True)
    of_targets = np.stack([p[:, :2].mean(1), p[:, 2:].mean(1)], axis=1)
    np.testing.assert_allclose(np.exp(outputs["logits"]), of_targets, rtol=1e-4)


def test_what_it_answers_does_not_depend_on_the_second_lstm(data):
    model = compiled(glimpses=3)  # whose emission network tells the same place whatever it reads
    before = np.asarray(model(data[0])["look_logits"])
    model.mover.set_weights([w + 1 for w in model.mover.get_weights()])
    np.testing.assert_array_equal(model(data[0])["look_logits"], before)
    model.emission_network.kernel.assign(np.full(model.emission_network.kernel.shape, 0.1))
    after = np.asarray(model(data[0])["look_logits"])  # where it looks does depend on it
    assert not np.allclose(after[:, 1:], before[:, 1:])
    model.reader.set_weights([w + 0.1 for w in model.reader.get_weights()])
    assert not np.allclose(np.asarray(model(data[0])["look_logits"])[:, 0], after[:, 0])


@pytest.mark.parametrize("gradient", ["flowing", "stopped"])
def test_only_a_flowing_gradient_lets_the_classification_move_the_windows(data, gradient):
    model = compiled(theta_gradient=gradient, where_weight=0.0)
    model.fit(*data, batch_size=20, epochs=2, verbose=0)
    bias = keras.ops.convert_to_numpy(model.emission_network.bias)
    assert np.array_equal(bias, [1, 0, 0, 0, 1, 0]) == (gradient == "stopped")


def test_windows_that_nothing_would_train_are_told(data):
    images, targets = data
    with pytest.raises(ValueError, match="theta_gradient='stopped' leaves the transformations"):
        compiled(theta_gradient="stopped").fit(images, targets["labels"], verbose=0)


def test_the_loss_by_hand():
    # Two looks that give the right of two classes 1/4 and 1/2; the second is off by 0.1 in θ₁ and 0.2 in θ₂.
    outputs = {"look_logits": np.log([[[1, 3], [2, 2]]]), "thetas": np.full((1, 2, 6), 0.5)}
    outputs["thetas"][0, 1, :2] = 0.6, 0.7
    target = np.full((1, 6), 0.5)
    parts = losses.what_and_where(np.array([0]), target, outputs, 2.0, 3.0, (1, 0.5, 1, 0.5, 1, 1))
    assert float(parts["classification"][0]) == pytest.approx(2 * (np.log(4) + np.log(2)) / 2, rel=1e-5)
    assert float(parts["localisation"][0]) == pytest.approx(3 * (0.01 + 0.5 * 0.04) / 2, rel=1e-5)
    assert float(losses.what_and_where(np.array([0]), None, outputs, 1, 1, (1,) * 6)["localisation"][0]) == 0


@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_fits_with_boxes_and_without_and_learns_where_they_are(data, jit):
    images, targets = data
    model = compiled(jit, what_weight=0.01)
    before = model.get_weights()
    history = model.fit(images, targets, batch_size=20, epochs=30, verbose=0).history
    assert {"loss", "classification", "localisation", "accuracy"} == set(history)
    assert np.isfinite([*history.values()]).all() and history["localisation"][-1] < 0.7 * history["localisation"][0]
    total = np.add(history["classification"], history["localisation"])
    np.testing.assert_allclose(history["loss"], total, rtol=1e-4)
    for variable, weight in zip(model.weights, before, strict=True):
        assert not np.array_equal(keras.ops.convert_to_numpy(variable), weight), variable.path
    if not jit:
        history = compiled().fit(images, targets["labels"], batch_size=8, verbose=0).history  # a short last batch
        assert history["localisation"] == [0]
        found = model.evaluate(images, targets["labels"], verbose=0, return_dict=True)
        assert set(found) == {"loss", "accuracy"}


@pytest.mark.parametrize("first", ["identity", "context"])
def test_one_look_trains_no_second_one(data, first):
    model = compiled(glimpses=1, first_transformation=first)
    before = model.mover.get_weights(), model.emission_network.get_weights()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Keras warns of weights without a gradient
        model.fit(*data, batch_size=20, epochs=2, verbose=0)
    for weights, then in zip(model.mover.get_weights(), before[0], strict=True):
        np.testing.assert_array_equal(weights, then)
    moved = [not np.array_equal(*pair) for pair in zip(model.emission_network.get_weights(), before[1], strict=True)]
    assert moved == [first == "context"] * 2


def test_save_and_load_keep_the_answers_on_any_canvas(data, tmp_path, rng):
    model = compiled(theta_weights=(1, 0, 1, 0, 1, 1))
    model.fit(*data, batch_size=20, verbose=0)
    model.compile()
    model.save(tmp_path / "model.keras")
    loaded = load(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    for images in (data[0], rng.random((2, 40, 30, 1), "float32")):
        np.testing.assert_allclose(loaded(images)["logits"], model(images)["logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_learns_in_float16(data):
    keras.config.set_dtype_policy("mixed_float16")
    model = compiled()
    history = model.fit(*data, batch_size=20, epochs=8, verbose=0).history
    assert {keras.backend.standardize_dtype(model(data[0])[name].dtype) for name in ("thetas", "logits")} == {"float32"}
    assert np.isfinite(history["loss"]).all() and history["loss"][-1] < history["loss"][0]


def test_the_multiply_adds_are_those_of_the_traced_computation(data):
    model = compiled(first_transformation="identity")
    counted = sum(count for _, count in operations(lambda images: model(images)["logits"], data[0][:4]))
    assert counted == pytest.approx(4 * model.cost(24, 24).multiply_adds, rel=0.02)


def test_the_coarse_view_holds_means(rng):
    images = rng.random((2, 24, 36, 1), "float32")
    expected = images.reshape(2, 12, 2, 12, 3, 1).mean((2, 4))
    np.testing.assert_allclose(_shrunk(images, 12), expected, rtol=1e-5)
    means = _means(100, 12)
    np.testing.assert_allclose(means.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(means.sum(0), 12 / 100, rtol=1e-5)


@pytest.mark.parametrize(
    "arguments", [dict(glimpses=0), dict(hidden=100), dict(bandwidth=8), dict(first_transformation="none"),
                  dict(theta_gradient="none"), dict(theta_weights=(1, 1))]
)  # fmt: skip
def test_refuses_values_out_of_their_limits(arguments):
    with pytest.raises(ValueError, match="Received"):
        EDRAM(**arguments)


def test_the_command_is_told_what_the_model_needs():
    with pytest.raises(UserError, match="edram reads windows of at least 14 pixels.*--config edram"):
        Config(model="edram")
    with pytest.raises(UserError, match="Received: bandwidth=26, hidden=100"):
        Config(model="edram", bandwidth=26, hidden=100)
    with pytest.raises(UserError, match="does not say where in its images.*--theta-gradient flowing"):
        load_config("edram-small").resolved("folder:images")
    for name in ("edram", "edram-small", "sequence", "svhn"):
        config = load_config(name)
        assert config.model == "edram" and config.resolved(config.dataset or "mnist").canvas in (54, 100)
