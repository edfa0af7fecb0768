"""Charts of the studies: numbers in, Figure out."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from nam.results import KINDS, POLICIES, VOTE

COLORS = dict(zip(POLICIES, ("tab:blue", "tab:orange"), strict=True))
PUBLISHED = "0.45"  # grey


def _are_numbers(values: Iterable[str]) -> bool:
    """Whether they have an order, and a line through them a meaning."""
    return all(value.replace(".", "").isdigit() for value in values)


def _rotate(axis) -> None:
    axis.tick_params(axis="x", rotation=40, labelsize=8)
    for label in axis.get_xticklabels():
        label.set_horizontalalignment("right")


def sweep(table: pd.DataFrame, label: str) -> Figure:
    """Accuracy by value: the vote, one sampled gaze, and the deterministic one, for each policy beside the published.

    Args:
        table: As `Results.table` gives it.
        label: What varies.
    """
    values = list(dict.fromkeys(table["value"]))
    ordered = _are_numbers(values)
    places = {value: float(value) if ordered else i for i, value in enumerate(values)}
    figure = Figure(figsize=(11, 4.3), layout="constrained")
    axes = dict(zip(KINDS, figure.subplots(1, 3, sharey=True), strict=True))

    def show(kind: str, policy: str, column: str, error: str | None = None, **style) -> None:
        rows = table[(table["policy"] == policy) & table[column].notna()]
        bars = None if error is None else 100 * rows[error]
        axes[kind].errorbar(rows["value"].map(places), 100 * rows[column], bars, capsize=3, **style)

    for kind, title in KINDS.items():
        for policy, color in COLORS.items():
            style = {"marker": "o", "linestyle": "-" if ordered else "none", "color": color, "label": policy}
            show(kind, policy, kind, "interval" if kind == "vote" else None, **style)
        axes[kind].set(xlabel=label, title=title)
        if not ordered or len(values) == 1:
            axes[kind].set_xticks([*places.values()], values)
            if not ordered:
                _rotate(axes[kind])
        elif not any(place % 1 for place in places.values()):
            axes[kind].locator_params(axis="x", integer=True)
        axes[kind].grid(alpha=0.3)
    theirs = "published (frozen, 10 copies):"  # without lines: of other images, and most of them of other epochs
    for kind, column, mark, name in (
        ("vote", "published_then", "x", f"{theirs} epoch {table['epochs'].iloc[0]:.0f}, validation"),
        ("vote", "published", "D", f"{theirs} last epoch, test or as in its tables"),
        ("sampled", "published_sampled", "s", f"{theirs} last epoch, training images"),
    ):
        if table[column].notna().any():
            style = {"marker": mark, "linestyle": "none", "markerfacecolor": "none", "color": PUBLISHED}
            show(kind, "frozen", column, **style, label=name)
    axes["vote"].set_ylabel("accuracy (ours: validation), %")
    entries = {}
    for axis in axes.values():
        entries |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    # Below, where it hides no point.
    figure.legend(entries.values(), entries, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def curves(groups: Mapping[str, Mapping[str, Sequence[pd.DataFrame]]], label: str = "") -> Figure:
    """Votes on validation against epochs and against minutes: a column for each group of runs.

    A line for each value, the mean of its runs, and where there are several a band from the lowest to the highest.

    Args:
        groups: By title, by the colour's label: `Results.curve`s, or frames with the same index, the `VOTE` of
            `nam.results` and, where they are known, `minutes`.
        label: What the colours' labels are.
    """
    names = list(dict.fromkeys(name for group in groups.values() for name, curves in group.items() if len(curves)))
    steps = colormaps["viridis"](np.linspace(0, 0.92, len(names)))
    colors = dict(zip(names, steps if _are_numbers(names) else cycle(colormaps["tab10"].colors), strict=False))
    figure = Figure(figsize=(4 * len(groups) + 1.6, 6.4), layout="constrained")
    axes = figure.subplots(2, len(groups), sharey=True, squeeze=False)
    shown = {}
    for (title, group), (by_epoch, by_time) in zip(groups.items(), axes.T, strict=True):
        for name, runs in ((name, pd.concat(runs).groupby(level=0)) for name, runs in group.items() if runs):
            mean, lowest, highest = runs.mean(), 100 * runs[VOTE].min(), 100 * runs[VOTE].max()
            for axis, x in ((by_epoch, mean.index), (by_time, mean.get("minutes"))):
                if x is not None:
                    (shown[name],) = axis.plot(x, 100 * mean[VOTE], color=colors[name])
                    axis.fill_between(x, lowest, highest, color=colors[name], alpha=0.25, linewidth=0)
        by_epoch.set(title=title, xlabel="epoch")
        by_time.set_xlabel(f"minutes on a {'GPU' if title.startswith('published') else 'CPU'}")
        for axis in (by_epoch, by_time):
            axis.grid(alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel("vote of 10 on validation, %")
    figure.legend([shown[name] for name in names], names, title=label, loc="outside right upper", fontsize=8)
    return figure


def times(ours: Mapping[str, float], published: Mapping[str, float], label: str) -> Figure:
    """Time of an epoch by value, ours and published, each relative to that at the first value which both have."""
    figure = Figure(figsize=(5.5, 3.8), layout="constrained")
    axis = figure.subplots()
    common = next((value for value in ours if value in published), next(iter(ours)))
    ordered = _are_numbers([*ours, *published])
    for name, series, mark, line in (("nam, timed in turns", ours, "o", "-"), ("published", published, "x", "--")):
        if common in series:
            style = {"marker": mark, "linestyle": line if ordered else "none"}
            style["color"] = PUBLISHED if name == "published" else "tab:green"
            x = sorted(series, key=float) if ordered else list(series)
            places = [float(value) for value in x] if ordered else x
            axis.plot(places, [series[value] / series[common] for value in x], label=name, **style)
    axis.set(xlabel=label, ylabel=f"relative to {common}", title="time of an epoch")
    axis.margins(0.1)
    axis.set_ylim(0, 1.08 * axis.get_ylim()[1])
    if not ordered:
        _rotate(axis)
    elif "." not in "".join(ours):
        axis.locator_params(axis="x", integer=True)
    axis.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure


def summary(points: pd.DataFrame) -> Figure:
    """Every config's accuracy against its time.

    Args:
        points: `name`, `who` (`"published"` or a policy), `minutes`, `accuracy`.
    """
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axis = figure.subplots()
    for (who, color), mark in zip({**COLORS, "published": PUBLISHED}.items(), "oo^", strict=True):
        rows = points[points["who"] == who].sort_values("accuracy")
        axis.scatter(rows["minutes"], 100 * rows["accuracy"], color=color, marker=mark, s=28, alpha=0.8, label=who)
        for row in pd.concat([rows.head(1), rows.tail(2)]).drop_duplicates().itertuples():
            offset = (5, -9 if who == "frozen" else 3)  # where a learned policy ends alike, both names can be read
            at = (row.minutes, 100 * row.accuracy)
            axis.annotate(row.name, at, offset, textcoords="offset points", fontsize=8, color=color)
    axis.set(xlabel="minutes of training: ours on a CPU, published on a GPU", xscale="log")
    axis.set_ylabel("vote of 10 gazes after the last epoch, %")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.grid(alpha=0.3, which="both")
    axis.legend(fontsize=8)
    return figure


def size(table: pd.DataFrame, untrained: Mapping[str, str]) -> Figure:
    """Error, time and work per image against the side of the canvas, a line for each kind of model.

    Args:
        table: As `Results.comparison` gives it; a label is the kind, a comma, and the canvas.
        untrained: Why some rows have no error, by label.
    """
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    panels = {
        "test error, %": lambda rows: 100 * (1 - rows["deterministic"]),
        "ms per image, in batches of 32": lambda rows: rows["milliseconds_32"],
        "multiply-adds per image": lambda rows: rows["multiply_adds"],
        "pixels touched per image": lambda rows: rows["pixels_touched"],
    }
    axes = figure.subplots(1, len(panels))
    kinds = table["label"].str.rsplit(",", n=1).str[0]
    for axis, (label, values) in zip(axes, panels.items(), strict=True):
        for kind, rows in table.groupby(kinds, sort=False):
            axis.plot(rows["canvas"], values(rows), marker="o", label=kind)
        axis.set(xlabel="side of the canvas, pixels", title=label, xscale="log")
        if label != "test error, %" and values(table).notna().any():
            axis.set_yscale("log")
        axis.set_xticks(sorted(set(table["canvas"])), [f"{side:.0f}" for side in sorted(set(table["canvas"]))])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylim(0, None)
    for label, reason in untrained.items():
        axes[0].plot([], [], linestyle="none", label=f"{label} untrained: {reason}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return figure


def lines(series: Mapping[str, Sequence[float]], x: str, y: str, log: bool = False) -> Figure:
    """A line for each series, against 1, 2, 3 …"""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axis = figure.subplots()
    for name, values in series.items():
        axis.plot(range(1, len(values) + 1), values, label=name)
    axis.set(xlabel=x, ylabel=y, yscale="log" if log else "linear")
    axis.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def spread(measured: Mapping[float, Sequence[float]], x: str, y: str) -> Figure:
    """What was measured at each value, both axes logarithmic, beside the line that falls with the square root."""
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axis = figure.subplots()
    for value, found in measured.items():
        axis.plot([value] * len(found), found, "o", color="tab:blue", alpha=0.6)
    values = np.array(list(measured), float)
    line = np.mean(measured[next(iter(measured))]) * np.sqrt(values[0] / values)
    axis.plot(values, line, ":", color=PUBLISHED, label="falls with the square root")
    axis.set(xlabel=x, ylabel=y, xscale="log", yscale="log")
    axis.set_xticks(values, [f"{value:g}" for value in values])
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return figure
