"""Training and inference on TensorFlow, on JAX and in the way of the peers: `python -m benchmarks.throughput`."""

import importlib.util
import json
import statistics
from pathlib import Path

import tyro

from benchmarks.sides import COPIES, ONE_COPY, Side, in_turns, ratio
from nam.config import Config

CONFIGURATIONS = {
    "100×100, 4 looks, one copy": ONE_COPY.resolved("digits"),
    "100×100, 4 looks, 4 copies": Config(**COPIES).resolved("digits"),
    "cluttered 60×60, 6 looks, 3 scales, 4 copies": Config(**COPIES, task="cluttered", glimpses=6, scales=3).resolved(
        "digits"
    ),
}
OURS = ("fit", "step", "draw", "inference", "sensor", "optimizer", "products")
PEERS = ("step", "inference", "sensor")


def main(rounds: int = 5, json_file: Path | None = None, peer: bool = True) -> None:
    """Times every side in turns and prints a table.

    Args:
        rounds: How often each thing is timed; the table holds medians.
        json_file: Where to write all timings.
        peer: Compare with the way of the peers too, where PyTorch is installed.
    """
    sides = [Side(name) for name in ("tensorflow", "jax") if importlib.util.find_spec(name)]
    if peer and importlib.util.find_spec("torch"):
        sides.append(Side("peer"))
    elif peer:
        print('The way of the peers is left out: PyTorch is not installed (pip install -e ".[peer]").\n')
    report = {"machine": sides[0]("machine", None), "rounds": rounds, "configurations": {}}
    print(f"{report['machine']['cpu']}, {report['machine']['cores']} cores; gpu: {report['machine']['gpu']}\n")
    for name, config in CONFIGURATIONS.items():
        timings = [
            ((side.name, case), side, case, config)
            for case in OURS
            for side in sides
            if side.name != "peer" or case in PEERS
        ]
        in_turns(timings, 1)  # compiles
        seconds = in_turns(timings, rounds)
        report["configurations"][name] = {
            "config": config.model_dump(),
            "seconds": {f"{side}: {case}": times for (side, case), times in seconds.items()},
            "sides": _rows(config, seconds),
        }
        print(_table(name, report["configurations"][name]["sides"]), flush=True)
    if json_file:
        json_file.write_text(json.dumps(report, indent=1) + "\n")
    for side in sides:
        side.close()


def _rows(config: Config, seconds) -> dict[str, dict[str, float]]:
    """What the table says of each side."""
    sides = {side for side, _ in seconds}
    # The roofline is what the fastest of the libraries makes of these products.
    roofline = min((seconds[side, "products"] for side in sides if side != "peer"), key=statistics.median)
    rows = {}
    for side in sorted(sides, key=("tensorflow", "jax", "peer").index):
        whole = seconds[side, "step" if side == "peer" else "fit"]
        row = {
            "training": config.batch_size / statistics.median(whole),
            "inference": config.batch_size / statistics.median(seconds[side, "inference"]),
            "of_roofline": ratio(roofline, whole),
            "sensor": ratio(seconds[side, "sensor"], whole),
        }
        if side != "peer":
            row["data"] = 1 - ratio(seconds[side, "step"], whole)
            row["optimizer"] = ratio(seconds[side, "optimizer"], whole)
            row["network"] = 1 - row["data"] - row["sensor"] - row["optimizer"]
            row["drawn_before"] = config.batch_size / statistics.median(seconds[side, "step"])
        if "peer" in sides:
            row["of_peer"] = ratio(seconds["peer", "step"], whole)
        rows[side] = row
    return rows


def _table(name: str, rows) -> str:
    columns = {
        "training": ("training, images/s", "{:,.0f}"),
        "drawn_before": ("images drawn before", "{:,.0f}"),
        "inference": ("inference, images/s", "{:,.0f}"),
        "of_peer": ("× the peers' way", "{:.1f}"),
        "of_roofline": ("of the roofline", "{:.0%}"),
        "data": ("data", "{:.0%}"),
        "sensor": ("sensor", "{:.0%}"),
        "network": ("network", "{:.0%}"),
        "optimizer": ("optimizer", "{:.0%}"),
    }
    lines = [
        f"| {name} | " + " | ".join(title for title, _ in columns.values()) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for side, row in rows.items():
        cells = [form.format(row[key]) if key in row else "" for key, (_, form) in columns.items()]
        lines.append(f"| {side} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    tyro.cli(main)
