"""What one look-sequence at one image costs."""

from typing import NamedTuple


class Cost(NamedTuple):
    """Of one gaze at one image; pixels count once for every channel."""

    parameters: int
    multiply_adds: int  # of the matrix products of one forward pass
    pixels_read: int  # values in the patches that reach the network
    pixels_touched: int  # pixels under the windows, those of every scale and look counted
    pixels: int  # of the whole image
