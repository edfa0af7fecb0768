"""The enriched deep recurrent attention model (Ablavatski et al. 2017): a spatial transformer for an eye."""

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops
from keras.layers import Conv2D, Dense, LSTMCell

from nam import losses
from nam.config import MIN_WINDOW, check_choices
from nam.layers import SpatialTransformer, StepNormalization
from nam.models.classifier import Classifier, arguments, check_targets, scaled
from nam.models.cost import Cost

PARTS = ("classification", "localisation")
COARSE = 12  # side of the image that the context network sees
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@keras.saving.register_keras_serializable(package="nam")
class EDRAM(Classifier):
    """Looks at windows of an image that it places, turns and scales itself, and is told where the targets are.

    At look t the spatial transformer reads the window Aₜ of the image; the glimpse network turns it into gₜ = what ×
    where; a first LSTM reads gₜ, and the classification network answers from its state alone; a second LSTM reads that
    state, and the emission network makes Aₜ₊₁ of its own: tanh(W h + b), the zooms no less than 0. The second begins
    with what the context network makes of the image, shrunk to 12 × 12. Batch normalisation has statistics of its own
    for every look, so there are always as many looks as it was trained for.

    Sizes follow from `hidden` H, as published for 512: H / 8, H / 8, H / 4, H / 4, 5 H / 16, 3 H / 8 filters of 3 × 3,
    2 H units in dense layers; H / 32, H / 32, H / 16 filters in the context network. 10.7 million parameters.

    Not as in the authors' code: weights begin as Keras's do, LSTMs have no peepholes, what reads A is not normalised,
    and beyond the image there is black, not its border. The configs' plateau is one of validation accuracy, where the
    paper's is one of the training loss.

    Args:
        classes: Number of classes.
        targets: Number of things to read in an image one after the other, N = T / targets looks each.
        glimpses: Number of looks T, a multiple of the targets.
        bandwidth: Side of the window, pixels: 26 and 34 are published, both leave 4 × 4 places before the dense layer.
        hidden: Units of each LSTM; a multiple of 32.
        first_transformation: A₁: the whole image (`"identity"`, as the paper says), or emitted from the context
            (`"context"`, as its code does).
        theta_gradient: What trains A: the whole loss (`"flowing"`, as published), or the localisation only
            (`"stopped"`): at first the classification, which reads of places without meaning, holds it back.
        what_weight: α₁, of the classification.
        where_weight: α₂, of the localisation.
        theta_weights: β₁ … β₆, of the elements of A.

    Call arguments:
        images: `(batch, height, width, channels)`, uint8 or float in [0, 1].
        training: Normalise by this batch's statistics.

    Returns:
        A dict: `logits (batch, classes)`, the logarithm of the mean of all looks' class probabilities (of several
        targets `(batch, targets, classes)`, of each one's looks); `look_logits (batch, T, classes)`; `thetas (batch, T,
        6)`, the transformations looked through.

    Raises:
        ValueError: If an argument is unknown or out of its limits.
    """

    takes_any_size = True
    convolves = True
    learns_boxes = True

    def __init__(
        self,
        classes: int = 10,
        targets: int = 1,
        glimpses: int = 6,
        bandwidth: int = 26,
        hidden: int = 512,
        first_transformation: str = "context",
        theta_gradient: str = "flowing",
        what_weight: float = 1.0,
        where_weight: float = 1.0,
        theta_weights: Sequence[float] = (1.0, 0.5, 1.0, 0.5, 1.0, 1.0),
        **kwargs,
    ):
        config = arguments(locals())
        if glimpses < 1 or hidden < 32 or hidden % 32 or bandwidth < MIN_WINDOW:
            raise ValueError(
                f"glimpses must be at least 1, hidden a multiple of 32, bandwidth at least {MIN_WINDOW}. "
                f"Received: glimpses={glimpses}, hidden={hidden}, bandwidth={bandwidth}"
            )
        check_targets(targets, glimpses)
        check_choices(first_transformation=first_transformation, theta_gradient=theta_gradient)
        if len(theta_weights) != 6:
            raise ValueError(f"theta_weights must be six numbers. Received: theta_weights={theta_weights}")
        config["theta_weights"] = [float(weight) for weight in theta_weights]
        super().__init__(config, **kwargs)
        self.targets = targets
        self.glimpses = glimpses
        dtype = self.dtype_policy

        def normalized(layer, name):
            return _Normalized(layer, glimpses, dtype=dtype, name=name)

        def convolution(filters, name, padding="valid"):
            return normalized(Conv2D(filters, 3, padding=padding, use_bias=False, dtype=dtype), name)

        def dense(units, name):
            return normalized(Dense(units, use_bias=False, dtype=dtype), name)

        # Of a larger window both middle convolutions cut the border off, so that it shrinks to 4 × 4 as well.
        middle = "same" if bandwidth < 30 else "valid"
        self.sensor = SpatialTransformer(bandwidth, dtype=dtype, name="sensor")
        self.what = [
            convolution(hidden // 8, "what_1", "same"),
            convolution(hidden // 8, "what_2"),
            keras.layers.MaxPooling2D(dtype=dtype),
            convolution(hidden // 4, "what_3", middle),
            convolution(hidden // 4, "what_4", middle),
            keras.layers.MaxPooling2D(dtype=dtype),
            convolution(5 * hidden // 16, "what_5", "same"),
            convolution(3 * hidden // 8, "what_6"),
            keras.layers.Flatten(dtype=dtype),
            dense(2 * hidden, "what"),
        ]
        # Not normalised: all first looks may be the same, and have no variance.
        self.where = Dense(2 * hidden, activation="relu", dtype=dtype, name="where")
        self.context_network = [
            layer
            for filters, side in ((hidden // 32, 5), (hidden // 32, 3), (hidden // 16, 3))
            for layer in (
                Conv2D(filters, side, use_bias=False, dtype=dtype),
                keras.layers.BatchNormalization(momentum=0.95, epsilon=1e-4, dtype=dtype),
            )
        ] + [keras.layers.Flatten(dtype=dtype)]
        self.reader = LSTMCell(hidden, dtype=dtype, name="reader")
        self.mover = LSTMCell(hidden, dtype=dtype, name="mover")
        self.classification_network = [dense(2 * hidden, "class_1"), dense(2 * hidden, "class_2")]
        # In float32: what is exponentiated or tells pixels apart loses too much in float16.
        self.answer = Dense(classes, dtype="float32", name="answer")
        heads = {"kernel_initializer": "zeros", "dtype": "float32"}
        self.emission_network = Dense(6, activation="tanh", **heads, name="emission_network")
        if glimpses == 1:  # nowhere else to look
            self.mover.trainable = False
            for layer in (self.emission_network, *self.context_network):
                layer.trainable = first_transformation == "context"
        self.trackers = {name: keras.metrics.Mean(name=name) for name in PARTS}

    def build(self, images_shape):
        glimpse, hidden, channels = self.what[-1].layer.units, self.reader.units, images_shape[-1]
        self._products = _build(self.what, (None, *[self.sensor.size] * 2, channels))
        self._products += _build([self.where], (None, 6))
        self._products += _build([*self.classification_network, self.answer], (None, hidden))
        self._move_products = _build([self.emission_network], (None, hidden)) + 4 * hidden * (hidden + hidden)
        self._context_products = _build(self.context_network, (None, COARSE, COARSE, channels))
        self.reader.build((None, glimpse))
        self.mover.build((None, hidden))
        # Begins with the whole image, or what tanh makes of it: zooms of 0.76.
        self.emission_network.bias.assign(IDENTITY)
        self.built = True

    def call(self, images, training=False):
        images = scaled(images, self.compute_dtype)
        batch = ops.shape(images)[0]
        context = _shrunk(images, COARSE)
        for layer in self.context_network:
            context = layer(context, training=training)
        reading, moving = self.reader.get_initial_state(batch), self.mover.get_initial_state(batch)
        moving = [ops.cast(context, moving[0].dtype), *moving[1:]]
        if self.config["first_transformation"] == "context":
            theta = self._emit(context)
        else:
            theta = ops.tile(ops.convert_to_tensor([IDENTITY], "float32"), (batch, 1))
        answers, thetas = [], []
        for look in range(self.glimpses):
            at = {"step": look, "training": training}
            window = ops.stop_gradient(theta) if self.config["theta_gradient"] == "stopped" else theta
            seen = self.sensor(images, window)
            for layer in self.what:
                seen = layer(seen, **at) if isinstance(layer, _Normalized) else layer(seen)
            hidden, reading = self.reader(seen * self.where(window), reading)
            answer = hidden
            for layer in self.classification_network:
                answer = layer(answer, **at)
            answers.append(self.answer(answer))
            thetas.append(theta)
            if look + 1 < self.glimpses:
                moved, moving = self.mover(hidden, moving)
                theta = self._emit(moved)
        look_logits = ops.stack(answers, axis=1)
        each = self.glimpses // self.targets  # N
        log_p = ops.reshape(ops.log_softmax(look_logits), (-1, self.targets, each, look_logits.shape[-1]))
        log_p = ops.logsumexp(log_p, axis=2) - np.log(each)
        return {
            "logits": log_p[:, 0] if self.targets == 1 else log_p,
            "look_logits": look_logits,
            "thetas": ops.stack(thetas, axis=1),
        }

    def _emit(self, hidden):
        """A of the next look; a zoom below 0 would mirror what is seen."""
        theta = self.emission_network(hidden)
        return ops.where(np.array([1, 0, 0, 0, 1, 0]) > 0, ops.relu(theta), theta)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """In training the parts of `losses.what_and_where`, else the classification; `y` as in `Batches`."""
        labels, thetas = (y["labels"], y["thetas"]) if isinstance(y, dict) else (y, None)
        if not training:
            return super().compute_loss(x, labels, y_pred, sample_weight, training)
        self.check_loss(labels)
        if thetas is None and self.config["theta_gradient"] == "stopped":
            raise ValueError(
                "theta_gradient='stopped' leaves the transformations to be trained by the boxes: fit with targets "
                "{'labels': ..., 'thetas': ...}, or make the model with theta_gradient='flowing'."
            )
        names = ("what_weight", "where_weight", "theta_weights")
        parts = losses.what_and_where(labels, thetas, y_pred, **{name: self.config[name] for name in names})
        return self.total(parts, sample_weight)

    def cost(self, height: int, width: int) -> Cost:
        """What an image of `height` × `width` pixels costs; only the context network looks at all of them."""
        hidden, channels, side = self.reader.units, self.images_shape[-1], self.sensor.size
        glimpse = self.what[-1].layer.units
        reading = 4 * hidden * (glimpse + hidden)
        shrinking = COARSE * channels * height * (width + COARSE)
        first = 6 * hidden * (self.config["first_transformation"] == "context")
        windows = self.glimpses * side**2 * channels
        return Cost(
            parameters=self.count_params(),
            multiply_adds=self.glimpses * (self._products + reading)
            + (self.glimpses - 1) * self._move_products
            + self._context_products
            + shrinking
            + first,
            pixels_read=windows + COARSE**2 * channels,
            pixels_touched=4 * windows + height * width * channels,
            pixels=height * width * channels,
        )


class _Normalized(keras.layers.Layer):
    """A layer, batch normalisation with the statistics of the look, ReLU."""

    def __init__(self, layer, steps: int, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer
        self.norm = StepNormalization(steps, dtype=self.dtype_policy)

    def build(self, inputs_shape):
        self.layer.build(inputs_shape)
        self.norm.build(self.layer.compute_output_shape(inputs_shape))
        self.built = True

    def call(self, inputs, step: int = 0, training=False):
        return ops.relu(self.norm(self.layer(inputs), step=step, training=training))

    def compute_output_shape(self, inputs_shape):
        return self.layer.compute_output_shape(inputs_shape)


def _build(layers, shape) -> int:
    """Builds a chain of layers; returns its multiply-adds."""
    products = 0
    for layer in layers:
        if not layer.built:
            layer.build(shape)
        shape = layer.compute_output_shape(shape)
        inner = getattr(layer, "layer", layer)
        if hasattr(inner, "kernel"):
            products += math.prod(inner.kernel.shape) * math.prod(shape[1:-1])
    return products


def _shrunk(images, side: int):
    """Images of `side` × `side` pixels, each the mean of what it covers."""
    rows, columns = (_means(length, side) for length in images.shape[1:3])
    rows, columns = (ops.cast(ops.convert_to_tensor(means), images.dtype) for means in (rows, columns))
    images = ops.tensordot(images, columns, axes=[[2], [1]])  # (batch, rows, channels, side)
    return ops.transpose(ops.tensordot(images, rows, axes=[[1], [1]]), (0, 3, 2, 1))


def _means(length: int, side: int) -> np.ndarray:
    """`(side, length)`: how much each pixel counts in each of `side` equal parts; rows sum to 1."""
    edges, pixels = np.linspace(0, length, side + 1), np.arange(length)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.maximum(covered, 0) * side / length).astype("float32")
