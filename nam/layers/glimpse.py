"""The glimpse network: what was seen, and where, as one vector."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="nam")
class GlimpseNetwork(keras.layers.Layer):
    """Glimpse vector g = relu(W₁ relu(W₀ ρ) + L₁ relu(L₀ l)) (Mnih et al. 2014, section 3).

    Args:
        units: Size of the glimpse vector.
        hidden: Units of each of the two first layers.
        gains: Factor of each scale's patch before W₀, so that all reach it alike strong. `None`: as they are.
        kernel_initializer: Keras initializer of the four kernels.
        bias_initializer: Keras initializer of the bias that comes with L₁; the other biases start at 0.

    Call arguments:
        patches: What the sensor saw, `(batch, …)`, in [0, 1].
        locations: Where it looked, `(batch, 2)`, in [-1, 1].

    Returns:
        `(batch, units)`, not negative.
    """

    def __init__(
        self,
        units: int = 256,
        hidden: int = 128,
        gains: Sequence[float] | None = None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)  # half a pixel of a large image is lost in 16 bits
        self.units = units
        self.hidden = hidden
        self.gains = None if gains is None else [float(gain) for gain in gains]
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        # Serialised, because an initializer that layers share gives them all the same weights.
        serialize = keras.initializers.serialize
        shared = {"kernel_initializer": serialize(self.kernel_initializer), "dtype": self.dtype_policy}
        self.flatten = keras.layers.Flatten()
        self.what_hidden = keras.layers.Dense(hidden, activation="relu", **shared)
        self.what = keras.layers.Dense(units, **shared)
        self.where_hidden = keras.layers.Dense(hidden, activation="relu", **{**shared, "dtype": "float32"})
        self.where = keras.layers.Dense(units, bias_initializer=serialize(self.bias_initializer), **shared)

    def build(self, patches_shape, locations_shape):
        self.flatten.build(patches_shape)
        self.what_hidden.build(self.flatten.compute_output_shape(patches_shape))
        self.what.build((None, self.hidden))
        self.where_hidden.build(locations_shape)
        self.where.build((None, self.hidden))
        self.built = True

    def call(self, patches, locations):
        if self.gains is not None:
            channels = patches.shape[-1] // len(self.gains)
            patches = patches * ops.convert_to_tensor(np.repeat(self.gains, channels), patches.dtype)
        what = self.what(self.what_hidden(self.flatten(patches)))
        where = self.where(self.where_hidden(locations))
        return ops.relu(what + where)

    def compute_output_shape(self, patches_shape, locations_shape):
        return (patches_shape[0], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "hidden": self.hidden,
            "gains": self.gains,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
