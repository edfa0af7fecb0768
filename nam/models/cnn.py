"""Convolutional networks that recurrent attention is compared with."""

import keras
from keras.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D

from nam.models.classifier import WholeImage


class Convolutional(WholeImage):
    """A chain that begins with convolutions, whose map it flattens."""

    convolves = True
    flattens = True


@keras.saving.register_keras_serializable(package="nam")
class CNN(Convolutional):
    """Two convolutions with ReLU, dropout after the second, two dense layers (Fang, Tian & Yang, section 3.2).

    The paper gives no sizes. These are those of the small network that most tutorials train on MNIST: 10 and 20
    filters of 5 × 5, each with max-pooling, and 50 units; 21,840 parameters on 28 × 28 × 1.

    Args:
        classes: Number of classes.
        dropout: Share of the second convolution's outputs that training drops, as published without its value.
    """

    def __init__(self, classes: int = 10, dropout: float = 0.5, **kwargs):
        layers = [
            Conv2D(10, 5, activation="relu"),
            MaxPooling2D(),
            Conv2D(20, 5, activation="relu"),
            Dropout(dropout),
            MaxPooling2D(),
            Flatten(),
            Dense(50, activation="relu"),
        ]
        super().__init__(layers, classes, {"dropout": dropout}, **kwargs)


@keras.saving.register_keras_serializable(package="nam")
class SimpleCNN(Convolutional):
    """The baseline of Wu, Xu & Lee (section 3.2): two small convolutions with pooling, two dense layers.

    32 and 64 filters of 2 × 2, 768 and 64 units: the widths that meet the parameters of their table 2, 1.77 and 1.83
    million on 28 × 28 × 1.

    Args:
        classes: Number of classes.
    """

    def __init__(self, classes: int = 10, **kwargs):
        layers = [*small_convolutions(), Flatten(), Dense(768, activation="relu"), Dense(64, activation="relu")]
        super().__init__(layers, classes, {}, **kwargs)


@keras.saving.register_keras_serializable(package="nam")
class KerasCNN(Convolutional):
    """The example of Keras that Belaid (2019, reference 15) compares with: mnist_cnn.py, 1,199,882 parameters.

    32 and 64 filters of 3 × 3, one max-pooling, dropout of 0.25, 128 units, dropout of 0.5.

    Args:
        classes: Number of classes.
    """

    def __init__(self, classes: int = 10, **kwargs):
        layers = [
            Conv2D(32, 3, activation="relu"),
            Conv2D(64, 3, activation="relu"),
            MaxPooling2D(),
            Dropout(0.25),
            Flatten(),
            Dense(128, activation="relu"),
            Dropout(0.5),
        ]
        super().__init__(layers, classes, {}, **kwargs)


def small_convolutions() -> list[keras.layers.Layer]:
    """The convolutions that `SimpleCNN` and `SelfAttention` share (Wu, Xu & Lee, section 3.2)."""
    return [
        Conv2D(32, 2, activation="relu"),
        MaxPooling2D(),
        Conv2D(64, 2, activation="relu"),
        MaxPooling2D(),
    ]
