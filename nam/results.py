"""What the runs of the studies found, read from their folders alone."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nam import events, published
from nam.config import VOTES, Config
from nam.configs import studies
from nam.errors import UserError
from nam.runs import Run

KINDS = {
    "vote": f"vote of {VOTES} gazes", "sampled": "one sampled gaze", "deterministic": "deterministic gaze"
}  # fmt: skip
PARTS = ("digits", "overlap")  # of what some models are asked: each digit of a number, and where it is
POLICIES = ("frozen", "learned")
VOTE = "val_vote_accuracy"  # as `events.history` calls it
AFTER_EPOCHS = {"vote": VOTE, "sampled": "val_sampled_accuracy", "deterministic": "val_accuracy"}  # alike
COST = ("parameters", "multiply_adds", "pixels_read", "pixels_touched")


class Results:
    """The studies' runs in a folder of logs; what is missing there is NaN.

    Args:
        logs: The folder: `LOGS/STUDY/RUN/`.
        timings: What `benchmarks.sweeps --json-file` wrote; `None`: nothing is said about the time of a sweep's runs.
        prices: What `benchmarks.models --json-file` wrote; `None`: no model's time per image is known.

    Raises:
        UserError: If there is no such folder, the timings cannot be read, or (later) a run's folder holds another run
            than the study's.
    """

    def __init__(self, logs: Path, timings: Path | None = None, prices: Path | None = None):
        if not logs.is_dir():
            raise UserError(f"{logs} is no folder: name that of the runs with --logs.")
        self.logs = logs
        self.timings = _timings(timings) if timings else {}
        self.prices = _timings(prices) if prices else {}
        self.machine = self.timings.pop("machine", {})  # where the sweeps were timed
        self.priced = self.prices.pop("machine", {})  # where the models were
        self._runs: dict[str, pd.DataFrame] = {}

    def runs(self, study: str) -> pd.DataFrame:
        """A row for each run of a study, by its name: config, `value`, accuracies on validation, times.

        Finished runs of other seeds than the study's follow, in a sweep also those of study `baseline` where all else
        is as in one of the sweep's: these are not its `own`. Accuracies are those after the last epoch, of a comparison
        those of the best one. `core_seconds` are what the quickest epoch took, as others were held up by what
        else the machine did, times the cores that the run had (of a run on a GPU, of that); `core_hours` are those of
        all epochs, as they were. `seconds_per_epoch` and `minutes` are those of training alone, as timed for all runs
        of a sweep in turns, see `training_time`.
        """
        if study not in self._runs:
            plan, found = studies()[study], self._found(study)
            more = {}
            if plan.vary:
                known = [config for _, config, _ in found.values()]
                more = {
                    name: (label, again, folder)
                    for name, (_, again, folder) in self._found("baseline").items()
                    for label, config, _ in found.values()
                    if again not in known and again.model_copy(update={"seed": config.seed}) == config
                    if (folder / "result.json").exists()
                }
            timed = {
                _any_policy_and_seed(found[name][1]): min(seconds)  # what else the machine did only adds to a time
                for name, seconds in self.timings.get(study, {}).items()
                if name in found
            }
            rows = {
                name: _row(*run, bool(plan.rows), timed.get(_any_policy_and_seed(run[1]), math.nan))
                for name, run in (found | more).items()
            }
            runs = pd.DataFrame.from_dict(rows, orient="index")
            self._runs[study] = runs.assign(own=~runs.index.isin(more))
        return self._runs[study]

    def _found(self, study: str) -> dict[str, tuple[str, Config, Path]]:
        """Label, config and folder of each run of a study, and of those of other seeds that are finished."""
        plan, folder = studies()[study], self.logs / study
        finished = {result.parent.name for result in folder.glob("*seed=*/result.json")}
        more = {int(seed) for name in finished if (seed := name.rpartition("=")[2]).isdecimal()} - {*plan.seeds}
        wider = plan.model_copy(update={"seeds": (*plan.seeds, *sorted(more))})
        return {
            name: (label, config, folder / name)
            for name, label, config in wider.each()
            if config.seed in plan.seeds or name in finished
        }

    def table(self, study: str) -> pd.DataFrame:
        """A row for each value and policy: means over the seeds, 95 % intervals, what was published, the verdict.

        `interval` belongs to `vote`: Student's for so many seeds, of the deviation that those of the baseline have. The
        verdict compares the vote with that of the value which the study was published with, see `threshold`.
        """
        rows = []
        for (value, policy), group in self.runs(study).groupby(["value", "policy"], sort=False):
            first = group.iloc[0]
            votes = group["vote"].dropna()
            rows.append({
                "value": value, "policy": policy, "seeds": len(votes),
                **{kind: group[kind].mean() for kind in KINDS},
                "interval": self._half_width(policy, len(votes)),
                **group[["seconds_per_epoch", "minutes", "epochs", "samples"]].mean().to_dict(),
                **first[[name for name in first.index if name.startswith("published")]].to_dict(),
                "as_published": first["as_published"],
            })  # fmt: skip
        table = pd.DataFrame(rows)
        table["verdict"] = [self._against_reference(row, table) for row in table.itertuples()]
        return table.drop(columns="as_published")

    def comparison(self, study: str) -> pd.DataFrame:
        """A row for each row of a comparison: means over the seeds of accuracies, times and cost.

        Accuracies are on the test split if the study uses it, else on validation; `digits` and `overlap` are as in
        `nam.accuracy.Accuracies`. `interval_deterministic` and `interval_sampled` are half of Student's 95 % from the
        deviation between seeds, of all rows together (on unequal tasks in proportion to √(p (1 − p))), or, if none has
        several and of gazes that do not learn, of that from the choice of images.
        `best` is the best epoch of those `trained`; `milliseconds_1` and `_32` are those of an image in batches of so
        many; rows that are not trained have nothing but these and a cost.
        With several seeds of rows on the same images, `verdict_deterministic` and `verdict_sampled` compare with the
        first row, seed by seed, as equal seeds share their images: a difference is one outside of Student's 95 %, so
        that one in twenty equal rows is told apart; all lean one way together where the first row was lucky. The
        deviation is what is left of all rows' accuracies without the means of rows and of seeds. Gazes that do not
        learn say nothing about deviations.
        """
        split, rows, runs = "test_" if studies()[study].test else "", [], self.runs(study)
        accuracies = {
            kind: runs.pivot(index="value", columns="seed", values=f"{split}{kind}")
            for kind in ("deterministic", "sampled")
        }
        learned = runs.loc[runs["policy"] == "learned", "value"].unique()
        alike = len(runs[["dataset", "task", "canvas"]].drop_duplicates()) == 1
        images = runs.groupby("value")[f"{split or 'validation_'}images"].max()
        intervals = {kind: _half_widths(each, learned, alike, images) for kind, each in accuracies.items()}
        for label, group in runs.groupby("value", sort=False):
            rows.append({
                "label": label, "canvas": group["canvas"].iloc[0], "policy": group["policy"].iloc[0],
                "seeds": group[f"{split}deterministic"].count(),
                **{kind: group[f"{split}{kind}"].mean() for kind in (*KINDS, *PARTS)},
                **{f"interval_{kind}": widths[label] for kind, widths in intervals.items()},
                **{name: group[f"cost_{name}"].mean() if f"cost_{name}" in group else math.nan for name in COST},
                **group[["core_seconds", "core_hours"]].mean().to_dict(),
                "trained": group["trained_epochs"].mean(), "best": group["best_epoch"].mean(),
                **self._price(study, group.index[0]),
            })  # fmt: skip
        table = pd.DataFrame(rows)
        first = table["label"].iloc[0]
        for kind, each in accuracies.items():
            more = (each - each.loc[first]).loc[table["label"]]
            of_one, freedom = _residual(each.loc[learned, each.loc[first].notna()])
            threshold = _student(freedom + 1) * (2 * of_one / more.count(axis=1)) ** 0.5
            verdicts = [_verdict(*pair) for pair in zip(more.mean(axis=1), threshold, strict=True)]
            table[f"verdict_{kind}"] = ["reference", *verdicts[1:]] if alike and any(verdicts) else ""
        return table

    def _price(self, study: str, run: str) -> dict[str, float]:
        """Cost and milliseconds per image, as far as the benchmark told them; the least of several timings."""
        found = self.prices.get(study, {}).get(run, {})
        times = {f"milliseconds_{n}": 1e3 * min(found.get(str(n), [math.nan])) for n in (1, 32)}
        return {**{name: value for name, value in found.get("cost", {}).items() if name in COST}, **times}

    def vote(self, study: str, policy: str, **values: Any) -> float:
        """The vote's accuracy, 0 to 1, mean over the seeds, of the runs of a study that have these values.

        NaN if none is finished.
        """
        runs = self.runs(study)
        chosen = runs["policy"] == policy
        for name, value in values.items():
            chosen &= runs[name].map(lambda found, value=value: found == value)
        return runs.loc[chosen, "vote"].mean()

    def curve(self, study: str, run: str) -> pd.DataFrame:
        """A row for each epoch (from 1) of a run: what `events.history` reads, and `minutes` of training, see `runs`.

        Empty if the run has no event files.
        """
        row = self.runs(study).loc[run]
        # A run that is being trained may have written of one epoch more in one file than in another.
        history = pd.DataFrame({k: pd.Series(v) for k, v in events.history(Run(row["folder"])).items()})
        history.index = pd.RangeIndex(1, len(history) + 1, name="epoch")
        return history.assign(minutes=history.index * row["seconds_per_epoch"] / 60)

    def threshold(self, policy: str) -> float:
        """Votes of a policy differ if they are further apart than this: 2√2 deviations of the baseline's seeds.

        That is twice the deviation of the difference of two runs; of means over several seeds it asks for more.
        """
        return 2 * math.sqrt(2) * self._again(policy).std(ddof=1)

    def _again(self, policy: str) -> pd.Series:
        """Votes of the baseline's seeds."""
        runs = self.runs("baseline")
        return runs.loc[runs["policy"] == policy, "vote"].dropna()

    def _half_width(self, policy: str, seeds: int) -> float:
        """Half the 95 % interval of a vote that is the mean of so many seeds."""
        votes = self._again(policy)
        return _student(len(votes)) * votes.std(ddof=1) / math.sqrt(seeds) if seeds else math.nan

    def training_time(self, study: str, field: str = "value") -> dict[Any, float]:
        """Seconds of training on one image by the values of a field, of the runs of a sweep that were timed.

        All were timed in turns, with a learned policy: the seconds are those of that machine, their ratios are meant.
        """
        timed = self.runs(study).dropna(subset="seconds_per_image")
        return dict(zip(timed[field], timed["seconds_per_image"], strict=True))

    def _against_reference(self, row, table: pd.DataFrame) -> str:
        reference = table[(table["policy"] == row.policy) & table["as_published"]]
        if reference.empty or math.isnan(row.vote):
            return ""
        if row.as_published:
            return "reference"
        return _verdict(row.vote - reference["vote"].iloc[0], self.threshold(row.policy))


