"""Pictures: data in, a matplotlib Figure out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from PIL import Image

AS_IS = {"parse_math": False}  # a class's or a file's name may hold dollars
KINDS = {"deterministic": "deterministic", "sampled": "one sampled gaze", "vote": "vote"}


def gaze(images, locations, window: int, titles: Sequence[str] = ()) -> Figure:
    """Images with the path of the gaze: a numbered box per look, dark for the first and bright for the last.

    Args:
        images: `(n, height, width, channels)` uint8.
        locations: `(n, looks, 2)` as `(x, y)` in [-1, 1].
        window: Side of the finest patch, pixels.
        titles: One per image.
    """
    figure, axes = _grid(len(images), columns=4, side=3.0, title=0.25)
    for i, (axis, image) in enumerate(zip(axes, images, strict=False)):
        _show(axis, image)
        _path(axis, image, locations[i], window)
        if i < len(titles):
            axis.set_title(_short(titles[i]), fontsize=10, **AS_IS)
    return figure


def retina(image, locations, patches, factors: Sequence[int], titles: Sequence[str] = ()) -> Figure:
    """One image, a column for every look: where it went, what is known by then, and its patches, fine to coarse.

    Args:
        image: `(height, width, channels)` uint8.
        locations: `(looks, 2)` as `(x, y)` in [-1, 1].
        patches: `(looks, scales, bandwidth, bandwidth, channels)` in [0, 1].
        factors: Pixels of the image per pixel of the patch, of each scale.
        titles: One per look.
    """
    looks, scales, bandwidth = patches.shape[:3]
    figure = Figure(figsize=(0.5 + 1.5 * looks, 1.55 * (2 + scales)), layout="constrained")
    axes = figure.subplots(2 + scales, looks, squeeze=False)
    names = ["where it looks", "known by now"]
    names += [f"{bandwidth * f} pixels" + (f", {f}:1" if f > 1 else "") for f in factors]
    for look in range(looks):
        _show(axes[0, look], image)
        _path(axes[0, look], image, locations[: look + 1], bandwidth * factors[0], looks, boxes=1)
        for f in factors[1:]:
            corner = _corner(image, locations[look], bandwidth * f)
            box = Rectangle(corner, bandwidth * f, bandwidth * f, fill=False, color="white", linewidth=0.6, alpha=0.7)
            axes[0, look].add_patch(box)
        _show(axes[1, look], known(image.shape, locations[: look + 1], patches[: look + 1], factors))
        for scale in range(scales):
            _show(axes[2 + scale, look], _bytes(patches[look, scale]))
        if look < len(titles):
            axes[0, look].set_title(titles[look], fontsize=9, **AS_IS)
    for axis, name in zip(axes[:, 0], names, strict=True):
        # A switched-off axis has no label.
        axis.text(-0.06, 0.5, name, rotation=90, ha="right", va="center", fontsize=8, transform=axis.transAxes)
    return figure


def windows(images, thetas, texts: Sequence[Sequence[str]], titles: Sequence[str] = ()) -> Figure:
    """Images with the windows read in them: a parallelogram per look, dark for the first, bright for the last.

    Args:
        images: `(n, height, width, channels)` uint8.
        thetas: `(n, looks, 6)`, see `nam.layers.sampling.affine_grid`.
        texts: Of each image, what stands at each window; where that is nothing there is no window.
        titles: One per image.
    """
    figure, axes = _grid(len(images), columns=4, side=3.0, title=0.25)
    for i, (axis, image) in enumerate(zip(axes, images, strict=False)):
        _show(axis, image)
        for theta, text, (color, text_color) in zip(thetas[i], texts[i], _colors(thetas.shape[1]), strict=True):
            if not text:
                continue
            corners = _parallelogram(theta, image)
            axis.add_patch(Polygon(corners, fill=False, color=color, linewidth=1.5))
            _tag(axis, np.clip(corners[0], 0, image.shape[1::-1]), text, color, text_color)  # it may begin far outside
        if i < len(titles):
            axis.set_title(_short(titles[i]), fontsize=10, **AS_IS)
    return figure


def steps(images, thetas, patches, titles: Sequence[Sequence[str]]) -> Figure:
    """Images and what was read in them, a row each, a column for every look: its window, and below what it showed.

    Args:
        images: `(n, height, width, channels)` uint8.
        thetas: `(n, looks, 6)`.
        patches: `(n, looks, side, side, channels)` in [0, 1].
        titles: Of each image, one per look; where that is empty the look is left out.
    """
    n, looks = thetas.shape[:2]
    figure = Figure(figsize=(1.5 * looks, 3.2 * n), layout="constrained")
    axes = figure.subplots(2 * n, looks, squeeze=False)
    for i in range(n):
        for look, (color, _) in enumerate(_colors(looks)):
            above, below = axes[2 * i, look], axes[2 * i + 1, look]
            if not titles[i][look]:
                above.set_axis_off()
                below.set_axis_off()
                continue
            _show(above, images[i])
            above.add_patch(Polygon(_parallelogram(thetas[i, look], images[i]), fill=False, color=color, linewidth=1.5))
            _show(below, _bytes(np.clip(patches[i, look], 0, 1)))
            above.set_title(titles[i][look], fontsize=8, **AS_IS)
    return figure


def by_look(found: Mapping[str, Sequence[float]]) -> Figure:
    """Accuracy and overlap with the target after each look.

    Args:
        found: By look, shares of 1: where the target is known, `overlap` with it; where there is but one, accuracy of
            the answer `alone` and of the `mean` so far.
    """
    answers = {"alone": "its answer alone", "mean": "mean of the answers so far"}
    answers = {name: label for name, label in answers.items() if name in found}
    panels = bool(answers) + ("overlap" in found)
    figure = Figure(figsize=(4 * panels, 3.4), layout="constrained")
    axes = iter(figure.subplots(1, panels, squeeze=False)[0])
    if answers:
        axis = next(axes)
        for name, label in answers.items():
            axis.plot(range(1, len(found[name]) + 1), 100 * np.array(found[name]), marker=".", label=label)
        axis.legend(fontsize=8)
        axis.set(ylabel="accuracy, %")
    if "overlap" in found:
        axis = next(axes)
        axis.plot(range(1, len(found["overlap"]) + 1), found["overlap"], marker=".")
        axis.set(ylabel="overlap with the target (IoU)", ylim=(0, 1))
    for axis in figure.axes:
        axis.set(xlabel="look")
        axis.grid(alpha=0.3)
        axis.locator_params(axis="x", integer=True)
    return figure


def attention(images, maps, stride: float, offset: float, titles: Sequence[str] = ()) -> Figure:
    """Images with what is attended to, a row each: the mean of the heads, and each of them, from least to most.

    Under each map stands how many times an even share its least and its most are.

    Args:
        images: `(n, height, width, channels)` uint8.
        maps: `(n, heads, rows, columns)`, not negative.
        stride: Pixels from one place of a map to the next.
        offset: Pixels of the image before the map.
        titles: One per image.
    """
    n, heads, rows, columns = maps.shape
    figure = Figure(figsize=(1.6 * (heads + 2), 0.3 + 1.7 * n), layout="constrained")
    axes = figure.subplots(n, heads + 2, squeeze=False)
    names = ["image", "mean", *(f"head {head + 1}" for head in range(heads))]
    extent = (offset, offset + stride * columns, offset + stride * rows, offset)
    for i, line in enumerate(axes):
        for axis, attended in zip(line, (None, maps[i].mean(0), *maps[i]), strict=True):
            _show(axis, images[i])
            if attended is not None:
                axis.imshow(attended, cmap="inferno", alpha=0.65, extent=extent, interpolation="bilinear")
                least, most = (f"{share * attended.size:.1f}" for share in (attended.min(), attended.max()))
                text = f"{least} to {most} ×"
                axis.text(0.5, -0.02, text, fontsize=7, ha="center", va="top", transform=axis.transAxes)
        if i < len(titles):
            line[0].text(-0.06, 0.5, titles[i], rotation=90, ha="right", va="center", fontsize=8,
                         transform=line[0].transAxes, **AS_IS)  # fmt: skip
    for axis, name in zip(axes[0], names, strict=True):
        axis.set_title(name, fontsize=9)
    return figure


def sensors(image, location, seen: Mapping[str, tuple[np.ndarray, Sequence[int]]]) -> Figure:
    """One look at an image by several sensors, a row each: its windows, all that it tells, and its patches.

    Args:
        image: `(height, width, channels)` uint8.
        location: `(x, y)` in [-1, 1].
        seen: By title, patches `(scales, bandwidth, bandwidth, channels)` in [0, 1] and their factors.
    """
    columns = 2 + max(len(factors) for _, factors in seen.values())
    figure = Figure(figsize=(0.4 + 1.3 * columns, 1.5 * len(seen)), layout="constrained")
    rows = figure.subplots(len(seen), columns, squeeze=False)
    location = np.asarray(location)[None]
    for axes, (title, (patches, factors)) in zip(rows, seen.items(), strict=True):
        for axis in axes:
            axis.set_axis_off()
        _show(axes[0], image)
        for f in factors:
            side = patches.shape[1] * f
            axes[0].add_patch(Rectangle(_corner(image, location[0], side), side, side, fill=False, color="orange"))
        _show(axes[1], known(image.shape, location, patches[None], factors))
        for axis, patch, f in zip(axes[2:], patches, factors, strict=False):
            _show(axis, _bytes(patch))
            axis.set_title(f"{f}:1", fontsize=8)
        axes[0].text(-0.06, 0.5, title, rotation=90, ha="right", va="center", fontsize=8, transform=axes[0].transAxes)
    rows[0, 0].set_title("windows", fontsize=8)
    rows[0, 1].set_title("what it tells", fontsize=8)
    return figure


def known(shape: tuple[int, ...], locations, patches, factors: Sequence[int]) -> np.ndarray:
    """What some looks tell of an image of that shape, uint8: coarse patches under fine ones, black where none reached.

    Arguments as of `retina`.
    """
    looks, scales, bandwidth = patches.shape[:3]
    margin = bandwidth * factors[-1]  # a patch reaches at most so far beyond the image
    canvas = np.zeros((shape[0] + 2 * margin, shape[1] + 2 * margin, shape[2]), "uint8")
    for scale in reversed(range(scales)):
        for look in range(looks):
            block = _bytes(patches[look, scale]).repeat(factors[scale], 0).repeat(factors[scale], 1)
            x, y = _corner(canvas[: shape[0], : shape[1]], locations[look], len(block)).astype(int) + margin
            canvas[y : y + len(block), x : x + len(block)] = block
    return canvas[margin : margin + shape[0], margin : margin + shape[1]]


def frames(image, locations, patches, factors: Sequence[int], titles: Sequence[str] = ()) -> list[Figure]:
    """The gaze at one image as the pictures of a film, one per look: the way so far, and what is known by then.

    Arguments as of `retina`.
    """
    looks, _, bandwidth = patches.shape[:3]
    film = []
    for look in range(1, looks + 1):
        figure, axes = _grid(2, columns=2, side=4.0, title=0.4)
        _show(axes[0], image)
        _path(axes[0], image, locations[:look], bandwidth * factors[0], looks)
        _show(axes[1], known(image.shape, locations[:look], patches[:look], factors))
        axes[0].set_title(f"look {look} of {looks}", fontsize=11)
        axes[1].set_title(titles[look - 1] if titles else "known by now", fontsize=11, **AS_IS)
        film.append(figure)
    return film


def heat(groups: Sequence[Mapping[str, np.ndarray]], label: str = "") -> Figure:
    """Heat maps by title, a row (or more) for each group of them, each in its own colours.

    Args:
        groups: Maps `(rows, columns)`, looks per image in each part of the image.
        label: Of the whole.
    """
    columns = min(max(map(len, groups)), 10)
    rows = [list(maps.items())[i : i + columns] for maps in groups for i in range(0, len(maps), columns)]
    figure = Figure(figsize=(1.5 * columns, 0.4 + 1.75 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, maps in zip(axes, rows, strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, (title, values) in zip(line, maps, strict=False):
            axis.imshow(values, cmap="inferno", norm=PowerNorm(0.5, vmin=0))  # else only the brightest part is seen
            axis.set_title(title, fontsize=9, **AS_IS)
    figure.suptitle(label, fontsize=11)
    return figure


def accuracy(found: Mapping[str, Any]) -> Figure:
    """Accuracy after each look, by number of votes, and of gazes that end early, from what `evaluate` found."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    by_look, by_votes, by_exit = figure.subplots(1, 3)
    looks, trained = found["looks"], found["looks"]["trained"]
    for kind, name in KINDS.items():
        name += f" of {found['votes']}" if kind == "vote" else ""
        by_look.plot(range(1, len(looks[kind]) + 1), 100 * np.array(looks[kind]), marker=".", label=name)
    by_look.axvline(trained, color="grey", linestyle=":", label="looks it was trained for")
    by_look.set(xlabel="look", ylabel="accuracy, %", title="after each look")
    by_look.legend(fontsize=8)
    by_votes.plot(range(1, found["votes"] + 1), 100 * np.array(found["vote_curve"]), marker=".")
    by_votes.set(xlabel="sampled gazes in the vote", ylabel="accuracy, %", title="vote")
    exits = found["early_exit"]
    by_exit.plot([e["looks"] for e in exits], [100 * e["accuracy"] for e in exits], marker=".")
    told = -np.inf
    for e in exits:
        if e["looks"] - told > 0.08 * trained:  # else their texts would overlap
            told = e["looks"]
            by_exit.annotate(f"{e['confidence']:g}", (told, 100 * e["accuracy"]), fontsize=8, xytext=(3, -9),
                             textcoords="offset points")  # fmt: skip
    by_exit.set(xlabel="looks per image", ylabel="accuracy, %", title="ended at a confidence of …")
    for axis in (by_look, by_votes, by_exit):
        axis.grid(alpha=0.3)
        axis.locator_params(axis="x", integer=True)
    return figure


def curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Accuracy and loss against epochs and against minutes.

    Args:
        history: By name, a value per epoch: `seconds`, and of `accuracy`, `loss`, `val_accuracy`,
            `val_sampled_accuracy`, `val_vote_accuracy`, `val_loss` what there is.
    """
    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots(2, 2, sharex="col", sharey="row")
    epochs = np.arange(1, len(history["seconds"]) + 1)
    minutes = np.cumsum(history["seconds"]) / 60
    gazes = "val_sampled_accuracy" in history
    panels = (
        ("accuracy, %", 100, {"accuracy": "training" + ", sampled" * gazes,
                              "val_accuracy": "validation" + ", deterministic" * gazes,
                              "val_sampled_accuracy": "validation, sampled", "val_vote_accuracy": "validation, vote"}),
        ("loss", 1, {"loss": "training (all parts)", "val_loss": "validation (classification)"}),
    )  # fmt: skip
    for row, (label, unit, names) in zip(axes, panels, strict=True):
        for axis, x in zip(row, (epochs, minutes), strict=True):
            for tag, name in names.items():
                if tag in history:
                    axis.plot(x, unit * np.array(history[tag]), marker=".", label=name)
            axis.grid(alpha=0.3)
        row[0].set_ylabel(label)
        row[0].legend(fontsize=8)
    axes[1, 0].set_xlabel("epoch")
    axes[1, 0].locator_params(axis="x", integer=True)
    axes[1, 1].set_xlabel("minutes")
    return figure


def pixels(figure: Figure, dpi: int = 80) -> np.ndarray:
    """The figure as `(height, width, 3)` uint8."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def animate(film: Sequence[Figure], path: Path) -> None:
    """Writes the figures as a GIF that repeats: 0.8 seconds each, 3 the last."""
    first, *others = [Image.fromarray(pixels(figure)) for figure in film]
    first.save(path, "GIF", save_all=True, append_images=others, loop=0, duration=[800] * len(others) + [3000])


