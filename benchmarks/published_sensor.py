"""What a look costs with the operation that the published study used: `python -m benchmarks.published_sensor`.

Its code called `tf.image.extract_glimpse` once for every look and scale. That computes on the processor, one image
after the other, and fills the whole window of every glimpse that reaches beyond its image with noise.
"""

import json
import time
from pathlib import Path

import numpy as np
import tyro

STDS = (0.1, 0.22, 0.4, 0.6, 1.2)  # with 4 scales
SCALES = (2, 4, 6, 8)  # with std 0.22
IMAGES, SIDE, BANDWIDTH = 320, 100, 12


def main(rounds: int = 20, json_file: Path | None = None) -> None:
    """Times a look at 320 images of 100×100 with linear scales of 12×12, in turns, and prints the least of each.

    Args:
        rounds: How often each is timed.
        json_file: Where to write all timings.
    """
    import tensorflow as tf

    rng = np.random.default_rng(0)
    images = tf.constant((rng.random((IMAGES, SIDE, SIDE, 1)) < 0.1).astype("float32"))

    def look(locations, scales):
        for scale in range(1, scales + 1):
            tf.image.extract_glimpse(images, [BANDWIDTH * scale] * 2, locations, noise="uniform")

    cases = [("std", std, 4, std) for std in STDS] + [("scales", scales, scales, 0.22) for scales in SCALES]
    seconds = {"std": {}, "scales": {}}
    for _ in range(rounds + 1):  # the first is not counted
        for field, value, scales, std in cases:
            locations = tf.constant(rng.normal(0, std, (IMAGES, 2)).clip(-1, 1).astype("float32"))
            start = time.perf_counter()
            look(locations, scales)
            seconds[field].setdefault(str(value), []).append(time.perf_counter() - start)
    seconds = {field: {value: times[1:] for value, times in series.items()} for field, series in seconds.items()}
    for field, series in seconds.items():
        least = {value: min(times) for value, times in series.items()}
        first = next(iter(least.values()))
        print(f"{field}: " + ", ".join(f"{v} {1e3 * t:.1f} ms ({t / first:.1f} ×)" for v, t in least.items()))
    if json_file:
        json_file.write_text(json.dumps(seconds, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
