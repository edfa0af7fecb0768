"""Charts of the studies: numbers in, Figure out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

POLICIES = {"frozen": "tab:blue", "learned": "tab:orange"}
PUBLISHED = "0.45"  # grey


def sweep(table: pd.DataFrame, label: str) -> Figure:
    """Accuracy by value: the vote, one sampled gaze, and the deterministic one, for each policy beside the published.

    Args:
        table: As `Results.table` gives it.
        label: What varies.
    """
    values = list(dict.fromkeys(table["value"]))
    line = "-" if all(value.replace(".", "").isdigit() for value in values) else "none"  # words have no order
    places = np.arange(len(values))
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    for axis, kind, title in zip(
        axes, ("vote", "sampled", "deterministic"), ("vote of 10 gazes", "one sampled gaze", "deterministic gaze"),
        strict=True,
    ):  # fmt: skip
        for policy, color in POLICIES.items():
            rows = table[table["policy"] == policy]
            error = 100 * rows["interval"] if kind == "vote" else None
            axis.errorbar(
                places, 100 * rows[kind], error, marker="o", linestyle=line, capsize=3, color=color, label=policy
            )
        if kind == "vote":
            rows = table[table["policy"] == "frozen"]
            then = f"published, epoch {table['epochs'].iloc[0]:.0f} (frozen)"
            style = {"color": PUBLISHED, "linestyle": ":" if line == "-" else line}
            axis.plot(places, 100 * rows["published_then"], marker="x", label=then, **style)
            axis.plot(places, 100 * rows["published"], marker="+", label="published, at its end", **style)
            axis.set_ylabel("accuracy, %")
            axis.legend(fontsize=8)
        axis.set(xlabel=label, title=title, xticks=places)
        long = sum(map(len, values)) > 45
        axis.set_xticklabels(values, rotation=40 if long else 0, ha="right" if long else "center", fontsize=8)
        axis.grid(alpha=0.3)
    return figure


def curves(groups: Mapping[str, Mapping[str, pd.DataFrame]], kind: str = "vote_accuracy") -> Figure:
    """Validation accuracy against epochs and against minutes: a column for each group of runs, a line for each run.

    Args:
        groups: By title, by the line's label: `Results.curve`s, or frames with the same index, `minutes` and
            `val_<kind>`.
        kind: The accuracy.
    """
    labels = list(dict.fromkeys(label for group in groups.values() for label in group))
    colors = dict(zip(labels, colormaps["viridis"](np.linspace(0, 0.92, len(labels))), strict=True))
    figure = Figure(figsize=(4 * len(groups) + 1.6, 6.4), layout="constrained")
    axes = figure.subplots(2, len(groups), sharey=True, squeeze=False)
    shown = {}
    for (title, group), (by_epoch, by_time) in zip(groups.items(), axes.T, strict=True):
        for label, curve in group.items():
            if f"val_{kind}" not in curve:
                continue
            accuracy, color = 100 * curve[f"val_{kind}"], colors[label]
            (shown[label],) = by_epoch.plot(curve.index, accuracy, color=color)
            if "minutes" in curve:
                by_time.plot(curve["minutes"], accuracy, color=color)
        by_epoch.set(title=title, xlabel="epoch")
        by_time.set_xlabel("minutes")
        for axis in (by_epoch, by_time):
            axis.grid(alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel("accuracy, %")
    figure.legend([shown[label] for label in labels if label in shown], [label for label in labels if label in shown],
                  loc="outside right upper", fontsize=8)  # fmt: skip
    return figure


def times(ours: Mapping[Any, float], published: Mapping[Any, float], label: str) -> Figure:
    """Time of an epoch by value, ours and published, each in units of its first value's that both have."""
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axis = figure.subplots()
    common = next((value for value in ours if value in published), None)
    for name, series, style in (("nam, measured in turns", ours, "o-"), ("published", published, "x--")):
        if series:
            unit = series.get(common, next(iter(series.values())))
            color = PUBLISHED if name == "published" else "tab:green"
            axis.plot(list(series), [seconds / unit for seconds in series.values()], style, color=color, label=name)
    axis.set(xlabel=label, ylabel="time of an epoch, relative", ylim=(0, None))
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
    axis.set(xlabel="minutes of training", ylabel="vote of 10 gazes, %", xscale="log")
    axis.grid(alpha=0.3, which="both")
    figure.legend(loc="outside right upper", fontsize=8)
    return figure
