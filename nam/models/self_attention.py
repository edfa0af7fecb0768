"""A convolutional network whose features attend to each other."""

import keras
from keras.layers import Dense, Flatten

from nam.layers import SpatialSelfAttention
from nam.models.classifier import scaled
from nam.models.cnn import Convolutional, small_convolutions


@keras.saving.register_keras_serializable(package="nam")
class SelfAttention(Convolutional):
    """Small convolutions, self-attention over the places of their map, one dense layer (Wu, Xu & Lee, section 2.2).

    The convolutions are those of `SimpleCNN`; 192 units meet the parameters of their table 2, 0.47 million on
    28 × 28 × 1.

    Args:
        classes: Number of classes.
        heads: Of the attention; divides 64.

    Call arguments:
        images: `(batch, height, width, channels)`, uint8 or float in [0, 1].
        return_attention: Return the weights of the attention too: `(rows · columns)²` for each head and image.

    Returns:
        A dict: `logits (batch, classes)`; with `return_attention` also `attention (batch, heads, places, places)`, the
        weights with which each place of the map, row by row, attends to each.
    """

    # Pixels: column j of the map lies about OFFSET + STRIDE · (j + ½) of the image's edge.
    STRIDE, OFFSET = 4, 1.5

    def __init__(self, classes: int = 10, heads: int = 4, **kwargs):
        layers = [*small_convolutions(), SpatialSelfAttention(heads), Flatten(), Dense(192, activation="relu")]
        super().__init__(layers, classes, {"heads": heads}, **kwargs)

    @property
    def map_shape(self) -> tuple[int, int]:
        """Rows and columns of the map whose places attend to each other."""
        return next(layer for layer in self.network.layers if isinstance(layer, SpatialSelfAttention)).input.shape[1:3]

    def call(self, images, training=False, return_attention=False):
        if not return_attention:
            return super().call(images, training)
        features, outputs = scaled(images, self.compute_dtype), {}
        for layer in self.network.layers:
            if isinstance(layer, SpatialSelfAttention):
                features, outputs["attention"] = layer(features, return_attention=True)
            else:
                features = layer(features)
        return {"logits": features, **outputs}
