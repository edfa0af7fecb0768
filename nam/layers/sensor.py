"""The glimpse sensor: square patches of an image around a location, fine in the middle and coarse around it."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
from keras import ops

from nam.config import MAX_FACTOR, check_choices

# A table costs about this many nanoseconds per pixel of the image, a window one per pixel of its own.
TABLE_COST = 4
BLOCK = 4  # pixels that are summed at once to make it


class View(NamedTuple):
    """Images made ready for many reads: see `GlimpseSensor.prepare`."""

    pixels: object  # (batch, rows · columns, channels): a summed-area table, or the pixels themselves
    size: tuple[int, int]  # height and width of an image
    grid: tuple[int, int]  # rows and columns of `pixels`
    white: int  # level of a white pixel: 255, or 65535 for images that came as floats
    table: bool


@keras.saving.register_keras_serializable(package="nam")
class GlimpseSensor(keras.layers.Layer):
    """Retina-like patches around a location (ρ of Mnih et al. 2014, section 2).

    Patch s is a window of `bandwidth · scale_factors[s]` pixels a side, centred on the location as nearly as whole
    pixels allow, and averaged over cells of `scale_factors[s]`² pixels. Outside the image is black.

    The means are exact: they are differences of a summed-area table in whole numbers (Crow 1984), or sums over
    gathered windows where that is faster. Both give the same bits, so the choice, made from static shapes, is only a
    matter of speed.

    Args:
        bandwidth: Side of each patch, pixels.
        scales: Number of patches.
        scale_factors: Pixels of the image per pixel of the patch, one per scale: increasing integers from 1 to 181.
            `None` stands for 1, 2, 4, 8, …
        padding: `"zero"`, or `"noise"`: as `tf.image.extract_glimpse` and TensorFlow 1's resizing did for the published
            study, outside the image is noise, uniform in [0, 1], and a cell is its first pixel, not its mean. There
            all images of a batch had the same noise; here each has its own.
        seed: Integer seed of that noise.

    Call arguments:
        images: `(batch, height, width, channels)`, uint8 or float in [0, 1] (what lies beyond is clipped); height and
            width are static, and batch times its pixels is well below 2³¹.
        locations: `(batch, 2)`, each `(x, y)` in [-1, 1], where ±1 are the outer edges of the image.

    Returns:
        `(batch, bandwidth, bandwidth, scales · channels)` in [0, 1], all channels of the finest patch first.

    Raises:
        ValueError: If `scale_factors` are not as many as `scales`, not increasing, or out of their limits.
    """

    def __init__(
        self,
        bandwidth: int,
        scales: int,
        scale_factors: Sequence[int] | None = None,
        padding: str = "zero",
        seed: int | None = None,
        **kwargs,
    ):
        # Keras would cast float images to the compute type, and float16 holds too few levels.
        super().__init__(autocast=False, **kwargs)
        factors = [2**s for s in range(scales)] if scale_factors is None else [int(f) for f in scale_factors]
        if bandwidth < 1 or scales < 1:
            raise ValueError(
                f"bandwidth and scales must be at least 1. Received: bandwidth={bandwidth}, scales={scales}"
            )
        if len(factors) != scales or sorted({*factors}) != factors or factors[0] < 1 or factors[-1] > MAX_FACTOR:
            raise ValueError(
                f"scale_factors must be {scales} increasing integers from 1 to {MAX_FACTOR}. "
                f"Received: scale_factors={factors}"
            )
        check_choices(padding=padding)
        self.bandwidth = bandwidth
        self.scales = scales
        self.scale_factors = factors
        self.padding = padding
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if padding == "noise" else None
        self.built = True  # no weights; with a layer not built, JAX's `predict_on_batch` runs uncompiled

    @property
    def window(self) -> int:
        """Side of the window of the finest patch, pixels."""
        return self.bandwidth * self.scale_factors[0]

    def call(self, images, locations):
        return self.read(self.prepare(images), locations[:, None])[:, 0]

    def prepare(self, images, reads: int = 1) -> View:
        """Makes `images` ready for `reads` reads of each, once for all looks and copies."""
        if len(images.shape) != 4:
            raise ValueError(f"images are (batch, height, width, channels). Received: images.shape={images.shape}")
        size = height, width = tuple(images.shape[1:3])
        if height is None or width is None:
            raise ValueError(
                "images need a static height and width (of another size than the first ones, call the model's "
                f"make_predict_function or make_test_function with force=True before). Received: shape={images.shape}"
            )
        table = self._is_worth_a_table(height, width, reads)
        dtype = keras.backend.standardize_dtype(images.dtype)
        if dtype != "uint8" and "float" not in dtype:
            raise ValueError(f"images must be uint8, or float in [0, 1]. Received: images.dtype={dtype}")
        white = 255 if dtype == "uint8" else 65535
        if table:
            # One row and column of zeros in front; sums that wrap around cancel in the differences.
            levels = ops.pad(_levels(images, white), ((0, 0), (1, 0), (1, 0), (0, 0)))
            images = _cumsum(_cumsum(levels, axis=2), axis=1)
            height, width = images.shape[1:3]
        return View(ops.reshape(images, (-1, height * width, images.shape[-1])), size, (height, width), white, table)

    def pixels_touched(self, height: int, width: int, reads: int) -> int:
        """Pixels of a `height` × `width` image that `reads` reads of it touch, each as often as one does.

        With a table that is the whole image once, and the corners of the cells.
        """
        if self._is_worth_a_table(height, width, reads):
            return height * width + reads * self.scales * (self.bandwidth + 1) ** 2
        return reads * self._window_pixels

    @property
    def _window_pixels(self) -> int:
        """Pixels of the image that one read is made of."""
        cells = [1 if self.padding == "noise" else f * f for f in self.scale_factors]
        return self.bandwidth**2 * sum(cells)

    def _is_worth_a_table(self, height: int, width: int, reads: int) -> bool:
        return self.padding == "zero" and TABLE_COST * height * width <= reads * self._window_pixels

    def read(self, view: View, locations):
        """Patches at `locations` `(batch, copies, 2)`: `(batch, copies, bandwidth, bandwidth, scales · channels)`."""
        x, y = locations[..., 0:1], locations[..., 1:2]
        height, width = view.size
        edges_x = [self._edges(x, width, f) for f in self.scale_factors]
        edges_y = [self._edges(y, height, f) for f in self.scale_factors]
        if self.padding == "noise":
            patches = self._sample_pixels(view, edges_x, edges_y)
        else:
            read = self._read_table if view.table else self._read_windows
            sums = read(view, edges_x, edges_y)  # (batch, copies, scales, bandwidth, bandwidth, channels)
            # Multiplied, not divided: graph optimizers turn a division by a constant into this, and change a bit.
            unit = [1.0 / (view.white * f * f) for f in self.scale_factors]
            patches = ops.cast(sums, "float32") * ops.reshape(ops.convert_to_tensor(unit, "float32"), (-1, 1, 1, 1))
        patches = ops.transpose(patches, (0, 1, 3, 4, 2, 5))
        copies, channels = locations.shape[1], view.pixels.shape[-1]
        shape = (-1, copies, self.bandwidth, self.bandwidth, self.scales * channels)
        return ops.cast(ops.reshape(patches, shape), self.compute_dtype)

    def _edges(self, center, size: int, factor: int):
        """Pixel coordinates of the cell edges along one axis, `(batch, copies, bandwidth + 1)`."""
        corner = ops.floor((ops.cast(center, "float32") + 1.0) * (size / 2) - self.bandwidth * factor / 2 + 0.5)
        return ops.cast(corner, "int32") + factor * ops.arange(self.bandwidth + 1, dtype="int32")

    def _read_table(self, view: View, edges_x, edges_y):
        # Clipping the edges to the image leaves nothing of a cell beyond it: that is the black outside.
        height, width = view.size
        x, y = ops.clip(ops.stack(edges_x, axis=2), 0, width), ops.clip(ops.stack(edges_y, axis=2), 0, height)
        corners = _take(view, y, x)
        rows = corners[..., 1:, :, :] - corners[..., :-1, :, :]
        return rows[..., 1:, :] - rows[..., :-1, :]

    def _read_windows(self, view: View, edges_x, edges_y):
        b = self.bandwidth
        sums = []
        for factor, edge_x, edge_y in zip(self.scale_factors, edges_x, edges_y, strict=True):
            steps = ops.arange(b * factor, dtype="int32")
            levels, inside = _pixels(view, edge_y[..., :1] + steps, edge_x[..., :1] + steps)
            levels = ops.where(inside, levels, 0)
            cells = ops.reshape(levels, (-1, edge_x.shape[1], b, factor, b, factor, view.pixels.shape[-1]))
            sums.append(ops.sum(cells, axis=(3, 5)))
        return ops.stack(sums, axis=2)

    def _sample_pixels(self, view: View, edges_x, edges_y):
        x, y = (ops.stack(edges, axis=2)[..., :-1] for edges in (edges_x, edges_y))
        levels, inside = _pixels(view, y, x)
        noise = keras.random.uniform(ops.shape(levels), seed=self.seed_generator)
        return ops.where(inside, ops.cast(levels, "float32") / view.white, noise)

    def compute_output_shape(self, images_shape, locations_shape):
        return (images_shape[0], self.bandwidth, self.bandwidth, self.scales * images_shape[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "bandwidth": self.bandwidth,
            "scales": self.scales,
            "scale_factors": self.scale_factors,
            "padding": self.padding,
            "seed": self.seed,
        }


def _levels(pixels, white: int):
    """Whole numbers from 0 to `white`: a float32 sum over a large image would lose a pixel's value."""
    if white == 255:
        return ops.cast(pixels, "int32")
    return ops.cast(ops.round(ops.clip(ops.cast(pixels, "float32"), 0.0, 1.0) * white), "int32")


