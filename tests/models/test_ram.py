import inspect

import keras
import numpy as np
import pytest

from nam.config import Config
from nam.models import RecurrentAttention
from tests.small import JIT

# So small that training reads a summed-area table, and evaluation windows.
SMALL = dict(
    classes=3, std=0.22, samples=4, first_location="random", glimpses=3, bandwidth=5, scales=2, hidden=16, seed=1
)
tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="uses TensorFlow's tape or train_step"
)


@pytest.fixture
def data(rng):
    return rng.integers(0, 256, (20, 16, 16, 1)).astype("uint8"), rng.integers(0, 3, 20)


def compiled(model_class=RecurrentAttention, optimizer="adam", **arguments):
    keras.utils.set_random_seed(0)
    model = model_class(**{**SMALL, **arguments.pop("model", {})})
    how = {"jit_compile": JIT, **arguments}
    model.compile(optimizer=keras.optimizers.get(optimizer), metrics=["accuracy"], **how)
    return model


def test_defaults_are_those_of_a_run():
    arguments = inspect.signature(RecurrentAttention).parameters
    shared = {name: value.default for name, value in arguments.items() if name in Config.model_fields}
    differ = {name for name, default in shared.items() if default != getattr(Config(), name)}
    assert len(shared) > 20 and differ == {"exploration", "seed"}  # fit does not anneal; unseeded as Keras's layers


def test_both_ways_of_reading_are_trained(data):
    sensor = RecurrentAttention(**SMALL).sensor
    assert sensor.prepare(data[0], 3 * 4).table and not sensor.prepare(data[0], 3).table


def test_call_returns_every_quantity_with_and_without_copies(data):
    model, images = RecurrentAttention(**SMALL), data[0]
    shapes = {
        "logits": (3,),
        "look_logits": (3, 3),
        "locations": (3, 2),
        "means": (3, 2),
        "log_probs": (3,),
        "baselines": (3,),
    }
    for copies, outputs in (
        ((), model(images)),
        ((4,), model(images, training=True)),
        ((7,), model(images, samples=7)),
    ):
        assert {name: tuple(x.shape) for name, x in outputs.items()} == {
            n: (20, *copies, *s) for n, s in shapes.items()
        }
        np.testing.assert_array_equal(outputs["logits"], outputs["look_logits"][..., -1, :])
        assert not np.asarray(outputs["log_probs"])[..., 0].any()


def test_the_deterministic_gaze_starts_at_the_centre_and_follows_the_means(data):
    model, images = RecurrentAttention(**SMALL), data[0]
    outputs = model(images)
    assert not np.asarray(outputs["locations"])[:, 0].any()
    np.testing.assert_array_equal(outputs["locations"], outputs["means"])
    np.testing.assert_array_equal(model(images)["logits"], outputs["logits"])
    assert not np.array_equal(model(images, samples=1)["logits"][:, 0], outputs["logits"])


def test_the_first_looks_of_a_longer_gaze_are_the_same(data):
    model, images = RecurrentAttention(**SMALL), data[0]
    for kwargs in ({}, {"samples": 2}):
        found = []
        for looks in (3, 6):
            for generator in model.seed_generators:
                generator.state.assign([7, 0])
            found.append(model(images, glimpses=looks, **kwargs))
        short, long = found
        assert long["look_logits"].shape[-2] == 6
        for name in ("look_logits", "locations", "log_probs", "baselines"):
            axis = -2 if name in ("look_logits", "locations") else -1
            first = np.take(np.asarray(long[name]), range(3), axis=axis)
            np.testing.assert_allclose(first, short[name], atol=1e-5)


def test_follows_a_given_gaze(data):
    model, images = RecurrentAttention(**SMALL), data[0]
    own = model(images, samples=1)
    again = model(images, locations=own["locations"][:, 0])
    np.testing.assert_allclose(again["look_logits"], own["look_logits"][:, 0], atol=1e-5)
    np.testing.assert_array_equal(again["locations"], own["locations"][:, 0])
    assert not np.asarray(again["log_probs"]).any()
    elsewhere = model(images, locations=np.zeros((len(images), 5, 2), "float32"))
    assert elsewhere["look_logits"].shape == (20, 5, 3) and not np.asarray(elsewhere["locations"]).any()


def test_the_first_look_can_start_at_the_centre_in_training(data):
    model = RecurrentAttention(**{**SMALL, "first_location": "center"})
    assert not np.asarray(model(data[0], training=True)["locations"])[:, :, 0].any()


