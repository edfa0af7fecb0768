"""The location network: a Gaussian policy over where to look next."""

import math

import keras
from keras import ops

from nam.config import check_choices


def gaussian_log_prob(location, mean, std):
    """log N(location; mean, std²) summed over the last axis, in nats."""
    squares = ops.sum(ops.square((location - mean) / std), axis=-1)
    return -0.5 * squares - location.shape[-1] * (ops.log(std) + 0.5 * math.log(2 * math.pi))


@keras.saving.register_keras_serializable(package="nam")
class LocationNetwork(keras.layers.Layer):
    """Gaussian policy over where to look next.

    The mean is tanh(W h + b). A sampled location is drawn from N(mean, std²) in each coordinate (Mnih et al. 2014,
    section 2.1); its log-density is that of the draw itself, before it is clipped to the image. The score reaches W
    and b through the mean alone: the draw is a constant, so ∂ log p / ∂ mean = (location − mean) / std².

    Args:
        std: Standard deviation of each coordinate, in image half-widths; > 0.
        policy: `"learned"`; `"frozen"`: the same network, never trained (what the published study did); `"random"`:
            uniform over the image; `"center"`: always the centre. The last three give log-densities of 0.
        seed: Integer seed of the draws.
        exploration: `"fixed"`: `std` stays so; `"annealed"`: it is a weight, which `set_std` changes; `"learned"`: that
            weight is trained with a learned policy, and the score reaches it too.

    Call arguments:
        hidden: State of the core, `(batch, units)`.
        sample: Draw a location (`True`) or take the mean (`False`); the mean of `"random"` is the centre.

    Returns:
        `(locations, means, log_probs)`: `(batch, 2)` in [-1, 1] as `(x, y)`, the same, and `(batch,)` in nats. All
        float32, whatever the compute type.

    Raises:
        ValueError: If `std` is not positive, or `policy` or `exploration` is unknown.
    """

    def __init__(
        self, std: float, policy: str = "learned", seed: int | None = None, exploration: str = "fixed", **kwargs
    ):
        kwargs["dtype"] = "float32"  # a float16 log-density has too few digits for its gradient
        super().__init__(**kwargs)
        if not std > 0:
            raise ValueError(f"std must be positive. Received: std={std}")
        check_choices(policy=policy, exploration=exploration)
        self.std = std
        self.policy = policy
        self.exploration = exploration
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        # Small weights: the gaze starts near the centre, where the noise reaches most of the image.
        small = keras.initializers.TruncatedNormal(stddev=0.01, seed=seed)
        self.mean = keras.layers.Dense(2, activation="tanh", kernel_initializer=small, dtype="float32")
        self.mean.trainable = policy == "learned"

    def build(self, hidden_shape):
        self.mean.build(hidden_shape)
        if self.exploration != "fixed":  # where it is, models have a weight less, as they always had
            learned = self.exploration == "learned" and self.policy == "learned"
            start = keras.initializers.Constant(math.log(self.std))
            self.log_std = self.add_weight(shape=(), initializer=start, trainable=learned, name="log_std")
        self.built = True

    def set_std(self, std: float) -> None:
        """Changes the standard deviation. Raises `ValueError` where exploration is `"fixed"`."""
        if self.exploration == "fixed":
            raise ValueError(f"exploration='fixed' keeps its std: make it 'annealed'. Received: std={std}")
        self.log_std.assign(math.log(std))

    def call(self, hidden, sample: bool = True):
        means = self.mean(hidden)
        if self.policy in ("random", "center"):
            means = ops.zeros_like(means)
        shape = ops.shape(means)
        std = self.std if self.exploration == "fixed" else ops.exp(self.log_std)
        if self.policy == "random" and sample:
            locations = keras.random.uniform(shape, -1.0, 1.0, seed=self.seed_generator)
        elif self.policy == "center" or not sample:
            locations = means
        else:
            locations = means + std * keras.random.normal(shape, seed=self.seed_generator)
        if self.policy == "learned":
            # Without this stop the noise cancels and the policy gradient is exactly zero.
            locations = ops.stop_gradient(locations)
            log_probs = gaussian_log_prob(locations, means, std)
        else:
            locations, means = ops.stop_gradient(locations), ops.stop_gradient(means)
            log_probs = ops.zeros_like(means[:, 0])
        return ops.clip(locations, -1.0, 1.0), means, log_probs

    def compute_output_shape(self, hidden_shape):
        return (hidden_shape[0], 2), (hidden_shape[0], 2), (hidden_shape[0],)

    def get_config(self):
        config = {"std": self.std, "policy": self.policy, "seed": self.seed, "exploration": self.exploration}
        return {**super().get_config(), **config}
