"""How training changes and ends: pure functions of the epochs so far, so that a resumed run goes on alike.

`values` are those epochs' validation accuracies, of the kind that also chooses the best epoch.
"""

import math
from collections.abc import Sequence

from nam.config import Config


def learning_rate(config: Config, epoch: int, values: Sequence[float] = ()) -> float:
    """The learning rate of an epoch, counted from 0: see `schedule`, `decay`, `warmup` and `learning_rate_min`."""
    first = config.learning_rate
    floor = min(config.learning_rate_min, first)
    if config.schedule == "cosine":
        rate = floor + (first - floor) * (1 + math.cos(math.pi * epoch / config.epochs)) / 2
    else:
        steps = {"exponential": epoch, "plateau": plateaus(values, config.plateau)}.get(config.schedule, 0)
        rate = max(first * config.decay**steps, floor)
    return rate * min((epoch + 1) / (config.warmup + 1), 1)


def std(config: Config, epoch: int) -> float:
    """The standard deviation of the policy in an epoch of an annealed run.

    On a line from `std` to `std_end`, which it reaches after three quarters of the epochs and keeps.
    """
    way = min(epoch / (0.75 * max(config.epochs - 1, 1)), 1)
    return config.std + (config.std_end - config.std) * way


def plateaus(values: Sequence[float], length: int) -> int:
    """How often `length` epochs in a row were no better than the best before them."""
    best, waited, found = -math.inf, 0, 0
    for value in values:
        waited = 0 if value > best else waited + 1
        best = max(best, value)
        if waited == length:
            found, waited = found + 1, 0
    return found


def is_over(config: Config, values: Sequence[float]) -> bool:
    """Whether the last `patience` epochs were no better than the best before them."""
    if config.patience is None or not values:
        return False
    return len(values) - 1 - values.index(max(values)) >= config.patience
