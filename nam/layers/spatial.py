"""The spatial transformer: any parallelogram of an image, read as a small window."""

import keras

from nam.layers.sampling import BORDERS, affine_grid, bilinear


@keras.saving.register_keras_serializable(package="nam")
class SpatialTransformer(keras.layers.Layer):
    """Reads the window that an affine transformation frames (Jaderberg et al. 2015; Ablavatski et al. 2017, 3.2).

    Fully differentiable, in the image and in the transformation. The identity reads the whole image, and where the
    window has its size, exactly. A window much smaller than what it frames skips pixels, as four around each point are
    read.

    Args:
        size: Side of the window, pixels.
        border: What lies beyond the image: `"zero"` or its `"edge"`.

    Call arguments:
        images: `(batch, height, width, channels)`, float.
        theta: Transformations `(batch, 6)`, see `affine_grid`.

    Returns:
        Windows `(batch, size, size, channels)`.
    """

    def __init__(self, size: int, border: str = "zero", **kwargs):
        # The grid stays in float32 whatever the type to compute in: float16 cannot tell pixels apart.
        super().__init__(autocast=False, **kwargs)
        if size < 1 or border not in BORDERS:
            raise ValueError(
                f"size must be at least 1, border one of {', '.join(BORDERS)}. Received: size={size}, border={border!r}"
            )
        self.size = size
        self.border = border
        self.built = True

    def call(self, images, theta):
        x, y = affine_grid(theta, (self.size, self.size), tuple(images.shape[1:3]))
        return bilinear(images, x, y, self.border)

    def compute_output_shape(self, images_shape, theta_shape):
        return (images_shape[0], self.size, self.size, images_shape[-1])

    def get_config(self):
        return {**super().get_config(), "size": self.size, "border": self.border}
