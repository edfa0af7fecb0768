"""Two dense layers, the plainest network that recurrent attention is compared with."""

import keras
from keras.layers import Dense, Flatten

from nam.models.classifier import WholeImage


@keras.saving.register_keras_serializable(package="nam")
class FullyConnected(WholeImage):
    """Two dense layers with ReLU on all pixels (Mnih et al. 2014, tables 1 and 2: 64 or 256 units each).

    Args:
        classes: Number of classes.
        hidden: Units of each layer.
    """

    flattens = True

    def __init__(self, classes: int = 10, hidden: int = 256, **kwargs):
        layers = [Flatten(), Dense(hidden, activation="relu"), Dense(hidden, activation="relu")]
        super().__init__(layers, classes, {"hidden": hidden}, **kwargs)
