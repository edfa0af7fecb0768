import keras
import numpy as np

from nam.layers import StepNormalization
from tests.layers.check import check_layer


def test_keeps_the_contract(rng):
    check_layer(StepNormalization(3), rng.normal(size=(4, 5, 2)).astype("float32"), step=1)


def test_each_step_has_statistics_of_its_own_and_all_share_scale_and_shift(rng):
    layer = StepNormalization(2, momentum=0.5, epsilon=1e-6)
    first, second = (rng.normal(mean, std, (400, 3)).astype("float32") for mean, std in ((5, 2), (-3, 0.5)))
    for _ in range(20):
        for step, inputs in enumerate((first, second)):
            normal = np.asarray(layer(inputs, step=step, training=True))
            np.testing.assert_allclose(normal.mean(0), 0, atol=1e-4)
            np.testing.assert_allclose(normal.std(0), 1, atol=1e-3)
    np.testing.assert_allclose(np.asarray(layer(first, step=0)).std(0), 1, atol=0.01)
    assert np.asarray(layer(first, step=1)).mean() > 10  # by the other step's statistics
    layer.gamma.assign([2.0, 2.0, 2.0])
    layer.beta.assign([1.0, 1.0, 1.0])
    for step, inputs in enumerate((first, second)):
        np.testing.assert_allclose(np.asarray(layer(inputs, step=step)).mean(0), 1, atol=0.02)
    assert len(layer.trainable_weights) == 2 and len(layer.non_trainable_weights) == 4


def test_statistics_are_float32_where_float16_is_computed_with(rng):
    layer = StepNormalization(1, momentum=0.0, dtype="mixed_float16")
    inputs = rng.normal(0, 300, (400, 2)).astype("float16")  # whose squares float16 cannot hold
    normal = layer(inputs, training=True)
    assert (
        keras.backend.standardize_dtype(normal.dtype) == "float16"
        and abs(np.asarray(normal, "float32").std() - 1) < 0.01
    )
    assert np.asarray(layer(inputs), "float32").std() < 1.1