def test_the_first_look_can_be_shared_by_the_copies_in_training(data):
    model = RecurrentAttention(**{**SMALL, "first_location": "shared"})
    first = np.asarray(model(data[0], training=True)["locations"])[:, :, 0]
    np.testing.assert_array_equal(first, np.repeat(first[:, :1], first.shape[1], axis=1))
    assert len(np.unique(first[:, 0], axis=0)) == len(first)
    voting = np.asarray(model(data[0], samples=4)["locations"])[:, :, 0]
    assert len(np.unique(voting.reshape(-1, 2), axis=0)) == 4 * len(first)


@tensorflow_only
def test_a_stopped_policy_gradient_reaches_the_location_network_only(data):
    import tensorflow as tf

    for gradient in ("flowing", "stopped"):
        model = RecurrentAttention(**SMALL, policy_gradient=gradient)
        with tf.GradientTape() as tape:
            log_probs = tf.reduce_sum(model(data[0], training=True)["log_probs"])
        found = dict(zip(
            (v.path for v in model.trainable_variables), tape.gradient(log_probs, model.trainable_variables),
            strict=True))  # fmt: skip
        reached = {path.split("/")[1] for path, value in found.items() if value is not None and np.any(value)}
        assert "location_network" in reached
        assert ("core" in reached and "glimpse_network" in reached) == (gradient == "flowing")


FEW = [{}, dict(advantage="learned", reward="correct", samples=1), dict(padding="noise")]
MORE = [dict(core="rnn"), dict(policy="frozen"), dict(policy="random"), dict(policy="center"), dict(glimpses=1),
        dict(exploration="learned", reward="log-likelihood"), dict(exploration="annealed", policy_gradient="stopped"),
        dict(glimpses=1, advantage="learned")]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "jit"),
    [(change, False) for change in FEW + MORE]
    + [(FEW[0], True)]
    + [pytest.param(change, True, marks=pytest.mark.slow) for change in FEW[1:] + MORE],
)
def test_fits_numpy_arrays_with_a_short_last_batch(data, change, jit):
    model = compiled(model=change, jit_compile=jit)
    history = model.fit(*data, batch_size=8, epochs=2, verbose=0).history
    assert {"loss", "classification", "reinforce", "baseline", "reward", "accuracy"} <= set(history)
    assert np.isfinite([*history.values()]).all()
    total = np.sum([history[part] for part in ("classification", "reinforce", "baseline")], axis=0)
    np.testing.assert_allclose(history["loss"], total, rtol=1e-4)
    assert all(layer.built for layer in model._flatten_layers())  # else JAX's `predict_on_batch` runs uncompiled


def test_a_metric_sees_each_copy_of_the_last_look(data):
    model = compiled(model=dict(samples=2))
    outputs = model(data[0], training=True)
    result = model.compute_metrics(None, data[1], outputs)
    right = np.argmax(np.asarray(outputs["logits"]), -1) == data[1][:, None]
    assert float(result["accuracy"]) == pytest.approx(right.mean())


def test_evaluate_and_predict_use_the_deterministic_gaze(data):
    model = compiled()
    found = model.evaluate(*data, verbose=0, return_dict=True)
    predicted = model.predict(data[0], verbose=0, batch_size=7)["logits"]
    np.testing.assert_allclose(predicted, model(data[0])["logits"], rtol=1e-4, atol=1e-5)
    assert found["accuracy"] == pytest.approx(np.mean(predicted.argmax(-1) == data[1]))
    log_p = predicted - np.log(np.exp(predicted).sum(-1, keepdims=True))
    assert found["loss"] == pytest.approx(-log_p[np.arange(20), data[1]].mean(), rel=1e-4)


def test_sample_and_class_weights_weigh_the_loss(data):
    images, labels = data
    whole = compiled().fit(images, labels, batch_size=20, verbose=0).history["loss"][0]
    none = compiled().fit(images, labels, batch_size=20, verbose=0, sample_weight=np.zeros(20)).history["loss"][0]
    double = (
        compiled()
        .fit(images, labels, batch_size=20, verbose=0, class_weight={0: 2.0, 1: 2.0, 2: 2.0})
        .history["loss"][0]
    )
    assert none == 0 and double == pytest.approx(2 * whole, rel=1e-5)


