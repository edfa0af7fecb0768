"""Black images to draw on, in memory that is used again."""

import contextlib
import weakref

import numpy as np

ALIGNMENT = 64  # bytes; TensorFlow and JAX take an array that starts at a multiple of them without copying it

KEPT = 8  # unused blocks, at most


class Canvases:
    """Black images; their memory is used again once nothing refers to them, nor to any part of them.

    The system takes back large blocks as they are freed, and hands out new ones page by page, which costs more than
    drawing on them: with 128 images of 800 × 800 pixels, a quarter of a training step.
    """

    def __init__(self):
        self._free: list[np.ndarray] = []

    def __call__(self, shape: tuple[int, ...]) -> np.ndarray:
        """An array of zeros, uint8."""
        size = int(np.prod(shape))
        block = self._block(size + ALIGNMENT)
        start = -block.ctypes.data % ALIGNMENT
        # Through a memoryview: the array is then what its own views refer to, and outlives none of them.
        array = np.frombuffer(memoryview(block)[start : start + size], "uint8")
        weakref.finalize(array, self._keep, block).atexit = False
        array.fill(0)
        return array.reshape(shape)

    def _block(self, size: int) -> np.ndarray:
        with contextlib.suppress(IndexError):  # none left, perhaps because another thread took it
            while True:
                block = self._free.pop()
                if len(block) == size:  # others are of a task no longer drawn, or of a last batch
                    return block
        return np.empty(size, "uint8")

    def _keep(self, block: np.ndarray) -> None:
        if len(self._free) < KEPT:
            self._free.append(block)
