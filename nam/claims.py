"""The ten claims of the published study, and what our runs say of each."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from nam import published
from nam.results import POLICIES, VOTE, Results

STRAIGHT = 0.1  # a time that keeps so close to a straight line is linear
EARLY = 30 / 76  # the paper's "first 30 minutes", of the 76 that its baseline took
MEAN = 5  # epochs that a value read off a curve is the mean of, as one epoch's is noisy

CONFIRMED = "confirmed"
REFUTED = "refuted"
UNSHOWN = "not shown"  # what it says is within the threshold: neither the one nor the other
ARTEFACT = "an artefact"
OPEN = "open"


class Finding(NamedTuple):
    """What became of a claim."""

    verdict: str
    evidence: tuple[str, ...]


class Claim(NamedTuple):
    """A claim of the paper, and how it is tested."""

    number: str
    sentence: str  # in our words
    source: str  # section of the paper
    study: str
    test: str  # when it holds
    check: Callable[[Results], Finding]


class Held(NamedTuple):
    """What is to be said of a claim for one policy, and the numbers."""

    verdict: str
    evidence: str
    so_far: str = ""  # how far the verdict reaches, if not to the end


def findings(results: Results, names: Collection[str] | None = None) -> list[tuple[Claim, Finding]]:
    """What became of the claims that the named studies (`None`: all) are about."""
    return [(claim, claim.check(results)) for claim in CLAIMS if names is None or claim.study in names]


def _of_both(
    check: Callable[[Results, str], Held], of_published: str, of_time: Callable[[Results], str] | None = None
) -> Callable[[Results], Finding]:
    """A claim about accuracy: an artefact if it holds only as long as the policy is not trained."""

    def both(results: Results) -> Finding:
        held = {policy: check(results, policy) for policy in POLICIES}
        frozen, learned = (held[policy].verdict for policy in POLICIES)
        if OPEN in (frozen, learned):
            verdict = OPEN
        elif frozen == learned:
            verdict = frozen
        elif (frozen, learned) == (CONFIRMED, REFUTED):
            verdict = f"{ARTEFACT} of the untrained policy"
        else:
            verdict = f"{learned} once the policy is trained, {frozen} as published"
        if verdict != OPEN:
            verdict += next((found.so_far for found in held.values() if found.so_far), "")
        evidence = [f"{policy}: {found.evidence}" for policy, found in held.items()]
        time = of_time(results) if of_time else ""
        return Finding(verdict, (*evidence, f"published: {of_published}", *([f"time: {time}"] if time else [])))

    return both


def _difference(results: Results, policy: str, more: float, less: float) -> tuple[str, str]:
    """What is to be said of the claim that one vote is above another, and by how many points it is."""
    difference, threshold = more - less, results.threshold(policy)
    if math.isnan(difference):
        return OPEN, "?"
    if math.isnan(threshold):
        verdict = OPEN
    elif abs(difference) <= threshold:
        verdict = UNSHOWN
    else:
        verdict = CONFIRMED if difference > 0 else REFUTED
    return verdict, f"{100 * difference:+.1f}"


def _all(*verdicts: str) -> str:
    """That on a claim which says several things at once."""
    return next((verdict for verdict in (REFUTED, OPEN, UNSHOWN) if verdict in verdicts), CONFIRMED)


def _percent(votes: Mapping[Any, float]) -> str:
    return ", ".join("?" if math.isnan(vote) else f"{100 * vote:.1f}" for vote in votes.values()) + " %"


def _ratio(series: Mapping[Any, float], more: Any, less: Any) -> float:
    """How many times as long one value takes as another, NaN if one was not timed."""
    return series.get(more, math.nan) / series.get(less, math.nan)


def _line(series: Mapping[float, float]) -> tuple[float, float, float]:
    """Slope, start and largest relative distance of the line that keeps to times best, relatively."""
    x, times = (np.array(list(part), float) for part in (series, series.values()))
    slope, base = np.polyfit(x, times, 1, w=1 / times)
    return slope, base, np.abs((base + slope * x) / times - 1).max()


def _linear_time(results: Results) -> Finding:
    slope, base, worst = _line(published.times("glimpses"))
    told = f"published: {base:.1f} s and {slope:.1f} s a look per epoch, off by at most {100 * worst:.1f} %"
    series = results.training_time("glimpses", "glimpses")
    if len(series) < 3:
        return Finding(OPEN, (told,))
    slope, base, worst = _line(series)
    ours = (
        f"ours: from {min(series):g} to {max(series):g} looks a straight line is off by at most {100 * worst:.1f} %; "
        f"all that does not depend on the looks takes as long as {base / slope:.1f} of them"
    )
    return Finding(CONFIRMED if worst <= STRAIGHT else REFUTED, (ours, told))


def _early_and_late(results: Results, policy: str) -> Held:
    """At equal time, few looks lead early and many late."""
    cost = results.training_time("epochs", "glimpses")
    votes = _curves(results, policy)
    if votes is None or not votes.keys() <= cost.keys():
        return Held(OPEN, "runs or times are missing")
    curves = {looks: (np.arange(1, len(vote) + 1) * cost[looks], vote) for looks, vote in votes.items()}
    few, some, many = sorted(curves)
    whole = curves[some][0][-1]  # the baseline's whole training
    at = {looks: _at(curves[looks], EARLY * whole) for looks in sorted(curves)}
    end = {looks: _at(curves[looks], whole) for looks in sorted(curves)}
    grid = np.linspace(0, whole, 2000)
    behind = np.array([_at(curves[many], time) < _at(curves[few], time) for time in grid])
    lead = grid[behind][-1] / whole if behind.any() else 0.0
    told = (
        f"vote with {few}, {some}, {many} looks {_percent(at)} after {100 * EARLY:.0f} % of the time that {some} looks "
        f"take for all epochs, {_percent(end)} after all of it; {many} are ahead of {few} for good from "
        f"{100 * lead:.0f} % on"
    )
    early, _ = _difference(results, policy, at[few], at[many])
    late, _ = _difference(results, policy, end[many], end[few])
    return Held(_all(early, late), told)


def _curves(results: Results, policy: str) -> dict[int, np.ndarray] | None:
    """Votes on validation epoch by epoch of the long runs, by their looks, means over the seeds.

    `None` if one is missing.
    """
    runs, found = results.runs("epochs"), {}
    for name, run in runs[runs["policy"] == policy].iterrows():
        curve = results.curve("epochs", name)
        if math.isnan(run["vote"]) or VOTE not in curve or curve[VOTE].count() < run["epochs"]:
            return None
        found.setdefault(run["glimpses"], []).append(curve[VOTE].to_numpy()[: run["epochs"]])
    return {looks: np.mean(curves, axis=0) for looks, curves in found.items()}


def _at(curve: tuple[np.ndarray, np.ndarray], time: float) -> float:
    """The accuracy at some time."""
    times, accuracy = curve
    last = int(np.searchsorted(times, time, side="right"))
    return float(accuracy[max(0, last - MEAN) : last].mean()) if last else 0.0


def _scales(results: Results, policy: str) -> Held:
    linear = {n: results.vote("scales", policy, scale_factors=tuple(range(1, n + 1))) for n in (2, 4, 6, 8)}
    doubling = {n: results.vote("scales", policy, scale_factors=tuple(2**s for s in range(n))) for n in (4, 6, 8)}
    holds, gain = _difference(results, policy, linear[4], linear[2])
    told = f"vote with 2, 4, 6, 8 linear scales: {_percent(linear)}, 4 over 2: {gain} points"
    return Held(holds, f"{told}; with 4, 6, 8 doubling ones: {_percent(doubling)}")


def _time_of_scales(results: Results) -> Finding:
    ratio = _ratio(results.training_time("scales", "scale_factors"), (1, 2, 3, 4, 5, 6, 7, 8), (1, 2))
    return _of_the_sensor(
        ratio,
        "8 scales take",
        "2",
        "36.6 s an epoch with 2, 46.1 with 4, 115.5 with 6, 368 with 8",
        "takes over 30 × as long with 8 scales as with 2",
    )


def _of_the_sensor(ratio: float, more: str, less: str, of_published: str, of_operation: str) -> Finding:
    """A time that doubles or more, if ours does not: the published sensor's does."""
    told = f"published: {of_published}"
    if math.isnan(ratio):
        return Finding(OPEN, (told,))
    ours = f"ours: {more} {ratio:.2f} × as long as {less}"
    if ratio >= 2:
        return Finding(CONFIRMED, (ours, told))
    why = (
        f"why: the published sensor, TensorFlow's extract_glimpse, {of_operation} (`python -m "
        "benchmarks.published_sensor`), as it fills a whole window with noise whenever that reaches beyond the image; "
        "that this is what slowed the published epochs is inferred"
    )
    return Finding(f"probably {ARTEFACT} of the published sensor", (ours, told, why))