@tensorflow_only
def test_the_step_in_plain_sight_is_kerass_own_step(data):
    class Inherited(RecurrentAttention):
        train_step = keras.Model.train_step

    for change in ({}, dict(advantage="learned", reward="correct")):
        ours, inherited = (
            compiled(c, model=change).fit(*data, batch_size=8, epochs=3, verbose=0)
            for c in (RecurrentAttention, Inherited)
        )
        assert ours.history.keys() == inherited.history.keys()
        for name in ours.history:
            np.testing.assert_allclose(ours.history[name], inherited.history[name], rtol=1e-6, err_msg=name)


@tensorflow_only
def test_every_trainable_variable_gets_a_gradient(data):
    import tensorflow as tf

    for change in ({}, dict(core="rnn", advantage="learned")):
        model = RecurrentAttention(**{**SMALL, **change})
        model.build((None, 16, 16, 1))
        with tf.GradientTape() as tape:
            loss = model.compute_loss(y=data[1], y_pred=model(data[0], training=True))
        for variable, gradient in zip(
            model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
        ):
            assert gradient is not None and np.abs(gradient).max() > 0, variable.path


def test_learned_changes_the_location_network_and_frozen_leaves_it(data):
    for policy in ("learned", "frozen"):
        model = compiled(model=dict(policy=policy))
        model.build((None, 16, 16, 1))
        before = model.location_network.get_weights()
        model.fit(*data, batch_size=8, verbose=0)
        changed = [not np.array_equal(a, b) for a, b in zip(before, model.location_network.get_weights(), strict=True)]
        assert all(changed) if policy == "learned" else not any(changed)


def test_the_gradient_is_clipped_to_one_norm(data):
    free, clipped = (
        compiled(model=dict(samples=4), optimizer=keras.optimizers.SGD(1.0, global_clipnorm=norm))
        for norm in (None, 1e-3)
    )
    for model, limit in ((free, np.inf), (clipped, 1e-3)):
        model.build((None, 16, 16, 1))
        before = model.get_weights()
        model.train_on_batch(*data)
        step = np.sqrt(sum(np.sum((w - b) ** 2) for w, b in zip(model.get_weights(), before, strict=True)))
        assert step <= limit * 1.01 and (limit != np.inf or step > 1e-2)


def test_save_and_load_keep_the_answers(data, tmp_path):
    for change in ({}, dict(core="rnn", scale_factors=[1, 3], padding="noise", policy="random")):
        model = compiled(model={**change, "glimpses": 2})
        model.fit(*data, batch_size=8, verbose=0)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert loaded.get_config() == model.get_config()
        if not change:
            np.testing.assert_allclose(
                loaded.predict(data[0], verbose=0)["logits"], model.predict(data[0], verbose=0)["logits"], rtol=1e-5
            )


