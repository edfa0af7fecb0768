"""What an evaluation says, in words and in a table."""

from collections.abc import Sequence
from typing import Any

COLLAPSED = 0.02  # spread of the means over images, in half-widths, under which all images get the same gaze


def warnings(found: dict[str, Any]) -> list[str]:
    """What a reader must not overlook, a sentence each; a good gaze has none."""
    worth, gaze, told = found["worth"], found["gaze"]["deterministic"], []
    if found["policy"] in ("random", "center"):  # nothing else was asked for
        return told
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
    accuracy, looks, worth, gaze = (found[part] for part in ("accuracy", "looks", "worth", "gaze"))
    trained, n = looks["trained"], found["images"]
    some = sorted({m for m in (1, 2, 3, 5, 10, 20, 50, 100) if m < found["votes"]} | {found["votes"]})

    def row(*cells) -> str:
        return "| " + " | ".join(cells) + " |"

    def rows(title: str, *lines) -> list[str]:
        return [
            "",
            row(title, *[""] * (len(lines[0]) - 1)),
            "|---" * len(lines[0]) + "|",
            *(row(*line) for line in lines),
        ]

    def share(value: float, interval: float | None = None) -> str:
        return f"{value:.2%}" + (f" ± {interval:.2%}" if interval is not None else "")

    shown, drawn = range(2 * trained), f"{found['seeds']} seed" + "s" * (found["seeds"] > 1)
    exits, chosen = found["early_exit"], found["exit_confidence"]
    taught = "" if found["loss_steps"] == "all" else " (taught to answer after the last look only)"
    names = classes or [str(i) for i in range(len(found["confusion"]))]
    lines = [
        *rows(
            f"accuracy on {n:,} images",
            ("deterministic gaze", share(accuracy["deterministic"])),
            (f"one sampled gaze, {drawn}", share(accuracy["sampled"], accuracy["sampled_interval"])),
            (f"vote of {found['votes']}, {drawn}", share(accuracy["vote"], accuracy["vote_interval"])),
            ("uncertainty from the choice of images", f"± {accuracy['images_interval']:.2%}"),
        ),
        *rows(
            "vote of",
            ("gazes", *(str(m) for m in some)),
            ("accuracy", *(share(found["vote_curve"][m - 1]) for m in some)),
        ),
        *rows(
            f"after look (trained for {trained})",
            ("", *(str(look + 1) for look in shown)),
            *(
                (f"{kind} {name}", *(share(looks[kind][look]) for look in shown))
                for kind, name in (("deterministic", "gaze"), ("sampled", "gaze"), ("vote", f"of {found['votes']}"))
            ),
        ),
        *rows(
            f"deterministic gaze that ends at a confidence of{taught}",
            ("", *(f"**{e['confidence']:g}**" if e["confidence"] == chosen else f"{e['confidence']:g}" for e in exits)),
            ("looks per image", *(f"{e['looks']:.2f}" for e in exits)),
            ("accuracy", *(share(e["accuracy"]) for e in exits)),
        ),
        *rows(
            "what the gaze is worth (one sampled gaze)",
            ("its own", share(worth["own"])),
            ("another image's", share(worth["shuffled"])),
            ("**worth: the difference**", f"**{100 * worth['difference']:+.2f} ± {100 * worth['interval']:.2f}**"),
            ("random", share(worth["random"])),
            ("centre", share(worth["center"])),
            ("oracle: the target's centre", share(worth["oracle"])),
        ),
        *rows(
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
            ),
        ),
        *rows("cost of an image", *((name.replace("_", " "), f"{value:,}") for name, value in found["cost"].items())),
        *rows(
            "what it is, and how often it is read as each (deterministic gaze)",
            ("", *names, "right"),
            *(
                (name, *map(str, counts), share(counts[i] / max(sum(counts), 1)))
                for i, (name, counts) in enumerate(zip(names, found["confusion"], strict=True))
            ),
        ),
    ]  # fmt: skip
    return "\n".join(lines).strip()


def _text(value, unit: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return " ".join(_text(part, unit) for part in value)
    return f"{value:.0%}" if unit == "%" else f"{value:.2f}"


def line(split: str, shares: dict[str, float]) -> str:
    """The accuracies on one split, as `result.json` holds them, in one line."""
    return (
        f"{split:<10}  deterministic {shares['deterministic']:.2%}   one sampled gaze {shares['sampled']:.2%}   "
        f"vote of {shares['votes']} gazes {shares['vote']:.2%}"
    )