def _any_policy_and_seed(config: Config) -> Config:
    """What the runs that take equally long have in common."""
    return config.model_copy(update={"policy": "learned", "seed": 0})


def _row(label: str, config: Config, folder: Path, best: bool, seconds_per_image: float) -> dict[str, Any]:
    """What is known of one run; validation accuracies are of its best epoch, or else of the last."""
    run = Run(folder)
    result = run.read("result.json") or {}
    if result and run.config() != config:
        raise UserError(f"{folder} holds another run than the study's: remove it, or train the study elsewhere.")
    history = events.history(run) if result else {}
    validation, test = result.get("validation", {}), result.get("test") or {}
    if not best:
        curves = {kind: history[name] for kind, name in AFTER_EPOCHS.items() if name in history}
        for kind, values in curves.items():
            if len(values) < result["epochs"]:
                raise UserError(
                    f"the event files of {folder} hold {len(values)} of {result['epochs']} epochs ({kind}): take "
                    "another copy, or remove the run and train it anew."
                )
        validation = validation | {kind: values[-1] for kind, values in curves.items()}
    grown = min(config.curriculum_epochs, config.epochs - 1) if config.curriculum else 0  # smaller images are quicker
    seconds = min(history.get("seconds", [])[grown:] or [result.get("seconds", {}).get("per_epoch", math.nan)])
    per_epoch = seconds_per_image * (run.read("dataset.json") or {}).get("train", math.nan)
    found = published.find(config)
    curve = found.curve if found else ()
    return {
        "value": label,
        "folder": folder,
        **dict(config),
        **{kind: validation.get(kind, math.nan) for kind in (*KINDS, *PARTS)},
        **{f"test_{kind}": test.get(kind, math.nan) for kind in (*KINDS, *PARTS)},
        **{f"{split}_images": result.get("dataset", {}).get(split, math.nan) for split in ("validation", "test")},
        **{f"cost_{name}": value for name, value in result.get("cost", {}).items()},
        "trained_epochs": result.get("epochs", math.nan),
        "best_epoch": result.get("best_epoch", math.nan),
        "core_seconds": seconds * _cores(run),
        "core_hours": result.get("seconds", {}).get("total", math.nan) * _cores(run) / 3600,
        "seconds_per_image": seconds_per_image,
        "seconds_per_epoch": per_epoch,
        "minutes": per_epoch * config.epochs / 60,
        "published": found.vote if found and found.vote is not None and found.epochs > 1 else math.nan,
        "published_sampled": found.sampled if found and found.sampled and found.epochs > 1 else math.nan,
        "published_epochs": found.epochs if found else math.nan,
        "published_then": curve[config.epochs - 1] if len(curve) >= config.epochs else math.nan,
        "published_seconds": found.seconds_per_epoch if found and found.seconds_per_epoch else math.nan,
        "as_published": found is not None and published.is_baseline(config),
    }


