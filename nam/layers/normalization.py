"""Batch normalisation whose statistics are those of a time step."""

import keras
from keras.layers import BatchNormalization


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
        self.momentum = momentum
        self.epsilon = epsilon
        self.steps = [
            BatchNormalization(
                momentum=momentum, epsilon=epsilon, center=False, scale=False, dtype=self.dtype_policy, name=f"step_{i}"
            )
            for i in range(steps)
        ]

    def build(self, inputs_shape):
        channels = inputs_shape[-1:]
        self.gamma = self.add_weight(channels, initializer="ones", name="gamma")
        self.beta = self.add_weight(channels, initializer="zeros", name="beta")
        for step in self.steps:
            step.build(inputs_shape)
        self.built = True

    def call(self, inputs, step: int = 0, training=False):
        return self.gamma * self.steps[step](inputs, training=training) + self.beta

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        return {
            **super().get_config(), "steps": len(self.steps), "momentum": self.momentum, "epsilon": self.epsilon
        }  # fmt: skip
