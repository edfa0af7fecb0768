"""Batch normalisation whose statistics are those of a time step."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="nam")
class StepNormalization(keras.layers.Layer):
    """Batch normalisation of a recurrent network: one scale and shift, statistics of each step (Cooijmans et al. 2017).

    Args:
        steps: Number of steps.
        momentum: Of the moving averages that inference uses.
        epsilon: Added to the variance.

    Call arguments:
        inputs: `(batch, …, channels)`.
        step: Which step they belong to, a Python integer from 0.
        training: Normalise by this batch and learn its statistics (`True`), or by those learnt for this step.

    Returns:
        As `inputs`.
    """

    def __init__(self, steps: int, momentum: float = 0.95, epsilon: float = 1e-4, **kwargs):
        super().__init__(**kwargs)
        self.steps = steps
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, inputs_shape):
        whole = {"shape": inputs_shape[-1:], "autocast": False}  # float32, whatever the type to compute in
        self.gamma = self.add_weight(**whole, initializer="ones", name="gamma")
        self.beta = self.add_weight(**whole, initializer="zeros", name="beta")
        # A variable for each step: a part of one could not be assigned to on every backend.
        self.moving = [
            [
                self.add_weight(**whole, initializer=initializer, trainable=False, name=f"moving_{name}_{step}")
                for name, initializer in (("mean", "zeros"), ("variance", "ones"))
            ]
            for step in range(self.steps)
        ]
        self.built = True

    def call(self, inputs, step: int = 0, training=False):
        inputs = ops.cast(inputs, "float32")  # squares overflow in float16
        mean, variance = self.moving[step]
        if training:
            found = ops.moments(inputs, axes=tuple(range(len(inputs.shape) - 1)))
            for moving, now in zip(self.moving[step], found, strict=True):
                moving.assign(self.momentum * moving + (1 - self.momentum) * now)
            mean, variance = found
        normal = ops.batch_normalization(inputs, mean, variance, -1, self.beta, self.gamma, self.epsilon)
        return ops.cast(normal, self.compute_dtype)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        own = {"steps": self.steps, "momentum": self.momentum, "epsilon": self.epsilon}
        return {**super().get_config(), **own}
