"""Sets the studies' runs beside what was published: `python -m nam.report`."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from pydantic import Field
from scipy import stats

from nam import charts, claims, command, events, plots, published, scorecard, transfer
from nam.config import Config, Execution, Values
from nam.configs import TOLD, Study, choose_studies, named_configs, studies
from nam.errors import UserError
from nam.files import replacing, user_path
from nam.results import COST, POLICIES, VOTE, Results
from nam.runs import Run

DESCRIPTION = (
    "Writes REPORT.md and its figures from the runs under LOGS: what became of the paper's ten claims, and for each "
    "study (all, if none is named) a table and figures beside the published ones."
)
TIMINGS = Path("benchmarks/results/sweeps.json")
PRICES = Path("benchmarks/results/models.json")
LABELS = {
    **dict.fromkeys(("baseline", "glimpses", "epochs"), "looks"),
    "bandwidth": "bandwidth, pixels",
    "scales-vs-bandwidth": "scales × pixels",
    "std": "std, half-widths",
    "batch-size": "batch",
}
SHOWN = {
    "accuracy": "accuracy by value",
    "curves": "votes by epoch and by minutes of training",
    "time": "time of an epoch by value",
}
INTRODUCTION = """\
The study (Belaid 2019; its code and logs:
[Karim-53/Comparison-of-Neuronal-Attention-Models](https://github.com/Karim-53/Comparison-of-Neuronal-Attention-Models))
varied seven hyper-parameters of the recurrent attention model. The policy, which says where to look next, was never
trained: like the code that it descends from (zhongwen/RAM, reported there as issue 3), its code stops the gradient at
the policy's mean. So every run of its sweeps exists twice here, `frozen` as published and `learned` as intended, which
separates the effects of the hyper-parameters from those of the untrained policy.

Task `belaid` (the published code's data, MNIST on 100×100 among fragments), the published network, sensor, rewards and
learning rates (`--config published`), but for what a study varies and for the budget: {samples} Monte-Carlo copies
(published: {published_samples}), {epochs} epochs (published: up to 100), as many seeds as the tables say. Accuracies
are those on 6,000 validation images after the last epoch (`result.json` has those of the best one); the test split is
left alone. All looks are counted: the published code makes one more than its names say, so its 4 are 5 here.

A verdict compares the vote with that of the **reference**, the run of the same policy with the values that all other
sweeps have: {reference}. **Better** and **worse** are said only of votes that are further apart
than the **threshold**, 2√2 standard deviations between the seeds of study `baseline`: {thresholds}.{chance} A claim
that one value is above another is **confirmed** if it is by more than the threshold, **refuted** if the reverse holds
by more than that, and otherwise **not shown**. **An artefact** of the untrained policy is a claim that is confirmed
frozen and refuted learned, one of the published sensor a time that its operation takes and ours does not. A claim that
values are alike is confirmed as long as no difference is seen, which is weak evidence. {gap}

± is half a 95 % interval, from the deviation between the seeds of `baseline`: other first weights, training images and
gazes. All validate on the same images, whose choice is not in it. It is wider than what a verdict asks for. What was
published is of a frozen policy: its accuracy on test images, or as the
paper's tables say.

{timed} {spent}
"""
SUMMARY = (
    "A point is a run, 15 epochs of training but for those of `epochs`, which are 100; the best two and the worst of "
    "each kind are named. Published ones are of 100 epochs and 10 copies on a GPU, their accuracies of test images or "
    "as the paper's tables say."
)
COMPARISONS = """\
What follows is not of that study, and what was said of its task, copies, epochs and splits does not hold here. `recipe`
and `recipe-long` chose nam's defaults, on validation images; the others set models beside published ones, on test
images. Accuracies are those of the epoch that is best on validation. Only RAM's recipe was searched, on cluttered 60×60
images; the others have Adam at 1e-3, halved where progress ends. FC stays 2 to 6 points below Mnih et al.'s.

The std of the policy was searched on 60×60 pixels alone. On other canvases it ends at as many pixels as there (1.5),
and begins at as many on smaller ones (4.5), on larger ones at √(canvas / 60) times that. In `recipe-long` 4 copies at a
rate of 1e-3 and 2 copies at 5e-4 cannot be told apart; the default is the latter.
"""
CHANCE = (
    " So few seeds tell a deviation only roughly: two equal single runs are held to differ in {:.0f} % of cases, some "
    "two of four in about 40 %, and differences near the threshold are tentative. Runs of 100 epochs are held to the "
    "same one."
)
SPENT = (
    "The {runs} different runs that are finished took {hours:.0f} core-hours, beside other work ({ways}), so that "
    "their own times cannot be compared; `hardware.json` of each names its commit and libraries."
)
TIMED = (
    "Seconds per epoch and minutes are those of training alone on {cores} cores of an {cpu}, without XLA, timed by "
    "`python -m benchmarks.sweeps` for all runs of a sweep in turns, with a learned policy; those of the reference "
    "differ by up to {spread:.0f} % between sweeps. Published ones are those of a GPU. With XLA, the default on a CPU, "
    "training with 4 copies takes longer than linearly in the looks from about ten on."
)
COMPARED = """\
- accuracies: on the {split} split after the epoch that is best on validation, by the deterministic gaze (by the vote
  where the policy is not learned, by one sampled gaze where the std changes)
- ours: the deterministic gaze's, where the policy is not learned one sampled gaze's; ± is half a 95 % interval, from
  the deviation between seeds or, of one seed and of gazes that do not learn, the choice of the images
- core-s/epoch: the quickest epoch's seconds, of those after a curriculum, its validation (of RAM with several gazes)
  included, times the run's cores; core-minutes: all epochs', as they were, on cores that had other work too"""
PRICED = "- ms/image: the least of several timings by `python -m benchmarks.models` on {cores} cores of an {cpu}"
LABELLED = (*TOLD, "model", "task", "canvas", "glimpses", "bandwidth", "scales", "hidden", "policy")
VERDICTS = """\
- verdict: compares with the first row, seed by seed; a difference is one outside of 95 % of those between equal rows,
  by the deviation that all rows' seeds tell; where the first row was lucky, all others are behind it together"""


class Options(Values):
    names: command.StudyNames = Field(description="studies of configs.json, or all (also if none is named)")
    logs: str = Execution.model_fields["logs"]
    timings: str | None = Field(
        None,
        description=f"what benchmarks.sweeps wrote as its --json-file. None: {TIMINGS}, if there",
    )
    prices: str | None = Field(
        None, description=f"what benchmarks.models wrote as its --json-file. None: {PRICES}, if there"
    )
    folder: str = Field("docs/report", description="where REPORT.md and its figures go")


def main(argv: Sequence[str]) -> None:
    if not argv or (argv[0].startswith("-") and not {"-h", "--help"} & {*argv}):
        argv = ["all", *argv]
    options = command.options(Options, argv, "python -m nam.report", DESCRIPTION)
    chosen = choose_studies(options.names)
    timings = _measured(options.timings, TIMINGS, "claims about time stay open; name it with --timings")
    prices = _measured(options.prices, PRICES, "models have no time per image; name it with --prices")
    results = Results(user_path(options.logs), timings, prices)
    if not _begun(results, chosen):
        raise UserError(
            f"no run of {'any study' if chosen.keys() == studies().keys() else ' or '.join(chosen)} is finished under "
            f"{options.logs}: train them by python -m nam.study {' '.join(options.names)}, or name another with --logs."
        )
    text, figures = report(results, chosen)
    folder = user_path(options.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            with replacing(folder / name) as temporary:
                figure.savefig(temporary, dpi=90)
        with replacing(folder / "REPORT.md") as temporary:
            temporary.write_text(text)
    except OSError as error:
        raise UserError(f"cannot write to {folder} ({error.strerror}): name another --folder.") from None
    print(f"{folder / 'REPORT.md'}, {len(figures)} figures")


def _measured(named: str | None, usual: Path, without: str) -> Path | None:
    """The file named, else the usual one if there is one, and if there is none, a line that says what is missing."""
    if named is None and not usual.exists():
        print(f"{usual} is not here: {without}")
        return None
    return user_path(named) if named else usual


def report(results: Results, chosen: dict[str, Study]) -> tuple[str, dict[str, Figure]]:
    """The report in Markdown, and its figures by their files' names."""
    sweeps, comparisons = ([name for name, plan in chosen.items() if bool(plan.rows) is rows] for rows in (False, True))
    found = claims.findings(results, sweeps)
    verdicts = pd.DataFrame(
        {"": claim.number, "claim": claim.sentence, "in the paper": claim.source, "verdict": f"**{finding.verdict}**"}
        for claim, finding in found
    )
    parts = ["# What the study's hyper-parameters do", _introduction(results, sweeps), "## The paper's claims"]
    parts += [_markdown(verdicts), *(told(*pair) for pair in found)]
    figures = {}
    begun = _begun(results, chosen)
    for name in [name for name in sweeps if name in begun]:
        parts += [f"## {name}", of_study(results, name)]
        for kind, figure in charts_of(results, name).items():
            figures[f"{name}-{kind}.png"] = figure
            parts.append(f"![{SHOWN[kind]}: {name}]({name}-{kind}.png)")
    points = everything(results, sweeps)
    if len(points):
        figures["summary.png"] = charts.summary(points)
        parts += ["## All of it", SUMMARY, "![every run's accuracy against its time](summary.png)"]
    compared = [name for name in comparisons if name in begun]
    parts += ["# Models beside models, and the search for the defaults", COMPARISONS] if compared else []
    for name in compared:
        parts += [f"## {name}", of_comparison(results, name)]
        if name == "size":
            figures["size.png"] = charts.size(results.comparison(name), chosen[name].untrained)
            parts.append("![error and cost against the side of the canvas](size.png)")
        for label, run in _runs(results, name):
            if run.config().model == "edram" and "seconds" in (history := events.history(run)):
                figures[f"{name}-{run.path.name}-curves.png"] = plots.curves(history)
                parts.append(f"![{label}, epoch by epoch]({name}-{run.path.name}-curves.png)")
            if "windows" in (found := run.read("evaluation.json") or {}):
                figures[f"{name}-{run.path.name}.png"] = plots.by_look(found["windows"])
                parts.append(f"**{label}**, look by look (split {found['split']}):")
                parts.append(f"![{label}, look by look]({name}-{run.path.name}.png)")
    waiting = [name for name in chosen if name not in begun]
    if waiting:
        parts.append(f"No run is finished of the studies {', '.join(waiting)}.")
    sources = "; ".join(published.everything()["sources"])
    parts.append(f"Published numbers: {sources}. Published times are of a {published.everything()['machine']}.")
    return "\n\n".join(parts) + "\n", figures


def _begun(results: Results, names: Iterable[str]) -> list[str]:
    """Those studies of which a run is finished."""
    return [name for name in names if _own(results, name)["deterministic"].notna().any()]


def _own(results: Results, study: str) -> pd.DataFrame:
    """The runs of a study without those that it borrows from `baseline`."""
    runs = results.runs(study)
    return runs[runs["own"]]


def told(claim: claims.Claim, finding: claims.Finding) -> str:
    """A claim, what became of it, and why, in Markdown."""
    verdict = finding.verdict[0].upper() + finding.verdict[1:]
    return "\n".join(
        [f"**{claim.number}. {claim.sentence}** {verdict}; it {claim.test}.", "", *(f"- {e}" for e in finding.evidence)]
    )


def claims_of(results: Results, study: str | None = None) -> str:
    """What became of the claims that a study (`None`: any) is about, in Markdown."""
    return "\n\n".join(told(*pair) for pair in claims.findings(results, study and [study]))


def charts_of(results: Results, study: str) -> dict[str, Figure]:
    """The figures of a study, by kind: `accuracy` by value, `curves` against epochs and minutes, `time` by value."""
    label, table = LABELS.get(study, study), results.table(study)
    figures = {"accuracy": charts.sweep(table, label)} if table["value"].nunique() > 1 else {}
    figures["curves"] = charts.curves(curves(results, study), label)
    ours = results.training_time(study)
    if len(ours) > 1:
        figures["time"] = charts.times(ours, published_times(results, study), label)
    return figures


def curves(results: Results, study: str) -> dict[str, dict[str, list[pd.DataFrame]]]:
    """Validation curves of a study's runs, by policy and value; those published as a third group.

    Of the published ones as many epochs as ours have.
    """
    runs, configs = results.runs(study), studies()[study].runs()
    groups = {name: {value: [] for value in runs["value"]} for name in (*POLICIES, "published (frozen)")}
    for name, run in runs.iterrows():
        curve = results.curve(study, name)
        groups[run["policy"]][run["value"]] += [curve] if VOTE in curve else []
    for name, config in configs.items():
        theirs = published_curve(config).head(config.epochs)
        if config.policy == "frozen" and config.seed == studies()[study].seeds[0] and len(theirs):
            groups["published (frozen)"][runs.loc[name, "value"]].append(theirs)
    return groups


def published_curve(config) -> pd.DataFrame:
    """What is known of a config's published curve, as `Results.curve` gives ours."""
    found = published.find(config)
    curve = pd.Series(found.curve if found else (), dtype=float)
    frame = pd.DataFrame({VOTE: curve.to_numpy()}, index=pd.RangeIndex(1, len(curve) + 1, name="epoch"))
    if found and found.seconds_per_epoch:
        frame["minutes"] = frame.index * found.seconds_per_epoch / 60
    return frame


def published_times(results: Results, study: str) -> dict[str, float]:
    """Published seconds per epoch by value; where one field varies, also of values that no run of ours has."""
    runs = results.runs(study).dropna(subset="published_seconds")
    known = dict(zip(runs["value"], runs["published_seconds"], strict=True))
    (field, *more) = studies()[study].vary
    if more or field not in published.LOGGED:
        return known
    return {**known, **{str(value): seconds for value, seconds in published.times(field).items()}}


def everything(results: Results, names: Iterable[str]) -> pd.DataFrame:
    """Every finished run of the studies as a point, for `charts.summary`, and what was published of it: each once."""
    ours, columns = _finished(results, names), ["name", "who", "minutes", "accuracy"]
    if ours.empty:
        return pd.DataFrame(columns=columns)
    theirs = ours.assign(
        who="published", minutes=ours["published_epochs"] * ours["published_seconds"] / 60, accuracy=ours["published"]
    ).drop_duplicates(["minutes", "accuracy"])
    ours = ours.assign(who=ours["policy"], accuracy=ours["vote"])
    return pd.concat([ours[columns], theirs[columns]]).dropna()


def _finished(results: Results, names: Iterable[str]) -> pd.DataFrame:
    """The finished runs of some studies, `name`d by what varies; the same run of two studies once."""
    runs = []
    for study in names:
        label = LABELS.get(study, study).partition(",")[0]
        found = results.runs(study).dropna(subset="vote")
        runs.append(found.assign(name=[f"{label} {value}" for value in found["value"]]))
    runs = [each for each in runs if len(each)]
    return pd.concat(runs).drop_duplicates([*Config.model_fields]) if runs else pd.DataFrame()


def _introduction(results: Results, sweeps: Iterable[str]) -> str:
    plan = studies()["baseline"].fixed
    base = published.base()
    told = " and ".join(
        f"{100 * results.threshold(policy):.1f} points ({policy})"
        for policy in POLICIES
        if not math.isnan(results.threshold(policy))
    )
    seeds = [row.seeds for row in results.table("baseline").itertuples() if row.seeds > 1]
    epochs = sorted({study.fixed["epochs"] for study in studies().values() if study.vary})
    return INTRODUCTION.format(
        samples=plan["samples"],
        published_samples=base.samples,
        epochs=" or ".join(map(str, epochs)),
        reference=f"{base.glimpses} looks, {base.scales} linear scales of {base.bandwidth} pixels, std {base.std:g}, "
        f"batches of {base.batch_size}, {base.optimizer.capitalize()} at {base.learning_rate:g}",
        thresholds=told or "not known yet",
        chance=CHANCE.format(200 * stats.t.sf(2, min(seeds) - 1)) if told else "",
        gap=_gap(results, sweeps),
        timed=_timed(results, sweeps),
        spent=_spent(results, sweeps),
    )


def _timed(results: Results, sweeps: Iterable[str]) -> str:
    """How times were measured, in sentences."""
    again = [row.seconds_per_image for name in sweeps for row in results.runs(name).itertuples()
             if row.as_published and row.seconds_per_image > 0]  # fmt: skip
    if not again or not results.machine:
        return "Times were not measured."
    return TIMED.format(**results.machine, spread=100 * (max(again) / min(again) - 1))


def _spent(results: Results, sweeps: Iterable[str]) -> str:
    """What the sweeps' finished runs took, and on what, in a sentence; nothing if none is."""
    runs = _finished(results, sweeps)
    if runs.empty:
        return ""
    cards = [Run(folder).read("hardware.json") or {} for folder in runs["folder"]]
    ways = Counter(
        f"{card.get('cores')} of the cores of an {card.get('cpu')}, {card.get('backend')}, `--jit {card.get('jit')}`"
        for card in cards
    )
    return SPENT.format(
        runs=len(runs),
        hours=runs["core_hours"].sum(),
        ways="; ".join(f"{count} on {way}" for way, count in ways.most_common()),
    )


def _gap(results: Results, sweeps: Iterable[str]) -> str:
    """How far frozen runs are from the published curves, in a sentence; nothing if none has one."""
    pairs = {(row.vote, row.published_then) for name in sweeps for row in results.runs(name).itertuples()
             if row.policy == "frozen"}  # fmt: skip
    points = [100 * (ours - theirs) for ours, theirs in pairs if not math.isnan(ours - theirs)]
    if not points:
        return ""
    return (
        f"The votes of the {len(points)} frozen runs that have a published curve are {min(points):+.1f} to "
        f"{max(points):+.1f} points away from it at the same epoch, for reasons that are not known ([what was tried]"
        "(../published.md)); so verdicts compare ours with ours."
    )


def of_study(results: Results, name: str) -> str:
    """A study's question, how far it is, and its table, in Markdown."""
    plan = studies()[name]
    table = results.table(name)
    runs = _own(results, name)
    frozen = table.where(table["policy"] == "frozen")  # as all that was published is
    done = int(runs["vote"].notna().sum())
    missing = "" if done == len(runs) else f" {done} of {len(runs)} runs are finished."
    shown = pd.DataFrame({
        LABELS.get(name, name): table["value"],
        "policy": table["policy"],
        "seeds": table["seeds"],
        "sampled": table["sampled"].map(_percent),
        "deterministic": table["deterministic"].map(_percent),
        "vote of 10": [_percent(*pair) for pair in zip(table["vote"], table["interval"], strict=True)],
        "s/epoch": table["seconds_per_epoch"].map(_count),
        "minutes": table["minutes"].map(_number),
        "published vote, same epoch": frozen["published_then"].map(_percent),
        "published accuracy (epochs)": [
            "" if math.isnan(vote) else f"{_as_printed(vote, 1)} ({epochs:.0f})"
            for vote, epochs in zip(frozen["published"], frozen["published_epochs"], strict=True)
        ],
        "published s/epoch": frozen["published_seconds"].map(_count),
        "verdict": table["verdict"],
    })  # fmt: skip
    budget = f"{table['epochs'].iloc[0]:.0f} epochs, {table['samples'].iloc[0]:.0f} copies."
    return f"{plan.question}{missing} {budget}\n\n{_markdown(shown)}"


def of_comparison(results: Results, name: str) -> str:
    """A comparison's question, how far it is, and its table, in Markdown."""
    plan, table = studies()[name], results.comparison(name)
    runs = results.runs(name)
    done, wanted = runs["deterministic"].notna().sum(), len(runs) - runs["value"].isin(plan.untrained).sum()
    missing = "" if done == wanted else f" {done} of {wanted} runs are finished."
    theirs = ["; ".join(_theirs(**each) for each in published.compared(name, label)) for label in table["label"]]
    shown = pd.DataFrame({
        "model": table["label"],
        "seeds": table["seeds"],
        "published": theirs,
        "ours": [
            _percent(row.deterministic, row.interval_deterministic) if row.policy == "learned"
            else _percent(row.sampled, row.interval_sampled)
            for row in table.itertuples()
        ],
        "one sampled gaze": [_percent(row.sampled, row.interval_sampled) for row in table.itertuples()],
        "vote of 10": table["vote"].map(_percent),
        "digits right": table["digits"].map(_percent),
        "overlap of windows (IoU)": table["overlap"].map(_number),
        **{kind.replace("_", " "): table[kind].map(_count) for kind in COST if plan.test or table[kind].nunique() > 1},
        "core-s/epoch": table["core_seconds"].map(_count),
        "core-minutes": (60 * table["core_hours"]).map(_count),
        "otherwise": [_values({f: v for f, v in row.items() if plan.test and f not in LABELLED}) for row in plan.rows],
        "best epoch": [
            f"{_count(row.best)} of {_count(row.trained)}" if row.seeds else "" for row in table.itertuples()
        ],
        "ms/image alone": table["milliseconds_1"].map(_number),
        "in 32": table["milliseconds_32"].map(_number),
    })  # fmt: skip
    shown = shown.loc[:, (shown != "").any()]  # without prices, or what was published
    compared = table["verdict_deterministic"].any() or table["verdict_sampled"].any()
    if compared:
        shown["verdict"] = table["verdict_deterministic"]
        shown["verdict, one sampled gaze"] = table["verdict_sampled"]
    starts = dict.fromkeys(row["config"] for row in plan.rows if "config" in row)
    told = [f"- all rows: {_values(plan.fixed)}"]
    told += [f"- those of `{start}`: {_values(named_configs()[start])}" for start in starts]
    told += ["- otherwise: what a row has in place of these"] if "otherwise" in shown else []
    told += [COMPARED.format(split="test" if plan.test else "validation")]
    told += [VERDICTS] if compared else []
    told += [PRICED.format(**results.priced)] if results.priced else []
    without = "; ".join(f"{label} ({reason})" for label, reason in plan.untrained.items())
    parts = [f"{plan.question}{missing}{without and f' Not trained: {without}.'}", _markdown(shown), "\n".join(told)]
    for label, run in _runs(results, name):
        for split, moved in (run.read("transfer.json") or {}).items():
            parts += [f"**{label}**, on other images (split {split}):", transfer.table(moved)]
        if both := run.read("together.json"):
            parts += [f"**{label}**, together with others:", scorecard.together(both)]
    if others := published.elsewhere(name):
        systems = pd.DataFrame({
            "system": each["system"],
            "task": each["task"],
            "accuracy": _as_printed(each["accuracy"], 2),
            "millions of parameters": each.get("millions", ""),
        } for each in [*others, *_systems(results, name)])  # fmt: skip
        parts += ["What was published elsewhere, and ours beside it:", _markdown(systems)]
    return "\n\n".join(parts)


def _systems(results: Results, study: str) -> Iterator[dict[str, Any]]:
    """The finished runs of a comparison, and what several read together, as `published.elsewhere` tells of others."""
    for label, run in _runs(results, study):
        config, result = run.config(), run.read("result.json")
        if not result["test"]:
            continue
        numbers = "MNIST digits in SVHN's places, whole numbers: another task"
        task = numbers if config.task == "sequence" else f"MNIST {config.task}, {config.canvas}×{config.canvas}"
        yield {
            "system": f"**{label}** (ours)",
            "task": task,
            "accuracy": result["test"]["deterministic"],
            "millions": f"{result['parameters'] / 1e6:.2g}",
        }
        if both := run.read("together.json"):
            others = len(both["runs"]) - 1
            yield {
                "system": f"**{label}**, together with {others} other{'s' * (others > 1)} (ours)",
                "task": task,
                "accuracy": both["together"]["whole"],
                "millions": f"{sum(each['parameters'] for each in both['runs']) / 1e6:.2g}",
            }


def _runs(results: Results, study: str) -> list[tuple[str, Run]]:
    """The finished runs of a comparison, with what they are called."""
    finished = results.runs(study).dropna(subset="deterministic")
    several = finished["seed"].nunique() > 1
    return [(row.value + f", seed {row.seed}" * several, Run(row.folder)) for row in finished.itertuples()]


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{field} {'none' if value is None else value}" for field, value in values.items())


def _theirs(by: str, accuracy: float, epoch: int | None = None, parameters: str | None = None) -> str:
    told = [by, *[f"epoch {epoch}"] * bool(epoch), *[f"{parameters} parameters"] * bool(parameters)]
    return f"{_as_printed(accuracy, 2)} ({', '.join(told)})"


def _count(value: float) -> str:
    return "" if math.isnan(value) else f"{value:,.0f}"


def _number(value: float) -> str:
    return _count(value) if not value < 10 else f"{value:.2g}"


def _percent(share: float, interval: float = math.nan) -> str:
    if math.isnan(share):
        return ""
    if math.isnan(interval):
        return f"{100 * share:.1f} %"
    return f"{100 * share:.1f} ± {100 * interval:.1f} %".replace(" ", "\N{NO-BREAK SPACE}")  # one line of a cell


def _as_printed(share: float, decimals: int) -> str:
    return f"{round(100 * share, decimals):g} %"


def _markdown(table: pd.DataFrame) -> str:
    return table.to_markdown(index=False, disable_numparse=True)


if __name__ == "__main__":
    command.run(main)