def _bandwidth(results: Results, policy: str) -> Held:
    votes = {n: results.vote("bandwidth", policy, bandwidth=n) for n in (4, 8, 12, 13, 16, 24)}
    steps = [_difference(results, policy, votes[2 * n], votes[n]) for n in (4, 8, 12)]
    gains = ", ".join(gain for _, gain in steps)
    told = f"vote at 4, 8, 12, 13, 16, 24 pixels: {_percent(votes)}; from 4 to 8, 8 to 16, 12 to 24: {gains} points"
    return Held(_all(*(more for more, _ in steps)), told)


def _time_of_bandwidth(results: Results) -> str:
    ratio = _ratio(results.training_time("bandwidth", "bandwidth"), 24, 12)
    return "" if math.isnan(ratio) else f"24 pixels take {ratio:.1f} × as long as 12 (published: 7.6 ×)"


def _scales_or_pixels(results: Results, policy: str) -> Held:
    votes = {n: results.vote("scales-vs-bandwidth", policy, scales=n) for n in (1, 2, 4, 9)}
    holds, gain = _difference(results, policy, votes[4], votes[1])
    many = results.vote("bandwidth", policy, bandwidth=8)
    few = results.vote("scales", policy, scale_factors=(1, 2))
    own, own_gain = _difference(results, policy, many, few)
    told = f"vote with 1 × 24², 2 × 17², 4 × 12², 9 × 8² pixels: {_percent(votes)}, 4 × 12² over 1 × 24²: {gain} points"
    return Held(_all(holds, own), f"{told}; the paper's pair, 4 × 8² over 2 × 12²: {own_gain}")


