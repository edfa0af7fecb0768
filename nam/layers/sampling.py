"""Affine grids and bilinear sampling (Jaderberg et al. 2015), differentiable in the image and in the transformation."""

from keras import ops

BORDERS = ("zero", "edge")


def affine_grid(theta, size: tuple[int, int], image_size: tuple[int, int]):
    """Where the pixels of a window lie in an image: (xˢ, yˢ) = A (xᵍ, yᵍ, 1) (Ablavatski et al. 2017, equation 2).

    In both, -1 and +1 are the outer edges, and pixel i of W has its centre at (2 i + 1) / W - 1. So θ₁ = w / W, θ₃ =
    (2 x + w) / W - 1 frames the columns x to x + w of an image exactly.

    Args:
        theta: `(batch, 6)`: A = ((θ₁, θ₂, θ₃), (θ₄, θ₅, θ₆)).
        size: Height and width of the window, pixels.
        image_size: Those of the image.

    Returns:
        `(x, y)`, each `(batch, height, width)` float32: columns and rows of the image, 0 the centre of the first pixel.
    """
    theta = ops.cast(theta, "float32")
    (height, width), (rows, columns) = size, image_size
    # Pixels from the window's centre: halves, which float32 holds exactly, so the identity is exact.
    x = ops.reshape(ops.arange(width, dtype="float32") - (width - 1) / 2, (1, 1, -1))
    y = ops.reshape(ops.arange(height, dtype="float32") - (height - 1) / 2, (1, -1, 1))
    t = [ops.reshape(theta[:, k], (-1, 1, 1)) for k in range(6)]

    def pixels(along_x, along_y, shift, length):
        return (length / width) * along_x * x + (length / height) * along_y * y + (shift * length + length - 1) / 2

    return pixels(t[0], t[1], t[2], columns), pixels(t[3], t[4], t[5], rows)


def bilinear(images, x, y, border: str = "zero"):
    """Values of images between their pixels, X = Σ I max(0, 1 - |x - m|) max(0, 1 - |y - n|) (equation 3).

    Args:
        images: `(batch, rows, columns, channels)`, float.
        x: Columns `(batch, height, width)`, 0 the centre of the first pixel.
        y: Rows, alike.
        border: What lies beyond the image: `"zero"`, or its `"edge"`, which also stops the gradient there.

    Returns:
        `(batch, height, width, channels)` in the images' type.
    """
    if border not in BORDERS:
        raise ValueError(f"border must be one of {', '.join(BORDERS)}. Received: border={border!r}")
    rows, columns, channels = images.shape[1:]
    if border == "edge":
        x, y = ops.clip(x, 0.0, columns - 1.0), ops.clip(y, 0.0, rows - 1.0)
    left, top = ops.floor(x), ops.floor(y)
    pixels = ops.reshape(images, (-1, channels))
    first = ops.reshape(ops.arange(ops.shape(images)[0], dtype="int32") * (rows * columns), (-1, 1, 1))
    found = 0.0
    for row, weight_y in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, weight_x in ((left, 1 - (x - left)), (left + 1, x - left)):
            inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
            weight = ops.where(inside, weight_x * weight_y, 0.0)
            # Clipped before they become integers: a coordinate far away would not fit.
            m = ops.cast(ops.clip(column, 0, columns - 1), "int32")
            n = ops.cast(ops.clip(row, 0, rows - 1), "int32")
            found += ops.take(pixels, first + n * columns + m, axis=0) * ops.cast(weight, images.dtype)[..., None]
    return found
