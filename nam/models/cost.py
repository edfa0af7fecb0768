"""What one image costs a model."""

import math
import time
from collections.abc import Iterable
from typing import NamedTuple

import keras
import numpy as np


class Cost(NamedTuple):
    """Of one image, and of one gaze at it where there is one; pixels count once for every channel."""

    parameters: int
    multiply_adds: int  # of the matrix products and convolutions of one forward pass
    pixels_read: int  # values that reach the network
    pixels_touched: int  # pixels that are looked at to make them, each as often as it is
    pixels: int  # of the whole image


def multiply_adds(layers: Iterable[keras.layers.Layer]) -> int:
    """Of a chain of built layers. Those with a kernel use each of its weights once at every place of their output."""
    total = 0
    for layer in layers:
        if hasattr(layer, "multiply_adds"):
            total += layer.multiply_adds(layer.input.shape)
        elif hasattr(layer, "kernel"):
            total += math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])
    return total


def milliseconds(model: keras.Model, images: np.ndarray, size: int) -> float:
    """Milliseconds per image of the model's `predict_on_batch` with `size` of the images: the median of ten."""
    images = images[np.arange(size) % len(images)]
    times = []
    for _ in range(11):
        begun = time.perf_counter()
        model.predict_on_batch(images)
        times.append(time.perf_counter() - begun)
    return round(1e3 * float(np.median(times[1:])) / size, 4)
