"""Self-attention over the places of a feature map."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="nam")
class SpatialSelfAttention(keras.layers.Layer):
    """Multi-head self-attention between the places of a feature map, a residual, and layer normalisation.

    y = norm(x + attention(x, x, x)), with attention(q, k, v) = softmax(q kᵀ / √d) v in each head (Vaswani et al. 2017,
    equation 1). It knows no order: places that change places take their answers along.

    Args:
        heads: Number of heads; divides the channels, of which each head gets its share.

    Call arguments:
        features: `(batch, rows, columns, channels)`.
        return_attention: Return the weights too.

    Returns:
        As many features; with `return_attention` also the weights `(batch, heads, places, places)` with which each
        place, row by row, attends to each: they sum to 1 over the last axis.

    Raises:
        ValueError: If the heads do not divide the channels.
    """

    def __init__(self, heads: int = 4, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, features_shape):
        channels = features_shape[-1]
        if self.heads < 1 or channels % self.heads:
            raise ValueError(f"heads must divide the {channels} channels. Received: heads={self.heads}")
        dtype = self.dtype_policy
        self.attention = keras.layers.MultiHeadAttention(self.heads, channels // self.heads, dtype=dtype)
        self.norm = keras.layers.LayerNormalization(dtype=dtype)
        tokens_shape = (None, features_shape[1] * features_shape[2], channels)
        self.attention.build(tokens_shape, tokens_shape)
        self.norm.build(tokens_shape)
        self.built = True

    def call(self, features, return_attention=False):
        rows, columns, channels = features.shape[1:]
        tokens = ops.reshape(features, (-1, rows * columns, channels))
        # Asked for only if needed: without them Keras may take a kernel that never holds them all.
        attended = self.attention(tokens, tokens, return_attention_scores=return_attention)
        attended, *weights = attended if return_attention else (attended,)
        features = ops.reshape(self.norm(tokens + attended), (-1, rows, columns, channels))
        return (features, *weights) if return_attention else features

    def multiply_adds(self, features_shape) -> int:
        """Of one image: four projections of each place, and the products of all pairs, to weigh and to add them up."""
        rows, columns, channels = features_shape[1:]
        places = rows * columns
        return places * 4 * channels**2 + 2 * places**2 * channels

    def get_config(self):
        return {**super().get_config(), "heads": self.heads}