def _std(results: Results, policy: str) -> Held:
    votes = {std: results.vote("std", policy, std=std) for std in (0.1, 0.22, 0.4, 0.6, 1.2)}
    better = float(np.maximum(votes[0.4], votes[0.6]))  # NaN if one is missing
    above = {std: _difference(results, policy, better, votes[std]) for std in (0.1, 0.22, 1.2)}
    gains = ", ".join(gain for _, gain in above.values())
    told = f"vote at 0.1, 0.22, 0.4, 0.6, 1.2: {_percent(votes)}; the better of 0.4 and 0.6 over 0.1, 0.22, 1.2:"
    return Held(_all(*(more for more, _ in above.values())), f"{told} {gains} points")


def _time_of_std(results: Results) -> Finding:
    ratio = _ratio(results.training_time("std", "std"), 1.2, 0.1)
    return _of_the_sensor(
        ratio,
        "a std of 1.2 takes",
        "0.1",
        "76 minutes at 0.1, 160 at 1.2",
        "takes 3 to 5 × as long at 1.2 as at 0.1 or 0.22",
    )


def _batch(results: Results, policy: str) -> Held:
    votes = {n: results.vote("batch-size", policy, batch_size=n) for n in (32, 64, 128, 256)}
    holds, loss = _difference(results, policy, votes[32], votes[256])
    saved = 1 - _time_of_largest_batch(results)
    faster = OPEN if math.isnan(saved) else CONFIRMED if saved > 0 else REFUTED
    return Held(_all(holds, faster), f"vote at 32, 64, 128, 256: {_percent(votes)}; 32 over 256: {loss} points")


