import math

import keras
import numpy as np
import pytest

from nam.layers import LocationNetwork
from nam.layers.location import gaussian_log_prob
from tests.layers.check import check_layer


def test_log_density_by_hand():
    # One standard deviation off in x, none in y: -1/2 - 2 log(0.5) - log(2 pi).
    value = gaussian_log_prob(np.array([[0.5, 0.0]], "float32"), np.zeros((1, 2), "float32"), 0.5)
    assert abs(float(value[0]) - (-0.5 - 2 * math.log(0.5) - math.log(2 * math.pi))) < 1e-6


def test_log_density_is_of_the_draw_before_clipping(rng):
    layer = LocationNetwork(std=3.0, seed=1)
    locations, means, log_probs = layer(rng.normal(size=(500, 4)).astype("float32"))
    locations, log_probs = np.asarray(locations), np.asarray(log_probs)
    clipped = np.abs(locations).max(axis=1) == 1
    assert clipped.mean() > 0.5
    of_clipped = np.asarray(gaussian_log_prob(locations, np.asarray(means), 3.0))
    assert (log_probs[clipped] < of_clipped[clipped]).all()
    np.testing.assert_allclose(log_probs[~clipped], of_clipped[~clipped], rtol=1e-5)


def test_draws_have_the_given_spread(rng):
    hidden = np.zeros((20000, 4), "float32")
    locations, means, _ = LocationNetwork(std=0.22, seed=1)(hidden)
    assert abs(np.std(np.asarray(locations)) - 0.22) < 0.005
    np.testing.assert_array_equal(means, 0)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="reads gradients from TensorFlow's tape")
def test_the_score_is_the_draws_distance_over_the_variance(rng):
    import tensorflow as tf

    layer = LocationNetwork(std=0.1, seed=1)
    hidden = tf.constant(rng.normal(size=(6, 4)).astype("float32"))
    advantages = rng.normal(size=6).astype("float32")
    layer.build((None, 4))
    layer.mean.kernel.assign(rng.normal(size=(4, 2)) * 0.1)  # so that no draw is clipped: the output is the draw
    with tf.GradientTape() as tape:
        locations, means, log_probs = layer(hidden)
        loss = tf.reduce_sum(log_probs * advantages)
    # Through the tanh to the bias: the score times the advantage.
    score = (locations - means) / 0.1**2 * advantages[:, None]
    expected = tf.reduce_sum(score * (1 - means**2), axis=0)
    np.testing.assert_allclose(tape.gradient(loss, layer.mean.bias), expected, rtol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="reads gradients from TensorFlow's tape")
def test_the_policy_gradient_has_the_exact_expectation():
    """Reward 1 right of a line, else 0: E[R] = Φ((m − c) / std), whose gradient is a density known in closed form."""
    import tensorflow as tf

    std, line, bias, n = 0.5, 0.2, 0.1, 400_000
    layer = LocationNetwork(std=std, seed=3)
    layer.build((None, 1))
    layer.mean.bias.assign([bias, 0.0])
    with tf.GradientTape() as tape:
        locations, _, log_probs = layer(tf.zeros((n, 1)))
        rewards = tf.cast(locations[:, 0] > line, tf.float32)
        objective = tf.reduce_mean(log_probs * rewards)
    estimate = tape.gradient(objective, layer.mean.bias).numpy()
    mean = math.tanh(bias)
    density = math.exp(-0.5 * ((mean - line) / std) ** 2) / (std * math.sqrt(2 * math.pi))
    np.testing.assert_allclose(estimate, [density * (1 - mean**2), 0.0], atol=0.01)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="reads gradients from TensorFlow's tape")
def test_a_learned_deviation_gets_its_own_score(rng):
    import tensorflow as tf

    layer = LocationNetwork(std=0.1, exploration="learned", seed=1)
    with tf.GradientTape() as tape:
        locations, means, log_probs = layer(rng.normal(size=(6, 4)).astype("float32"))
        loss = tf.reduce_sum(log_probs)
    # ∂ log N / ∂ log σ = Σ ((x − μ)² / σ² − 1) over both coordinates.
    expected = np.sum(np.square((locations - means) / 0.1) - 1)
    np.testing.assert_allclose(tape.gradient(loss, layer.log_std), expected, rtol=1e-4)


def test_an_annealed_deviation_is_what_it_is_set_to():
    hidden = np.zeros((20000, 4), "float32")
    layer = LocationNetwork(std=0.3, exploration="annealed", seed=1)
    for std in (0.3, 0.1):
        if std != layer.std:
            layer.set_std(std)
        locations, _, log_probs = (np.asarray(x) for x in layer(hidden))
        assert abs(locations.std() - std) < 0.005
        assert abs(log_probs.mean() - (-1 - 2 * math.log(std) - math.log(2 * math.pi))) < 0.02
    assert len(layer.trainable_variables) == 2 and len(layer.weights) == 3


def test_policies(rng):
    hidden = rng.normal(size=(1000, 4)).astype("float32")
    for policy in ("frozen", "random", "center"):
        layer = LocationNetwork(std=0.2, policy=policy, seed=1)
        locations, means, log_probs = (np.asarray(x) for x in layer(hidden))
        assert not layer.trainable_variables and not log_probs.any()
        if policy == "random":
            assert abs(locations.std() - 1 / math.sqrt(3)) < 0.02
        if policy == "center":
            assert not locations.any()
        deterministic = np.asarray(layer(hidden, sample=False)[0])
        np.testing.assert_array_equal(deterministic, means if policy == "frozen" else 0)


def test_keeps_the_layer_contract(rng):
    hidden = rng.normal(size=(3, 4)).astype("float32")
    for policy in ("learned", "frozen", "random", "center"):
        check_layer(LocationNetwork(0.2, policy, seed=1), hidden)
    for exploration in ("annealed", "learned"):
        check_layer(LocationNetwork(0.2, exploration=exploration, seed=1), hidden)


@pytest.mark.parametrize("arguments", [dict(std=0.0), dict(std=-1.0), dict(std=0.1, policy="learnt"),
                                       dict(std=0.1, exploration="free")])  # fmt: skip
def test_refuses_values_out_of_their_limits(arguments):
    with pytest.raises(ValueError, match="Received"):
        LocationNetwork(**arguments)
