"""What every layer of nam promises, checked in one place."""

import inspect

import keras
import numpy as np


def check_layer(layer, *inputs, **call):
    """Config, round trip, symbolic call, float16: returns the layer's outputs on `inputs`."""
    keras.utils.set_random_seed(0)
    outputs = layer(*inputs, **call)
    arguments = set(inspect.signature(type(layer).__init__).parameters) - {"self", "kwargs"}
    config = layer.get_config()
    assert arguments <= set(config)

    # Two copies made alike draw alike: the weights and the seed are all there is.
    copies = [type(layer).from_config(config) for _ in range(2)]
    for copy in copies:
        copy(*inputs, **call)
        copy.set_weights(layer.get_weights())
    for a, b in zip(*(leaves(copy(*inputs, **call)) for copy in copies), strict=True):
        np.testing.assert_array_equal(a, b)

    symbolic = [keras.KerasTensor((None, *x.shape[1:]), dtype=keras.backend.standardize_dtype(x.dtype)) for x in inputs]
    for a, b in zip(leaves(layer(*symbolic, **call), False), leaves(outputs), strict=True):
        assert a.shape[0] is None and a.shape[1:] == b.shape[1:]

    half = type(layer).from_config({**config, "dtype": "mixed_float16"})
    assert all(np.isfinite(x).all() for x in leaves(half(*inputs, **call)))
    return outputs


def leaves(outputs, numpy=True):
    outputs = keras.tree.flatten(outputs)
    return [keras.ops.convert_to_numpy(x) for x in outputs] if numpy else outputs