def _grid(n: int, columns: int, side: float, title: float):
    """A figure of `n` squares of `side` inches, with room for titles."""
    columns = min(n, columns)
    rows = -(-n // columns)
    figure = Figure(figsize=(side * columns, (side + title) * rows), layout="constrained")
    axes = np.ravel(figure.subplots(rows, columns))
    for axis in axes:
        axis.set_axis_off()
    return figure, axes


def _short(title: str, most: int = 36) -> str:
    """A title as wide as its axis at most: what is left out lies in the middle."""
    return title if len(title) <= most else f"{title[: most // 2 - 1]} … {title[2 - most // 2 :]}"


def _show(axis, image) -> None:
    height, width, channels = image.shape
    axis.set_axis_off()
    image = image if channels == 3 else image[..., 0]
    axis.imshow(image, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0))
    axis.set_xlim(-0.5, width + 0.5)
    axis.set_ylim(height + 0.5, -0.5)


def _path(axis, image, locations, window: int, looks: int | None = None, boxes: int | None = None) -> None:
    """The first looks of `looks` (default: all of them), the last `boxes` (default: all) as numbered boxes.

    Numbers that would cover each other stand in a row.
    """
    height, width, _ = image.shape
    colors, tags, room = _colors(looks or len(locations)), [], np.array([0.045 * width, 0.06 * height])
    axis.plot(*((locations + 1) / 2 * [width, height]).T, color="white", linewidth=1, alpha=0.6)
    for look in range(len(locations))[-(boxes or len(locations)) :]:
        corner, (color, text_color) = _corner(image, locations[look], window), colors[look]
        axis.add_patch(Rectangle(corner, window, window, fill=False, color=color, linewidth=1.5))
        while corner[0] < width - room[0] and any((np.abs(corner - tag) < 0.99 * room).all() for tag in tags):
            corner = corner + room * [1, 0]
        tags.append(corner)
        _tag(axis, corner, str(look + 1), color, text_color)


