"""What an evaluation says, in words and in a table."""

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

COLLAPSED = 0.02  # spread of the means over images, in half-widths, under which all images get the same gaze


def warnings(found: dict[str, Any]) -> list[str]:
    """What a reader must not overlook, a sentence each; a good gaze has none."""
    told = []
    if found.get("policy") in (None, "random", "center"):  # there is no gaze, or nothing else was asked for
        return told
    worth, gaze = found["worth"], found["gaze"]["deterministic"]
    if found["looks"]["trained"] > 1 and worth["difference"] <= worth["interval"]:
        told.append(
            "the gaze cannot be shown to be worth anything: its own minus another image's is "
            f"{100 * worth['difference']:+.2f} ± {100 * worth['interval']:.2f} points. The location network has not "
            "learned where to look, or the patches see everything anyway."
        )
    if gaze["spread"] is not None and gaze["spread"] < COLLAPSED:
        told.append(f"the gaze has collapsed: the means of the policy differ by {gaze['spread']:.3f} half-widths only.")
    if gaze["border"] > 0.5:
        told.append(f"the gaze stays at the border: {gaze['border']:.0%} of the locations lie there.")
    return told


def table(found: dict[str, Any], classes: Sequence[str] | None = None) -> str:
    """What `evaluate` found, in Markdown; `classes` are their names."""
    accuracy, names = found["accuracy"], classes or [str(i) for i in range(len(found["confusion"]))]
    of_gaze = "looks" in found
    title = f"accuracy on {found['images']:,} images"
    if of_gaze:
        lines = _of_gaze(found, title)
    else:
        interval = accuracy["images_interval"]
        lines = _rows(title, ("± from the choice of images", _share(accuracy["deterministic"], interval)))
    if "numbers" in found:
        read = found["numbers"]
        lines += _rows(
            "numbers",
            ("digits", "all", *(str(length) for length in read["by_length"])),
            ("whole number right", *map(_share, (read["whole"], *read["by_length"].values()))),
            ("digits where they belong", _share(read["digits"]), *[""] * len(read["by_length"])),
        )
    if "windows" in found:
        windows = found["windows"]
        lines += _rows(
            "look",
            ("", *(str(look + 1) for look in range(len(next(iter(windows.values())))))),
            *(
                (text, *map(form.format, windows[name]))
                for name, text, form in (
                    ("alone", "its answer alone", "{:.2%}"),
                    ("mean", "the mean of the answers so far", "{:.2%}"),
                    ("overlap", "overlap of its window with the target (IoU)", "{:.2f}"),
                )
                if name in windows
            ),
        )
    lines += [
        *_rows("cost of an image", *((name.replace("_", " "), f"{value:,}") for name, value in found["cost"].items())),
        *_rows(
            "what it is, and how often it is read as each" + " (deterministic gaze)" * of_gaze,
            ("", *names, "right"),
            *(
                (name, *map(str, counts), _share(counts[i] / max(sum(counts), 1)))
                for i, (name, counts) in enumerate(zip(names, found["confusion"], strict=True))
            ),
        ),
    ]
    return "\n".join(lines).strip()


def _rows(title: str, *lines: Sequence[str]) -> list[str]:
    headers = [title, *[""] * (len(lines[0]) - 1)]
    return ["", tabulate(lines, headers, tablefmt="pipe", disable_numparse=True)]


def _share(value: float, interval: float | None = None) -> str:
    return f"{value:.2%}" + (f" ± {interval:.2%}" if interval is not None else "")


