"""Charts of the studies: numbers in, Figure out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from nam.results import KINDS, POLICIES, VOTE

COLORS = dict(zip(POLICIES, ("tab:blue", "tab:orange"), strict=True))
PUBLISHED = "0.45"  # grey


def sweep(table: pd.DataFrame, label: str) -> Figure:
    """Accuracy by value: the vote, one sampled gaze, and the deterministic one, for each policy beside the published.

    Args:
        table: As `Results.table` gives it.
        label: What varies.
    """
    values = list(dict.fromkeys(table["value"]))
    ordered = all(value.replace(".", "").isdigit() for value in values)  # words have no order, and no line
    places = {value: float(value) if ordered else i for i, value in enumerate(values)}
    figure = Figure(figsize=(11, 4.3), layout="constrained")
    axes = dict(zip(KINDS, figure.subplots(1, 3, sharey=True), strict=True))

    def show(kind: str, policy: str, column: str, error: str | None = None, **style) -> None:
        rows = table[(table["policy"] == policy) & table[column].notna()]
        bars = None if error is None else 100 * rows[error]
        style["linestyle"] = style.get("linestyle", "-") if ordered else "none"
        axes[kind].errorbar(rows["value"].map(places), 100 * rows[column], bars, capsize=3, **style)

    for kind, title in KINDS.items():
        for policy, color in COLORS.items():
            show(kind, policy, kind, "interval" if kind == "vote" else None, marker="o", color=color, label=policy)
        axes[kind].set(xlabel=label, title=title)
        if not ordered or len(values) == 1:
            axes[kind].set_xticks(
                [*places.values()],
                values,
                rotation=0 if ordered else 40,
                ha="center" if ordered else "right",
                fontsize=8,
            )
        elif not any(place % 1 for place in places.values()):
            axes[kind].locator_params(axis="x", integer=True)
        axes[kind].grid(alpha=0.3)
    theirs = "published (frozen, 10 copies):"
    for kind, column, mark, line, name in (
        ("vote", "published_then", "x", ":", f"{theirs} epoch {table['epochs'].iloc[0]:.0f}, validation"),
        ("vote", "published", "+", "--", f"{theirs} last epoch, test or as in its tables"),
        ("sampled", "published_sampled", "1", "-.", f"{theirs} last epoch, training images"),
    ):
        if table[column].notna().any():
            show(kind, "frozen", column, marker=mark, linestyle=line, color=PUBLISHED, label=name)
    axes["vote"].set_ylabel("accuracy (ours: validation), %")
    entries = {}
    for axis in axes.values():
        entries |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    # Below, where it hides no point.
    figure.legend(entries.values(), entries, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def curves(groups: Mapping[str, Mapping[str, Sequence[pd.DataFrame]]], label: str = "") -> Figure:
    """Votes on validation against epochs and against minutes: a column for each group of runs, a line for each run.

    Args:
        groups: By title, by the colour's label: `Results.curve`s, or frames with the same index, the `VOTE` of
            `nam.results` and, where they are known, `minutes`.
        label: What the colours' labels are.
    """
    names = list(dict.fromkeys(name for group in groups.values() for name, curves in group.items() if len(curves)))
    colors = dict(zip(names, colormaps["viridis"](np.linspace(0, 0.92, len(names))), strict=True))
    figure = Figure(figsize=(4 * len(groups) + 1.6, 6.4), layout="constrained")
    axes = figure.subplots(2, len(groups), sharey=True, squeeze=False)
    shown = {}
    for (title, group), (by_epoch, by_time) in zip(groups.items(), axes.T, strict=True):
        for name, curve in ((name, curve) for name, curves in group.items() for curve in curves):
            accuracy, color = 100 * curve[VOTE], colors[name]
            (shown[name],) = by_epoch.plot(curve.index, accuracy, color=color)
            if "minutes" in curve:
                by_time.plot(curve["minutes"], accuracy, color=color)
        by_epoch.set(title=title, xlabel="epoch")
        by_time.set_xlabel(f"minutes of one {'GPU' if title.startswith('published') else 'core'}")
        for axis in (by_epoch, by_time):
            axis.grid(alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel("vote of 10 on validation, %")
    figure.legend([shown[name] for name in names], names, title=label, loc="outside right upper", fontsize=8)
    return figure


def times(ours: Mapping[Any, float], published: Mapping[Any, float], label: str) -> Figure:
    """Time of an epoch by value, ours and published, each in units of that at the first value which both have."""
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axis = figure.subplots()
    common = next((value for value in ours if value in published), next(iter(ours)))
    ordered = not any(isinstance(value, str) for value in ours)  # words have no line
    for name, series, mark, line in (("nam, measured in turns", ours, "o", "-"), ("published", published, "x", "--")):
        if series:
            unit = series.get(common, next(iter(series.values())))
            style = {"marker": mark, "linestyle": line if ordered else "none"}
            style["color"] = PUBLISHED if name == "published" else "tab:green"
            axis.plot(list(series), [seconds / unit for seconds in series.values()], label=name, **style)
    axis.set(xlabel=label, ylabel=f"time of an epoch, in units of that at {common if not ordered else f'{common:g}'}")
    axis.margins(0.1)
    axis.set_ylim(0, 1.08 * axis.get_ylim()[1])
    if all(isinstance(value, float | int) and value >= 1 for value in ours):
        axis.locator_params(axis="x", integer=True)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return figure


def summary(points: pd.DataFrame) -> Figure:
    """Every config's accuracy against its time.

    Args:
        points: `study`, `who` (a mark each), `minutes`, `accuracy`.
    """
    figure = Figure(figsize=(10, 5.5), layout="constrained")
    axis = figure.subplots()
    studies, who = (list(dict.fromkeys(points[name])) for name in ("study", "who"))
    colors = dict(zip(studies, colormaps["tab10"].colors, strict=False))
    marks = dict(zip(who, "o^xs", strict=False))
    for (study, by), rows in points.groupby(["study", "who"], sort=False):
        axis.scatter(rows["minutes"], 100 * rows["accuracy"], color=colors[study], marker=marks[by], s=28, alpha=0.8)
    for name in studies:
        axis.scatter([], [], color=colors[name], marker="s", label=name)
    for name in who:
        axis.scatter([], [], color="black", marker=marks[name], label=name)
    axis.set(xlabel="minutes of training: ours of one core, published of a GPU", xscale="log")
    axis.set_ylabel("vote of 10 gazes after the last epoch, %")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.grid(alpha=0.3, which="both")
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def size(table: pd.DataFrame, left_out: Mapping[str, str]) -> Figure:
    """Error, time and work per image against the side of the canvas, a line for each kind of model.

    Args:
        table: As `Results.comparison` gives it; a label is the kind, a comma, and the canvas.
        left_out: What there is no row of, by label: why.
    """
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    panels = {
        "test error, %": lambda rows: 100 * (1 - rows["deterministic"]),
        "ms per image, in batches of 128": lambda rows: rows["milliseconds_128"],
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
    for label, reason in left_out.items():
        axes[0].plot([], [], linestyle="none", label=f"no {label}: {reason}")
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