def _tag(axis, corner, text: str, color, text_color: str) -> None:
    box = {"facecolor": color, "pad": 1, "linewidth": 0}
    axis.text(*corner, text, color=text_color, fontsize=7, va="bottom", bbox=box, **AS_IS)


def _colors(looks: int) -> list[tuple[np.ndarray, str]]:
    """A colour for each look, from dark to bright, and one for text on it."""
    colors = colormaps["plasma"](np.linspace(0.25, 0.95, looks))
    return [(color, "white" if np.dot(color[:3], (0.3, 0.6, 0.1)) < 0.5 else "black") for color in colors]


def _parallelogram(theta, image) -> np.ndarray:
    """Corners `(4, 2)` of a window on an image, pixels, from the upper left one on."""
    corners = np.array([(-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)]) @ np.reshape(theta, (2, 3)).T
    return (corners + 1) / 2 * image.shape[1::-1]


def _corner(image, location, side: int) -> np.ndarray:
    """Upper left corner of a window, whole pixels, as the sensor reads it."""
    height, width = image.shape[:2]
    return np.floor((np.asarray(location) + 1) / 2 * [width, height] - side / 2 + 0.5)


def _bytes(patch) -> np.ndarray:
    return np.rint(255 * np.asarray(patch, "float64")).astype("uint8")
