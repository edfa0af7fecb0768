"""What a model is to the rest of nam: images in, a dict with logits out, a loss of its own, a price."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from nam import losses, machine
from nam.models.cost import Cost, multiply_adds


class Classifier(keras.Model):
    """A classifier of images that returns a dict with `logits`, and is compiled without a loss.

    `compile` takes an optimizer and metrics; metrics receive the logits.

    Args:
        config: The arguments that the model is made from, but for Keras's own.

    Call arguments:
        images: `(batch, height, width, channels)`, uint8 or float in [0, 1].

    Returns:
        A dict: `logits (batch, classes)`, and what else the model has to tell.
    """

    targets = 1  # things to read in an image, one after the other
    samples_gazes = False  # whether `call` takes `samples`: two passes over an image may differ
    takes_any_size = False  # whether images may have another size than those that it was built for
    learns_boxes = False  # whether training wants to know where the targets are
    convolves = False
    flattens = False  # whether each pixel of an image has weights of its own

    def __init__(self, config: dict, **kwargs):
        # Images keep their type: some models count in whole numbers, and uint8 is exact.
        super().__init__(autocast=False, **kwargs)
        self.config = config
        self.in_training = False  # whether the loss was last asked for by a training step
        self.trackers: dict[str, keras.metrics.Metric] = {}  # of the parts of the loss in training

    @property
    def faster_with_xla(self) -> bool:
        """Whether XLA makes it faster here.

        It does so with dense networks, but not with TensorFlow's convolutions and products in bfloat16 on a CPU.
        """
        if keras.backend.backend() != "tensorflow" or machine.on_gpu():
            return True
        return not self.convolves and self.compute_dtype != "bfloat16"

    @property
    def seed_generators(self) -> list[keras.random.SeedGenerator]:
        """What every random draw of a gaze comes from."""
        return []

    @property
    def images_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that it was built for."""
        return tuple(self.get_build_config()["input_shape"][1:])

    def cost(self, height: int, width: int) -> Cost:
        """What one image of `height` × `width` pixels costs."""
        raise NotImplementedError

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The mean cross-entropy, nats; of several targets the sum over them. Penalties of layers are added."""
        self.check_loss(y)
        self.in_training = training
        errors = losses.cross_entropy(y, y_pred["logits"])
        errors = errors if len(errors.shape) == 1 else ops.sum(errors, axis=-1)
        return weighted_mean(errors, sample_weight) + sum(self.losses)

    def total(self, parts, sample_weight, **besides):
        """The loss of a training step: the means of its `(batch,)` parts, summed, and penalties of layers.

        Each is tracked by its name, and so is what else is told `besides`.
        """
        self.in_training = True
        images = ops.shape(next(iter(parts.values())))[0]
        parts = {name: weighted_mean(part, sample_weight) for name, part in parts.items()}
        for name, value in {**parts, **besides}.items():
            # A short last batch counts for the images that it holds.
            self.trackers[name].update_state(value, sample_weight=images)
        return sum(parts.values()) + sum(self.losses)

    def check_loss(self, labels) -> None:
        """Raises `ValueError` if it was compiled with a loss, or the labels are not one number for each target."""
        if self.loss is not None:
            raise ValueError(
                f"{type(self).__name__} brings its own loss: compile it without. Received: loss={self.loss!r}"
            )
        if tuple(labels.shape)[1:] not in (((), (1,)) if self.targets == 1 else ((self.targets,),)):
            shape = "(batch,)" if self.targets == 1 else f"(batch, {self.targets})"
            raise ValueError(
                f"labels are whole numbers {shape}; of one-hot ones take the argmax. "
                f"Received: labels.shape={tuple(labels.shape)}"
            )

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Compiled metrics see the logits, those of each copy and target as an example of its own.

        Places without a target have weight 0: where there are such, compile with `weighted_metrics`.

        The parts of a loss that training adds up are reported by training only; elsewhere they are never updated.
        """
        logits, labels = y_pred["logits"], y["labels"] if isinstance(y, dict) else y
        if len(logits.shape) > 2:
            every = ops.zeros_like(logits[..., 0], dtype="int32")
            labels = losses.aligned(labels, logits) + every
            weights = ops.cast(labels >= 0, "float32")  # 0 where there is no target
            if sample_weight is not None:
                weights *= ops.reshape(sample_weight, (-1, *[1] * (len(weights.shape) - 1)))
            labels, sample_weight = ops.reshape(ops.maximum(labels, 0), (-1,)), ops.reshape(weights, (-1,))
            logits = ops.reshape(logits, (-1, logits.shape[-1]))
        found = super().compute_metrics(x, labels, logits, sample_weight=sample_weight)
        return found if self.in_training else {n: value for n, value in found.items() if n not in self.trackers}

    def get_config(self):
        return {**super().get_config(), **self.config}


class WholeImage(Classifier):
    """A classifier that reads every pixel: a chain of layers, and the logits.

    Args:
        layers: The chain, but for its last layer, which makes the logits.
        classes: Number of classes.
        config: See `Classifier`.

    Raises:
        ValueError: If the images are too small for the chain.
    """

    def __init__(self, layers: list[keras.layers.Layer], classes: int, config: dict, **kwargs):
        super().__init__({"classes": classes, **config}, **kwargs)
        for layer in layers:
            layer.dtype_policy = self.dtype_policy
        # In float32: what is exponentiated loses too much in float16.
        head = keras.layers.Dense(classes, dtype="float32", name="action_network")
        self.network = keras.Sequential([*layers, head], name="network")

    def build(self, images_shape):
        self.network.build(images_shape)
        self.built = True

    def call(self, images, training=False):
        return {"logits": self.network(scaled(images, self.compute_dtype), training=training)}

    def cost(self, height: int, width: int) -> Cost:
        """What one image costs, which must have the size that the model was built for."""
        pixels = height * width * self.images_shape[-1]
        return Cost(
            parameters=self.count_params(),
            multiply_adds=multiply_adds(self.network.layers),
            pixels_read=pixels,
            pixels_touched=pixels,
            pixels=pixels,
        )


def arguments(local: Mapping[str, Any]) -> dict[str, Any]:
    """What a model was made with, by name: of the `locals()` with which its constructor begins."""
    return {name: value for name, value in local.items() if name not in ("self", "kwargs", "__class__")}


def check_targets(targets: int, glimpses: int) -> None:
    """Raises `ValueError` if the looks cannot be shared alike by the targets."""
    if targets < 1 or glimpses % targets:
        raise ValueError(
            f"glimpses must be a multiple of the targets. Received: glimpses={glimpses}, targets={targets}"
        )


def scaled(images, dtype: str):
    """Images, uint8 or float in [0, 1], as floats of that type. Raises `ValueError` for others."""
    given = keras.backend.standardize_dtype(images.dtype)
    if given != "uint8" and "float" not in given:
        raise ValueError(f"images must be uint8, or float in [0, 1]. Received: images.dtype={given}")
    return ops.cast(images, dtype) * (1 / 255 if given == "uint8" else 1)


def weighted_mean(values, sample_weight):
    """Mean over the batch of `(batch,)` values, each times its weight, as Keras's losses reduce."""
    if sample_weight is not None:
        values = values * ops.reshape(ops.cast(sample_weight, values.dtype), (-1,))
    return ops.mean(values)
