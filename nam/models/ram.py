"""The recurrent attention model (Mnih et al. 2014): looks at an image through a few glimpses, learns where to look."""

import math
from collections.abc import Sequence

import keras
from keras import ops

from nam import losses
from nam.config import check_choices
from nam.layers import GlimpseNetwork, GlimpseSensor, LocationNetwork
from nam.models.classifier import Classifier, arguments, check_targets
from nam.models.cost import Cost

# As configs, not objects: every layer must draw weights of its own.
INITIALIZERS = {"glorot": "glorot_uniform", "small": {"class_name": "TruncatedNormal", "config": {"stddev": 0.01}}}
PARTS = ("classification", "reinforce", "baseline")


@keras.saving.register_keras_serializable(package="nam")
class RecurrentAttention(Classifier):
    """Recurrent attention model: a sequence of glimpses, each placed by what the last ones showed.

    At look t the sensor reads patches ρ at location lₜ, the glimpse network turns them into g, the core updates its
    state hₜ, and the location network draws lₜ₊₁ from N(tanh(W hₜ + b), std²). The action network classifies from the
    last state. Training adds the three parts of `nam.losses.hybrid`, so `compile` takes an optimizer and metrics but
    no loss; metrics receive the logits of the last look.

    Args:
        classes: Number of classes.
        targets: Number of things to read in an image one after the other, T / targets looks each.
        glimpses: Number of looks T at one image, a multiple of the targets.
        bandwidth: Side of each patch, pixels.
        scales: Number of patches per look.
        scale_factors: Pixels of the image per pixel of the patch, one per scale. `None`: 1, 2, 4, 8, …
        padding: `"zero"` or `"noise"`, see `GlimpseSensor`.
        retina: `"normalized"`: patch s is multiplied by 4 √factor before the glimpse network, about the inverse of its
            root mean square on images that are mostly black; or `"plain"`.
        std: Standard deviation of the policy, in image half-widths.
        policy: `"learned"`, `"frozen"`, `"random"` or `"center"`, see `LocationNetwork`. Metrics of `evaluate` and
            `fit` on validation data are of the deterministic gaze, which says little of one that is not learned:
            `nam.accuracy.Evaluator` samples gazes and lets them vote.
        exploration: `"fixed"`, `"annealed"` or `"learned"`: what becomes of the standard deviation, see there. Here it
            is fixed unless told, as `fit` alone does not anneal (a callback may, by `location_network.set_std`); all
            else is by default as in `Config`.
        policy_gradient: `"flowing"`: REINFORCE trains all that led to a location; `"stopped"`: the location network
            only.
        core: `"lstm"`, or `"rnn"`: ReLU units whose recurrent matrix starts as the identity.
        hidden: Units of the core and of the glimpse vector.
        samples: Monte-Carlo copies of each image in training, each with its own gaze.
        reward: `"correct"`, `"probability"` or `"log-likelihood"`, see `nam.losses`.
        advantage: `"learned"` baseline or `"leave-one-out"`; the latter needs two samples.
        loss_steps: Looks whose answers are trained: `"last"`, or `"all"`, so that a gaze may end early.
        first_location: `"random"` (uniform) or `"center"`, in training and for sampled gazes; `"shared"`: random, in
            training the same for all copies of an image, so that their rewards differ by the policy's draws alone.
        reinforce_weight: Weight of the REINFORCE part.
        baseline_weight: Weight of the baseline part.
        initializer: First weights of the dense layers: `"glorot"` (uniform), or `"small"`: normal, deviation 0.01, as
            the published study drew them, and one bias of the glimpse network too.
        seed: Integer seed of the gaze's draws. Weights are drawn from Keras's global seed
            (`keras.utils.set_random_seed`).

    Call arguments:
        images: `(batch, height, width, channels)`, uint8 or float in [0, 1].
        training: Sample the gaze of `samples` copies (`True`), or start at the centre and follow the means (`False`).
        samples: Sample that many gazes per image although not training, as for a vote.
        glimpses: Look that many times instead of T; the first looks are the same.
        locations: A gaze to follow instead of the policy's, `(batch, looks, 2)` as `(x, y)` in [-1, 1]: one copy.

    Returns:
        A dict: `logits (batch, classes)` of the last look, of several targets `(batch, targets, classes)` of the last
        look at each; `look_logits (batch, T, classes)`, `locations` and `means` `(batch, T, 2)`, `log_probs (batch, T)`
        with 0 for the first look, which is not the policy's, and `baselines (batch, T)`, the reward expected after each
        look. With sampled gazes, as in training, a copies axis follows the batch axis: it is to be trained on its own,
        not within another model.

    Raises:
        ValueError: If an argument is unknown or out of its limits.
    """

    samples_gazes = True
    takes_any_size = True

    def __init__(
        self,
        classes: int = 10,
        targets: int = 1,
        glimpses: int = 4,
        bandwidth: int = 12,
        scales: int = 4,
        scale_factors: Sequence[int] | None = None,
        padding: str = "zero",
        retina: str = "normalized",
        std: float = 0.15,
        policy: str = "learned",
        exploration: str = "fixed",
        policy_gradient: str = "flowing",
        core: str = "lstm",
        hidden: int = 256,
        samples: int = 2,
        reward: str = "probability",
        advantage: str = "leave-one-out",
        loss_steps: str = "last",
        first_location: str = "center",
        reinforce_weight: float = 1.0,
        baseline_weight: float = 1.0,
        initializer: str = "glorot",
        seed: int | None = None,
        **kwargs,
    ):
        config = arguments(locals())
        choices = "policy_gradient retina initializer core reward advantage loss_steps first_location"
        check_choices(**{name: config[name] for name in choices.split()})
        if glimpses < 1 or samples < 1:
            raise ValueError(
                f"glimpses and samples must be at least 1. Received: glimpses={glimpses}, samples={samples}"
            )
        check_targets(targets, glimpses)
        if advantage == "leave-one-out" and samples < 2 and policy == "learned":
            raise ValueError(f"advantage='leave-one-out' needs at least two samples. Received: samples={samples}")
        config["scale_factors"] = None if scale_factors is None else [int(factor) for factor in scale_factors]
        super().__init__(config, **kwargs)
        self.targets = targets
        self.glimpses = glimpses
        self.samples = samples
        self.first_location = first_location
        self.stops_policy_gradient = policy_gradient == "stopped"
        objective = "reward advantage loss_steps reinforce_weight baseline_weight"
        self.objective = {name: config[name] for name in objective.split()}
        dtype = self.dtype_policy
        # Three streams: with one seed for all, the first look would foretell the policy's noise.
        seeds = [None if seed is None else seed + stream * 2**30 for stream in range(3)]
        self.seed_generator = keras.random.SeedGenerator(seeds[0])
        self.sensor = GlimpseSensor(
            bandwidth, scales, scale_factors, padding, seed=seeds[1], dtype=dtype, name="sensor"
        )
        kernel = INITIALIZERS[initializer]
        gains = [4 * factor**0.5 for factor in self.sensor.scale_factors] if retina == "normalized" else None
        self.glimpse_network = GlimpseNetwork(
            hidden,
            gains=gains,
            kernel_initializer=kernel,
            bias_initializer=kernel if initializer == "small" else "zeros",
            dtype=dtype,
            name="glimpse_network",
        )
        if core == "lstm":
            self.core = keras.layers.LSTMCell(hidden, dtype=dtype, name="core")
        else:
            self.core = keras.layers.SimpleRNNCell(
                hidden, activation="relu", recurrent_initializer="identity", dtype=dtype, name="core"
            )
        self.location_network = LocationNetwork(std, policy, seeds[2], exploration, name="location_network")
        if glimpses == 1:
            self.location_network.trainable = False  # nowhere else to look
        # Float32 heads: what is exponentiated, squared or compared loses too much in float16.
        heads = {"kernel_initializer": kernel, "dtype": "float32"}
        self.action_network = keras.layers.Dense(classes, **heads, name="action_network")
        self.baseline_network = keras.layers.Dense(1, **heads, name="baseline_network")
        self._traced = None
        self.trackers = {name: keras.metrics.Mean(name=name) for name in (*PARTS, "reward")}

    def build(self, images_shape):
        channels = images_shape[-1]
        self.glimpse_network.build(self.sensor.compute_output_shape((None, None, None, channels), (None, 2)), (None, 2))
        hidden = (None, self.glimpse_network.units)
        for layer in (self.core, self.location_network, self.action_network, self.baseline_network):
            layer.build(hidden)
        self.built = True

    def call(self, images, training=False, samples=None, glimpses=None, locations=None):
        if locations is not None and (samples or glimpses):
            raise ValueError(
                "locations fix the looks of one copy: leave samples and glimpses out. "
                f"Received: samples={samples}, glimpses={glimpses}"
            )
        sampled = locations is None and (bool(training) or samples is not None)
        copies = (samples or self.samples) if sampled else 1
        glimpses = (glimpses or self.glimpses) if locations is None else locations.shape[1]
        batch = ops.shape(images)[0]
        rows = batch * copies
        view = self.sensor.prepare(images, reads=glimpses * copies)
        states = self.core.get_initial_state(batch_size=rows)
        if not sampled or self.first_location == "center":
            location = ops.zeros((rows, 2))
        elif training and self.first_location == "shared":
            location = keras.random.uniform((batch, 2), -1.0, 1.0, seed=self.seed_generator)
            location = ops.repeat(location, copies, axis=0)
        else:
            location = keras.random.uniform((rows, 2), -1.0, 1.0, seed=self.seed_generator)
        mean, log_prob = location, ops.zeros_like(location[:, 0])
        looks, hidden = [], None
        for look in range(glimpses):
            if locations is not None:
                location = mean = locations[:, look]
            elif look:  # the location drawn after the last look is never looked at, so it is not drawn
                state = ops.stop_gradient(hidden) if self.stops_policy_gradient else hidden
                location, mean, log_prob = self.location_network(state, sample=sampled)
            patches = self.sensor.read(view, ops.reshape(location, (-1, copies, 2)))
            patches = ops.reshape(patches, (-1, *patches.shape[2:]))
            glimpse = self.glimpse_network(patches, location)
            hidden, states = self.core(glimpse, states)
            looks.append((hidden, location, mean, log_prob))
        hiddens, looked_at, means, log_probs = (ops.stack(steps, axis=1) for steps in zip(*looks, strict=True))
        look_logits = self.action_network(hiddens)
        each = glimpses // self.targets
        answers = look_logits[:, -1] if self.targets == 1 else look_logits[:, each - 1 :: each]
        outputs = {
            "logits": answers,
            "look_logits": look_logits,
            "locations": looked_at,
            "means": means,
            "log_probs": log_probs,
            # The baseline watches the core; it must not shape it.
            "baselines": self.baseline_network(ops.stop_gradient(hiddens))[..., 0],
        }
        if sampled:
            outputs = {name: ops.reshape(x, (-1, copies, *x.shape[1:])) for name, x in outputs.items()}
        return outputs

    @property
    def seed_generators(self) -> list[keras.random.SeedGenerator]:
        """What every random draw of the gaze and of the sensor comes from."""
        generators = (self.seed_generator, self.location_network.seed_generator, self.sensor.seed_generator)
        return [generator for generator in generators if generator is not None]

    def cost(self, height: int, width: int) -> Cost:
        """What one gaze at a `height` × `width` image costs.

        Every weight of a kernel is used once per look. With S scales of B × B pixels in C channels, H hidden units and
        K classes that is, for an LSTM (an RNN has 2 H² in place of 8 H²), the action network after the last look at
        each of N targets:

            T (128 S B² C + 2 · 128 + 2 · 128 H + 8 H² + 2 H + H) + N K H    multiply-adds

        With the default sizes, one look takes 664,576.
        """
        per_look = (self.glimpse_network, self.core, self.location_network, self.baseline_network)
        products = [self.glimpses * _kernel_size(layer) for layer in per_look]
        products += [self.targets * _kernel_size(self.action_network)]
        patch = self.sensor.bandwidth**2
        channels = self.glimpse_network.what_hidden.kernel.shape[0] // (patch * self.sensor.scales)
        return Cost(
            parameters=self.count_params(),
            multiply_adds=sum(products),
            pixels_read=self.glimpses * self.sensor.scales * patch * channels,
            pixels_touched=self.sensor.pixels_touched(height, width, self.glimpses) * channels,
            pixels=height * width * channels,
        )

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The sum of the parts of `losses.hybrid` that apply: all in training, the classification else.

        Penalties of layers are added.
        """
        if not training:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        self.check_loss(y)
        parts, rewards = losses.hybrid(y, y_pred, **self.objective)
        return self.total(parts, sample_weight, reward=ops.mean(rewards))

    if keras.backend.backend() == "tensorflow":

        def train_step(self, data):
            """One step in plain sight: the loss scaled, one clipped gradient applied, all logged."""
            import tensorflow as tf

            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
            with tf.GradientTape() as tape:
                outputs = self(x, training=True)
                loss = self.compute_loss(x, y, outputs, sample_weight, training=True)
                scaled_loss = self.optimizer.scale_loss(loss)  # float16 gradients would vanish
            gradients = tape.gradient(scaled_loss, self.trainable_variables)
            # Clips the norm as well, where the optimizer was given one.
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            self._loss_tracker.update_state(loss, sample_weight=tf.shape(x)[0])
            return self.compute_metrics(x, y, outputs, sample_weight=sample_weight)

    def trace(self, images, labels):
        """Outputs of a training pass, and the gradient of its loss for each trainable variable.

        Nothing is changed but the state of the random generators, on TensorFlow: to see how training goes.
        """
        if self._traced is None:
            self._traced = self._compile_trace()
        return self._traced(images, labels)

    def _compile_trace(self):
        def run(images, labels):
            outputs = self(images, training=True)
            parts, _ = losses.hybrid(labels, outputs, **self.objective)
            return sum(ops.mean(part) for part in parts.values()), outputs

        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            @tf.function(reduce_retracing=True)
            def traced(images, labels):
                with tf.GradientTape() as tape:
                    loss, outputs = run(images, labels)
                return outputs, tape.gradient(loss, self.trainable_variables)

            return traced
        import jax

        @jax.jit
        def traced(trainable, others, images, labels):
            def loss(trainable):
                variables = zip(
                    self.trainable_variables + self.non_trainable_variables, [*trainable, *others], strict=True
                )
                with keras.StatelessScope(variables):
                    return run(images, labels)

            gradients, outputs = jax.grad(loss, has_aux=True)(trainable)
            return outputs, gradients

        def values(variables):
            return [variable.value for variable in variables]

        return lambda images, labels: traced(
            values(self.trainable_variables), values(self.non_trainable_variables), images, labels
        )


def _kernel_size(layer) -> int:
    return sum(math.prod(weight.shape) for weight in layer.weights if len(weight.shape) == 2)
