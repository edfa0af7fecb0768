"""What every model promises that reads whole images."""

import keras
import numpy as np
import pytest

from nam import train
from nam.config import OWNERS, Config, Execution
from nam.data import Spec
from nam.errors import UserError
from nam.models import MODELS, Classifier, SelfAttention, build, load
from nam.models.classifier import WholeImage
from tests.models.test_cost import operations
from tests.small import JIT

WHOLE = [name for name, model in MODELS.items() if issubclass(model, WholeImage)]
SIDE = 16
PARAMETERS = {"cnn": 21_840, "simple-cnn": 1_828_522, "keras-cnn": 1_199_882, "self-attention": 469_674, "fc": 269_322}


@pytest.fixture(params=WHOLE)
def name(request):
    return request.param


@pytest.fixture
def data(rng):
    """Noise, much or little of it by the class."""
    labels = rng.integers(0, 3, 20)
    return (rng.integers(0, 256, (20, SIDE, SIDE, 1)) // (1 + 3 * labels)[:, None, None, None]).astype("uint8"), labels


def make(name, shape=(SIDE, SIDE, 1), classes=3, **fields) -> Classifier:
    keras.utils.set_random_seed(0)
    config = Config(model=name, **fields).resolved("folder:none")
    return build(config, Spec(*shape, tuple(map(str, range(classes)))))


def compiled(name, optimizer="adam", jit=JIT):
    model = make(name)
    model.compile(optimizer=keras.optimizers.get(optimizer), metrics=["accuracy"], jit_compile=jit)
    return model


def test_has_the_published_parameters_on_any_canvas(name):
    model = make(name, (28, 28, 1), 10)
    assert model.count_params() == PARAMETERS[name]
    assert model.flattens == any(isinstance(layer, keras.layers.Flatten) for layer in model.network.layers)
    cost = model.cost(28, 28)
    assert (cost.parameters, cost.pixels_read, cost.pixels) == (PARAMETERS[name], 784, 784)
    outputs = make(name, (40, 30, 3), 7)(np.zeros((2, 40, 30, 3), "uint8"))
    assert outputs["logits"].shape == (2, 7)


def test_the_dense_layers_have_as_many_units_as_asked():
    assert make("fc", (28, 28, 1), 10, hidden=64).count_params() == 784 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10


def test_the_multiply_adds_are_those_of_the_traced_computation(name, data):
    model = make(name)
    counted = sum(count for _, count in operations(lambda images: model(images)["logits"], data[0][:4]))
    assert counted == 4 * model.cost(SIDE, SIDE).multiply_adds


def test_xla_and_no_xla_train_alike(name, data, monkeypatch):
    # XLA would draw otherwise.
    monkeypatch.setattr(keras.layers.Dropout, "call", lambda self, inputs, training=False: inputs)
    losses = [
        compiled(name, jit=jit).fit(*data, batch_size=20, epochs=3, shuffle=False, verbose=0).history["loss"]
        for jit in (False, True)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-3)


def test_fits_numpy_arrays_with_a_short_last_batch_in_every_weight_and_again_alike(name, data):
    model = compiled(name)
    before = model.get_weights()
    history = model.fit(*data, batch_size=8, epochs=2, verbose=0).history
    assert {"loss", "accuracy"} == set(history) and np.isfinite([*history.values()]).all()
    for variable, weight in zip(model.weights, before, strict=True):
        # A bias of the keys adds the same to all scores of a query, which the softmax takes away.
        if variable.trainable and not variable.path.endswith("key/bias"):
            assert not np.array_equal(keras.ops.convert_to_numpy(variable), weight), variable.path
    assert compiled(name).fit(*data, batch_size=8, epochs=2, verbose=0).history == history  # by the same seed
    found = model.evaluate(*data, verbose=0, return_dict=True)
    logits = model.predict(data[0], batch_size=7, verbose=0)["logits"]
    assert found["accuracy"] == pytest.approx(np.mean(logits.argmax(-1) == data[1]))
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    assert found["loss"] == pytest.approx(-log_p[np.arange(20), data[1]].mean(), rel=1e-3)


def test_save_and_load_keep_the_answers(name, data, tmp_path):
    model = make(name)
    model.save(tmp_path / "model.keras")
    loaded = load(tmp_path / "model.keras")
    assert type(loaded) is type(model) and loaded.get_config() == model.get_config()
    assert loaded.images_shape == (SIDE, SIDE, 1)
    np.testing.assert_allclose(loaded(data[0])["logits"], model(data[0])["logits"], rtol=1e-5)


def test_learns_in_float16(name, data):
    if name == "self-attention" and JIT:
        pytest.skip("JAX has no float16 attention on a processor")
    keras.config.set_dtype_policy("mixed_float16")
    model = compiled(name)
    history = model.fit(*data, batch_size=20, epochs=15, verbose=0).history
    dtypes = {layer.compute_dtype for layer in model.network.layers}
    assert dtypes == {"float16", "float32"} and model.network.layers[-1].compute_dtype == "float32"
    assert history["loss"][-1] < 0.9 * history["loss"][0]


def test_floats_and_bytes_are_the_same_image_and_other_numbers_are_refused(name, data):
    model = make(name)
    floats = data[0].astype("float32") / 255
    np.testing.assert_allclose(model(floats)["logits"], model(data[0])["logits"], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="images must be uint8, or float"):
        model(data[0].astype("int64"))


def test_refuses_a_foreign_loss(data):
    model = make("fc")
    model.compile(loss="mse")
    with pytest.raises(ValueError, match="brings its own loss"):
        model.fit(*data, verbose=0)


def test_attention_is_told_when_asked_for(data):
    model = make("self-attention", heads=2)
    assert isinstance(model, SelfAttention) and model.map_shape == (3, 3)
    outputs = model(data[0], return_attention=True)
    assert outputs["attention"].shape == (20, 2, 9, 9)
    np.testing.assert_allclose(np.asarray(outputs["attention"]).sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(outputs["logits"], model(data[0])["logits"], rtol=1e-4, atol=1e-5)


def test_images_that_are_too_small_are_told():
    with pytest.raises(UserError, match="model cnn needs larger images: set --canvas to 28 or more"):
        make("cnn", (9, 9, 1))


def test_a_field_of_another_model_is_refused(name):
    for field, value in (("glimpses", 8), ("policy", "frozen"), ("heads", 8), ("hidden", 64)):
        if name not in OWNERS[field]:
            with pytest.raises(UserError, match=f"{field} belongs to model .* Received: model={name}, {field}={value}"):
                Config(model=name, **{field: value})


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "hidden"), [*((name, 256) for name in WHOLE), ("fc", 64)])
def test_learns_mnist_in_two_epochs(name, hidden, mnist_dir, tmp_path):
    config = Config(model=name, dataset="mnist", task="original", epochs=2, hidden=hidden)
    result = train.train(config, Execution(logs=str(tmp_path), data_dir=mnist_dir))
    assert result["test"]["deterministic"] > (0.94 if hidden == 64 else 0.96)