@tensorflow_only
@pytest.mark.parametrize("half", ["float16", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_learns_in_16_bits(data, half):
    images, labels = data
    images[labels == 0], images[labels == 1] = 0, 255
    keras.config.set_dtype_policy(f"mixed_{half}")
    model = compiled(optimizer=keras.optimizers.Adam(3e-3))
    history = model.fit(images, labels, batch_size=20, epochs=60, verbose=0).history
    assert model.core.compute_dtype == half and model.action_network.compute_dtype == "float32"
    assert model.faster_with_xla == (half == "float16" or bool(keras.distribution.list_devices("gpu")))
    assert history["classification"][-1] < 0.5 * history["classification"][0]


def test_learns_float_and_colour_images_of_any_shape(rng):
    images, labels = rng.random((24, 10, 30, 3), "float32"), np.arange(24) % 3
    images[labels == 0] *= 0.1
    model = compiled(optimizer=keras.optimizers.Adam(1e-2))
    history = model.fit(images, labels, batch_size=24, epochs=40, verbose=0).history
    assert history["classification"][-1] < 0.9 * history["classification"][0]


@pytest.mark.parametrize(
    "arguments",
    [dict(core="gru"), dict(reward="right"), dict(advantage="best"), dict(first_location="left"), dict(glimpses=0),
     dict(samples=0), dict(samples=1), dict(policy="learnt"), dict(std=0)],
)  # fmt: skip
def test_refuses_values_out_of_their_limits(arguments):
    with pytest.raises(ValueError, match="Received"):
        RecurrentAttention(**{**SMALL, **arguments})


@pytest.mark.parametrize("shape", [(24, 3), (24, 2), (24, 1, 1)])
def test_refuses_labels_that_are_not_one_number_each(rng, shape):
    model = compiled()
    with pytest.raises(ValueError, match="of one-hot ones take the argmax. Received"):
        model.fit(rng.random((24, 10, 10, 1), "float32"), np.zeros(shape), verbose=0)


def test_a_label_of_no_class_ends_training(rng):
    labels = np.full(24, 3)  # of 0, 1, 2
    assert np.isnan(compiled().fit(rng.random((24, 10, 10, 1), "float32"), labels, verbose=0).history["loss"][0])


def test_refuses_images_without_channels(rng):
    with pytest.raises(ValueError, match="images are .batch, height, width, channels"):
        RecurrentAttention(**SMALL)(rng.random((4, 10, 10), "float32"))


class Penalized(RecurrentAttention):
    def call(self, images, training=False, samples=None, glimpses=None, locations=None):
        self.add_loss(keras.ops.convert_to_tensor(7.0))
        return super().call(images, training, samples, glimpses, locations)


def test_what_a_subclass_adds_to_the_loss_counts(rng):
    data = rng.random((24, 10, 10, 1), "float32"), np.zeros(24)
    found = [compiled(kind).fit(*data, batch_size=24, verbose=0).history for kind in (Penalized, RecurrentAttention)]
    assert found[0]["loss"][0] == pytest.approx(found[1]["loss"][0] + 7, rel=1e-3)


def test_refuses_a_foreign_loss(data):
    model = RecurrentAttention(**SMALL)
    model.compile(loss="mse")
    with pytest.raises(ValueError, match="brings its own loss"):
        model.fit(*data, verbose=0)


@pytest.mark.parametrize("initializer", ["glorot", "small"])
def test_every_dense_layer_draws_weights_of_its_own(initializer):
    model = RecurrentAttention(**SMALL, initializer=initializer)
    model.build((None, 16, 16, 1))
    what, where = (np.asarray(layer.kernel) for layer in (model.glimpse_network.what, model.glimpse_network.where))
    assert not np.array_equal(what, where)
    if initializer == "small":
        assert abs(what.std() - 0.0088) < 0.0003  # a normal of 0.01, cut at two deviations


def test_the_first_look_does_not_foretell_the_policys_noise(rng):
    images = rng.integers(0, 256, (4000, 8, 8, 1)).astype("uint8")
    model = RecurrentAttention(**{**SMALL, "glimpses": 2, "std": 0.1, "policy": "frozen"})
    outputs = model(images, samples=1)
    locations, means = np.asarray(outputs["locations"])[:, 0], np.asarray(outputs["means"])[:, 0]
    noise = locations[:, 1] - means[:, 1]
    # The noise of each coordinate against every quantity that the same random numbers could have made.
    u = (locations[:, 0] + 1) / 2
    radius = np.sqrt(-2 * np.log(np.maximum(u[:, 0], 1e-7)))
    for guess in (*u.T, radius * np.cos(2 * np.pi * u[:, 1]), radius * np.sin(2 * np.pi * u[:, 1])):
        for axis in range(2):
            assert abs(np.corrcoef(guess, noise[:, axis])[0, 1]) < 0.08


def test_the_same_seed_gives_the_same_history_and_labels_may_come_as_a_column(data):
    images, labels = data
    flat, column = (
        compiled().fit(images, y, batch_size=8, epochs=2, verbose=0).history for y in (labels, labels[:, None])
    )
    assert flat == column


def test_several_looks_at_each_target(data):
    model = RecurrentAttention(**{**SMALL, "glimpses": 4, "targets": 2})
    outputs = model(data[0], samples=3)
    np.testing.assert_array_equal(outputs["logits"], np.asarray(outputs["look_logits"])[:, :, [1, 3]])
    model.compile(weighted_metrics=["accuracy"])
    labels = np.stack([data[1], np.where(np.arange(20) < 5, -1, data[1])], axis=1)  # a number without a second place
    right = np.argmax(outputs["logits"], -1) == labels[:, None]
    found = model.compute_metrics(None, labels, outputs)["accuracy"]
    assert float(found) == pytest.approx(right.sum() / (3 * (labels >= 0).sum()))


def test_the_parts_of_the_loss_are_not_reported_where_they_do_not_apply(data):
    model = compiled()
    history = model.fit(*data, validation_data=data, verbose=0).history
    assert "reward" in history and {"val_loss", "val_accuracy"} == {name for name in history if name.startswith("val")}


def test_refuses_whole_numbers_that_are_not_bytes(data):
    with pytest.raises(ValueError, match="images must be uint8, or float"):
        RecurrentAttention(**SMALL)(data[0].astype("int64"))