def _time_of_batch(results: Results) -> str:
    ratio = _time_of_largest_batch(results)
    return "" if math.isnan(ratio) else f"an epoch at 256 takes {100 * (1 - ratio):.0f} % less than at 32"


def _time_of_largest_batch(results: Results) -> float:
    """Of an epoch at 256, in units of that at 32."""
    return _ratio(results.training_time("batch-size", "batch_size"), 256, 32)


def _converged(results: Results, policy: str) -> Held:
    curves = _curves(results, policy)
    if curves is None:
        return Held(OPEN, "runs are missing")
    marks = {
        looks: {mark: vote[mark - MEAN : mark].mean() for mark in (25, 50, 75, 100)} for looks, vote in curves.items()
    }
    told = "; ".join(f"{looks} looks {_percent(votes)}" for looks, votes in marks.items())
    gains = [votes[100] - votes[50] for votes in marks.values()]
    # Within a run, seeds do not matter: what is left is how far one epoch lies from the next.
    noise = [2 * np.diff(vote[50:]).std(ddof=1) / 2**0.5 * (2 / MEAN) ** 0.5 for vote in curves.values()]
    gained = ", ".join(f"{100 * gain:+.1f} ± {100 * each:.1f}" for gain, each in zip(gains, noise, strict=True))
    told = f"mean vote of the {MEAN} epochs up to 25, 50, 75, 100: {told}; from 50 to 100 {gained} points"
    still = any(gain > each for gain, each in zip(gains, noise, strict=True))
    return Held(REFUTED if still else CONFIRMED, f"{told} (± two deviations, from those of single epochs)")


def _optimizers(results: Results, policy: str) -> Held:
    papers = {(row["optimizer"], row["learning_rate"]) for row in published.everything()["tables"]["optimizer"]}
    found: dict[bool, dict[str, float]] = {True: {}, False: {}}
    rising = {}
    runs = results.runs("optimizer")
    for value, group in runs[runs["policy"] == policy].groupby("value", sort=False):
        votes = [[*results.curve("optimizer", name).get(VOTE, ())] for name in group.index]
        rising[value] = np.mean([vote[-1] - vote[-1 - MEAN] if len(vote) > MEAN else math.nan for vote in votes])
        optimizer, rate = group[["optimizer", "learning_rate"]].iloc[0]
        for rates in (True, False) if optimizer == "adam" else ((optimizer, rate) in papers,):  # Adam's is both's
            found[rates][value] = group["vote"].mean()
    spreads = [
        _difference(results, policy, np.max([*votes.values()]), np.min([*votes.values()])) for votes in found.values()
    ]
    told = "; ".join(
        f"at the {whose}'s rates {', '.join(_risen(name, vote, rising[name]) for name, vote in votes.items())}, "
        f"{spread.strip('+')} points apart"
        for whose, votes, (_, spread) in zip(("paper", "code"), found.values(), spreads, strict=True)
    )
    missing = any(math.isnan(vote) for votes in found.values() for vote in votes.values())
    differ = [verdict for verdict, _ in spreads]
    verdict = OPEN if missing or OPEN in differ else REFUTED if CONFIRMED in differ else CONFIRMED
    so_far = ""
    if np.nanmax([*rising.values(), 0.0]) > results.threshold(policy):  # what rises so may yet end like the others
        so_far = f" after {runs['epochs'].iloc[0]} epochs, open beyond"
    return Held(verdict, f"vote (gain over the last {MEAN} epochs) {told} ({_threshold(results, policy)})", so_far)


def _risen(name: str, vote: float, rise: float) -> str:
    return f"{name}: {_percent({name: vote})} ({'?' if math.isnan(rise) else f'{100 * rise:+.1f}'})"


def _threshold(results: Results, policy: str) -> str:
    return f"threshold: {100 * results.threshold(policy):.1f}"