def _cumsum(levels, axis: int):
    """Sums along an axis, which grows to a whole number of blocks: XLA's own takes length² additions on a processor.

    So only a block is summed by it, and the sums of blocks again in blocks. The sum of the blocks before is added to
    the first element of a block, not to the block's sums: what comes last is computed anew for every read, if XLA finds
    it cheap.
    """
    size = levels.shape[axis]
    if size <= BLOCK:
        return ops.cumsum(levels, axis=axis)
    blocks = -(-size // BLOCK)
    before, after = levels.shape[1:axis], levels.shape[axis + 1 :]
    levels = ops.pad(levels, [(0, blocks * BLOCK - size if a == axis else 0) for a in range(len(levels.shape))])
    levels = ops.reshape(levels, (-1, *before, blocks, BLOCK, *after))
    totals = ops.sum(levels, axis=axis + 1)
    earlier = _cumsum(totals, axis)[(*[slice(None)] * axis, slice(blocks))] - totals
    first = ops.reshape(ops.arange(BLOCK, dtype="int32") == 0, (BLOCK, *[1] * len(after)))
    levels += ops.where(first, ops.expand_dims(earlier, axis + 1), 0)
    return ops.reshape(ops.cumsum(levels, axis=axis + 1), (-1, *before, blocks * BLOCK, *after))


def _pixels(view: View, y, x):
    """Levels of a batch of images at every pair of `y` and `x`, and which of them are inside; see `_take`."""
    height, width = view.size
    nearest_y, nearest_x = ops.clip(y, 0, height - 1), ops.clip(x, 0, width - 1)
    inside = (y == nearest_y)[..., :, None] & (x == nearest_x)[..., None, :]
    return _levels(_take(view, nearest_y, nearest_x), view.white), inside[..., None]


def _take(view: View, y, x):
    """Values of a batch of grids at every pair of `y` and `x`, in one gather.

    `y` is `(batch, …, n)` and `x` is `(batch, …, m)`; returns `(batch, …, n, m, channels)`.
    """
    (rows, columns), channels = view.grid, view.pixels.shape[-1]
    cells = y[..., :, None] * columns + x[..., None, :]
    if keras.distribution.distribution() is not None:  # slower, but every device reads its own images only
        return ops.vectorized_map(lambda image: ops.take(image[0], image[1], axis=0), (view.pixels, cells))
    start = ops.arange(ops.shape(x)[0], dtype="int32") * (rows * columns)
    start = ops.reshape(start, (-1, *[1] * (len(cells.shape) - 1)))
    return ops.take(ops.reshape(view.pixels, (-1, channels)), start + cells, axis=0)
