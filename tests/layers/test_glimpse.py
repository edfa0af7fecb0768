import numpy as np
import pytest

from nam.layers import GlimpseNetwork
from tests.layers.check import check_layer


@pytest.mark.parametrize("gains", [None, [4.0, 8.0]])
def test_is_the_equation(rng, gains):
    patches, locations = rng.random((3, 4, 4, 2), "float32"), rng.uniform(-1, 1, (3, 2)).astype("float32")
    layer = GlimpseNetwork(units=8, hidden=5, gains=gains)
    outputs = np.asarray(check_layer(layer, patches, locations))
    if gains:
        patches = patches * np.array(gains, "float32")
    what, where = (
        np.maximum(x @ np.asarray(first.kernel) + np.asarray(first.bias), 0) @ np.asarray(second.kernel)
        + np.asarray(second.bias)
        for x, first, second in (
            (patches.reshape(3, -1), layer.what_hidden, layer.what),
            (locations, layer.where_hidden, layer.where),
        )
    )
    np.testing.assert_allclose(outputs, np.maximum(what + where, 0), rtol=1e-5, atol=1e-6)