def _of_gaze(found: dict[str, Any], title: str) -> list[str]:
    """What is told of a model that looks, but for what every model has."""
    accuracy, looks, worth, gaze = (found[part] for part in ("accuracy", "looks", "worth", "gaze"))
    trained = looks["trained"]
    some = sorted({m for m in (1, 2, 3, 5, 10, 20, 50, 100) if m < found["votes"]} | {found["votes"]})
    shown, drawn = range(2 * trained), f"{found['seeds']} seed" + "s" * (found["seeds"] > 1)
    exits, chosen = found["early_exit"], found["exit_confidence"]
    taught = "" if found["loss_steps"] == "all" else " (taught to answer after the last look only)"
    return [
        *_rows(
            title,
            ("deterministic gaze", _share(accuracy["deterministic"])),
            (f"one sampled gaze, {drawn}", _share(accuracy["sampled"], accuracy["sampled_interval"])),
            (f"vote of {found['votes']}, {drawn}", _share(accuracy["vote"], accuracy["vote_interval"])),
            ("uncertainty from the choice of images", f"± {accuracy['images_interval']:.2%}"),
        ),
        *_rows(
            "vote of",
            ("gazes", *(str(m) for m in some)),
            ("accuracy", *(_share(found["vote_curve"][m - 1]) for m in some)),
        ),
        *_rows(
            f"after look (trained for {trained})",
            ("", *(str(look + 1) for look in shown)),
            *(
                (f"{kind} {name}", *(_share(looks[kind][look]) for look in shown))
                for kind, name in (("deterministic", "gaze"), ("sampled", "gaze"), ("vote", f"of {found['votes']}"))
            ),
        ),
        *_rows(
            f"deterministic gaze that ends at a confidence of{taught}",
            ("", *(f"**{e['confidence']:g}**" if e["confidence"] == chosen else f"{e['confidence']:g}" for e in exits)),
            ("looks per image", *(f"{e['looks']:.2f}" for e in exits)),
            ("accuracy", *(_share(e["accuracy"]) for e in exits)),
        ),
        *_rows(
            "what the gaze is worth (one sampled gaze)",
            ("its own", _share(worth["own"])),
            ("another image's", _share(worth["shuffled"])),
            ("**worth: the difference**", f"**{100 * worth['difference']:+.2f} ± {100 * worth['interval']:.2f}**"),
            ("random", _share(worth["random"])),
            ("centre", _share(worth["center"])),
            *([] if worth["oracle"] is None else [("oracle: the target's centre", _share(worth["oracle"]))]),
        ),
        *_rows(
            "where it looks",
            ("", "deterministic", "sampled"),
            *(
                (name, *(_text(gaze[kind][key], unit) for kind in ("deterministic", "sampled")))
                for name, key, unit in (
                    ("looks whose finest patch touches the target, by look", "hits", "%"),
                    ("distance to the target's centre by look, pixels", "distance", ""),
                    ("first look that touches it, where one does", "first_hit", ""),
                    ("images whose target is never touched", "never_hit", "%"),
                    ("locations at the border", "border", "%"),
                    ("spread of the means over images, half-widths", "spread", ""),
                )
                if any(gaze[kind][key] is not None for kind in gaze)
            ),
        ),
    ]


def _text(value, unit: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return " ".join(_text(part, unit) for part in value)
    return f"{value:.0%}" if unit == "%" else f"{value:.2f}"


def line(split: str, shares: dict[str, float]) -> str:
    """The accuracies on one split, as `result.json` holds them, in one line."""
    digits = f"   digits {shares['digits']:.2%}" if "digits" in shares else ""
    if "vote" not in shares:
        return f"{split:<10}  {shares['deterministic']:.2%}{digits}"
    return (
        f"{split:<10}  deterministic {shares['deterministic']:.2%}   one sampled gaze {shares['sampled']:.2%}   "
        f"vote of {shares['votes']} gazes {shares['vote']:.2%}{digits}"
    )


def together(found: dict[str, Any]) -> str:
    """What several runs read of numbers, each alone and together, in Markdown."""
    rows = [(f"{run['run']}, {run['reading']}", run) for run in found["runs"]] + [("together", found["together"])]
    lines = _rows(
        f"numbers of the {found['split']} split",
        ("", "whole number wrong", "digits where they belong"),
        *((name, _share(1 - read["whole"]), _share(read["digits"])) for name, read in rows),
    )
    return "\n".join(lines).strip()
