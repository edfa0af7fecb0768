import numpy as np
import pytest

from nam.layers import SpatialSelfAttention
from tests.layers.check import check_layer


@pytest.fixture
def features(rng):
    return rng.normal(size=(2, 3, 4, 8)).astype("float32")


def test_keeps_the_contract_and_the_weights_sum_to_one(features):
    outputs, weights = check_layer(SpatialSelfAttention(heads=2), features, return_attention=True)
    assert outputs.shape == features.shape and weights.shape == (2, 2, 12, 12)
    np.testing.assert_allclose(np.asarray(weights).sum(-1), 1, rtol=1e-5)
    check_layer(SpatialSelfAttention(heads=2), features)


def test_is_the_equation(features):
    layer = SpatialSelfAttention(heads=2)
    outputs, weights = (np.asarray(part) for part in layer(features, return_attention=True))
    parts = {"/".join(weight.path.split("/")[-2:]): np.asarray(weight) for weight in layer.attention.weights}
    tokens = features.reshape(2, 12, 8)

    def project(name):
        return np.einsum("btc,chd->bhtd", tokens, parts[f"{name}/kernel"]) + parts[f"{name}/bias"][:, None]

    scores = project("query") @ project("key").swapaxes(-1, -2) / 2  # √ of 4 channels a head
    expected = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-6)
    mixed = np.einsum("bhtd,hdc->btc", expected @ project("value"), parts["attention_output/kernel"])
    summed = tokens + mixed + parts["attention_output/bias"]
    centred = summed - summed.mean(-1, keepdims=True)
    normed = centred / np.sqrt(centred.var(-1, keepdims=True) + layer.norm.epsilon)
    np.testing.assert_allclose(outputs.reshape(2, 12, 8), normed, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(layer(features), outputs, rtol=1e-4, atol=1e-5)


def test_places_that_change_places_take_their_answers_along(features, rng):
    layer, order = SpatialSelfAttention(heads=4), rng.permutation(12)

    def permuted(x):
        return x.reshape(2, 12, 8)[:, order].reshape(x.shape)

    outputs, weights = (np.asarray(part) for part in layer(features, return_attention=True))
    moved, moved_weights = (np.asarray(part) for part in layer(permuted(features), return_attention=True))
    np.testing.assert_allclose(moved, permuted(outputs), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moved_weights, weights[:, :, order][..., order], rtol=1e-4, atol=1e-6)


def test_the_heads_divide_the_channels(features):
    with pytest.raises(ValueError, match="heads must divide the 8 channels. Received: heads=3"):
        SpatialSelfAttention(heads=3)(features)


def test_counts_its_multiply_adds():
    layer = SpatialSelfAttention(heads=2)
    layer.build((None, 3, 4, 8))
    kernels = sum(np.prod(weight.shape) for weight in layer.weights if weight.path.endswith("kernel"))
    pairs = 12 * 12 * 4 * 2  # each pair of places, 4 channels in each of 2 heads
    assert layer.multiply_adds((None, 3, 4, 8)) == 12 * kernels + 2 * pairs
