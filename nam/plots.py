"""Pictures: data in, a matplotlib Figure out."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle


def gaze(images, locations, window: int, titles: Sequence[str] = ()) -> Figure:
    """Images with the path of the gaze: a numbered box per look, dark for the first and bright for the last.

    Args:
        images: `(n, height, width, channels)` uint8.
        locations: `(n, looks, 2)` as `(x, y)` in [-1, 1].
        window: Side of the finest patch, pixels.
        titles: One per image.
    """
    n, height, width, channels = images.shape
    looks = locations.shape[1]
    colors = colormaps["plasma"](np.linspace(0.25, 0.95, looks))
    columns = min(n, 4)
    rows = -(-n // columns)
    figure = Figure(figsize=(3.0 * columns, 3.25 * rows), layout="constrained")
    axes = np.ravel(figure.subplots(rows, columns))
    for i, axis in enumerate(axes):
        axis.set_axis_off()
        if i >= n:
            continue
        image = images[i]
        axis.imshow(
            image if channels == 3 else image[..., 0], cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0)
        )
        centers = (locations[i] + 1) / 2 * [width, height]
        axis.plot(*centers.T, color="white", linewidth=1, alpha=0.6)
        for look, (x, y) in enumerate(centers):
            corner = np.floor([x - window / 2 + 0.5, y - window / 2 + 0.5])  # whole pixels, as the sensor reads
            axis.add_patch(Rectangle(corner, window, window, fill=False, color=colors[look], linewidth=1.5))
            axis.text(
                *corner,
                str(look + 1),
                color="black",
                fontsize=7,
                va="bottom",
                bbox={"facecolor": colors[look], "pad": 1, "linewidth": 0},
            )
        axis.set_xlim(-0.5, width + 0.5)
        axis.set_ylim(height + 0.5, -0.5)
        if i < len(titles):
            axis.set_title(titles[i], fontsize=10)
    return figure


def pixels(figure: Figure, dpi: int = 80) -> np.ndarray:
    """The figure as `(height, width, 3)` uint8."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