def _time_of_optimizers(results: Results) -> str:
    series = results.training_time("optimizer").values()
    if not series:
        return ""
    return f"the slowest takes {max(series) / min(series):.2f} × as long as the fastest (published: 1.12 ×)"


CLAIMS = (
    Claim(
        "1",
        "Training time is linear in the number of glimpses.",
        "5.2.1, figure 4", "glimpses",
        f"holds if a straight line is never off by more than {100 * STRAIGHT:.0f} %",
        _linear_time,
    ),
    Claim(
        "2",
        "In the first 30 minutes, of the baseline's 76, fewer glimpses are more accurate; later, more of them are.",
        "5.2.1, figures 5 and 6", "epochs",
        "holds if 3 looks are above 9 after that share of the time, and 9 above 3 at its end",
        _of_both(
            _early_and_late,
            "its logs say 72, 74, 75 and 76 % after 30 minutes with 3, 5, 7 and 16 looks; 16 are behind 3 for the "
            "first 14 minutes only",
        ),
    ),
    Claim(
        "3a",
        "Four scales are worth more than two.",
        "logs of 5.2.3", "scales",
        "holds if 4 linear scales are above 2",
        _of_both(_scales, "test vote 65.7 % with 2, 75.9 % with 4; 6 had one epoch, 8 were stopped after 18"),
    ),
    Claim(
        "3b",
        "Eight scales take ten times as long as two.",
        "table 2", "scales",
        "holds if they take at least twice as long",
        _time_of_scales,
    ),
    Claim(
        "4",
        "A larger bandwidth always helps.",
        "5.2.4, figure 9", "bandwidth",
        "holds if every doubling gains",
        _of_both(
            _bandwidth, "test vote 40.5, 68.2, 75.9 % at 4, 8, 12 pixels; 13, 16, 24 had one epoch", _time_of_bandwidth
        ),
    ),
    Claim(
        "5",
        "More scales are worth more than more pixels per scale.",
        "5.2.5, figure 11", "scales-vs-bandwidth",
        "holds if 4 × 12² is above 1 × 24², and 4 × 8² above 2 × 12²",
        _of_both(_scales_or_pixels, "test vote 68.2 % with 4 × 8², 65.7 % with 2 × 12²"),
    ),
    Claim(
        "6",
        "A standard deviation of 0.4 to 0.6 is best.",
        "5.2.6, table 3", "std",
        "holds if the better of the two is above 0.1, 0.22 and 1.2",
        _of_both(_std, "65, 75, 83, 84, 79 %"),
    ),
    Claim(
        "7",
        "A larger standard deviation can double the training time.",
        "5.2.6, table 3", "std",
        "holds if 1.2 takes at least twice as long as 0.1",
        _time_of_std,
    ),
    Claim(
        "8",
        "A larger batch saves time and costs accuracy.",
        "5.3.1, figure 12", "batch-size",
        "holds if an epoch at 256 takes less time than at 32, and 32 is more accurate after as many epochs at the same "
        "learning rate",
        _of_both(
            _batch,
            "256 in place of 32 saves 25 % and costs 7 % in the paper, 26 % and 3.4 points of test votes in its logs",
            _time_of_batch,
        ),
    ),
    Claim(
        "9",
        "At a batch of 128, 50 epochs are enough to converge, whatever the rest of the configuration.",
        "5.3.2", "epochs",
        "holds if none of 3, 5 and 9 looks gains more from epoch 50 to 100 than its epochs differ among each other",
        _of_both(_converged, "5 looks: 75.5 and 76.6 % in the five epochs up to 50 and 100"),
    ),
    Claim(
        "10",
        "All optimizers end alike.",
        "5.3.3, table 4", "optimizer",
        "holds if neither the four at the paper's rates nor those at its code's are further apart than the threshold "
        "after as many epochs",
        _of_both(_optimizers, "75, 75, 78, 79 % at its code's rates, in 76 to 85 minutes", _time_of_optimizers),
    ),
)  # fmt: skip