def _cores(run: Run) -> int:
    """The cores that a run had; 1 if it had a GPU."""
    card = run.read("hardware.json") or {}
    return card.get("cores", 1) if card.get("gpu", "none") == "none" else 1


def _verdict(difference: float, threshold: float) -> str:
    """What a difference of accuracies says, nothing where one of the numbers is missing."""
    if math.isnan(difference) or math.isnan(threshold):
        return ""
    return ("better" if difference > 0 else "worse") if abs(difference) > threshold else "no difference"


def _timings(path: Path) -> dict[str, dict[str, list[float]]]:
    try:
        return {**json.loads(path.read_text())}
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"cannot read the timings {path} ({error}): name a file that a benchmark wrote with --json-file."
        ) from None


def _half_widths(shares: pd.DataFrame, learned: Sequence[str], alike: bool, images: pd.Series) -> pd.Series:
    """Half of the 95 % interval of each row's mean, see `Results.comparison`; a column of `shares` is a seed."""
    mean = shares.mean(axis=1)
    of_one_answer = (mean * (1 - mean)) ** 0.5
    unit = pd.Series(1.0, shares.index) if alike else of_one_answer
    between, freedom = _pooled(shares.div(unit, axis=0).loc[learned])
    of_seeds = _student(freedom + 1) * unit * (between / shares.count(axis=1).clip(lower=1)) ** 0.5
    return of_seeds.where(shares.index.isin(learned) & bool(freedom), 1.96 * of_one_answer / images**0.5)


def _pooled(table: pd.DataFrame) -> tuple[float, int]:
    """The variance between the columns of a table, of all rows together, and its degrees of freedom."""
    freedom = int((table.count(axis=1) - 1).clip(lower=0).sum())
    squares = table.sub(table.mean(axis=1), axis=0).pow(2).sum().sum()
    return squares / freedom if freedom else math.nan, freedom


def _residual(table: pd.DataFrame) -> tuple[float, int]:
    """The variance of one entry of a table beside the means of rows and columns, and its degrees of freedom.

    Rows that lack an entry are left out.
    """
    whole = table.dropna()
    left = whole.sub(whole.mean(axis=1), axis=0) - (whole.mean() - whole.mean().mean())
    freedom = max(len(whole) - 1, 0) * max(whole.shape[1] - 1, 0)
    return left.pow(2).sum().sum() / freedom if freedom else math.nan, freedom


def _student(seeds: int) -> float:
    """Half the 95 % interval of one value, in deviations that so many seeds tell; NaN if they tell none."""
    from scipy import stats

    return float(stats.t.ppf(0.975, seeds - 1)) if seeds > 1 else math.nan
