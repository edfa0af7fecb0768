"""Runs whole studies: `python -m nam.study glimpses std`."""

import contextlib
import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from nam import command, events
from nam.config import Config, Execution, Values
from nam.configs import Study, choose_studies
from nam.engines import ELSEWHERE, FAILURE, Local, OnRay
from nam.errors import UserError, first_line
from nam.files import user_path
from nam.runs import MODEL, Busy, Run, only_one
from nam.signals import STOPS, Signals, Stopped

DESCRIPTION = (
    "Trains every run of the studies named (`all`: of all), each in a process of its own, and leaves them under "
    "LOGS/STUDY. What is finished is skipped, what was interrupted goes on, and what fails does not stop the rest."
)
# Work for each pixel of an image, from measured times; another model counts as one that looks.
PER_PIXEL = {"fc": 3e2, "cnn": 1.5e3, "simple-cnn": 1e4, "self-attention": 1.2e4, "keras-cnn": 2e4}
STOPPED_AFTER = 40  # epochs, about, where patience ends a run

Engine = Callable[[Config, Execution], str | None]  # trains a run; returns why it failed, if it did


class Options(Values):
    names: command.StudyNames = Field(description="studies of configs.json, or all")
    list: bool = Field(False, description="print the studies with their questions and runs, and train nothing")
    dry_run: bool = Field(False, description="print what would be trained, and train nothing")
    epochs: int | None = Field(None, ge=1, description="epochs of every run. None: as the study says")
    seeds: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="seeds 0 to N - 1; nam.report takes all that are finished. None: as the study says",
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=256,
        description="runs that are trained at a time, each on a share of the cores. None: 1, on Ray as many as it has "
        "room for",
    )
    engine: Literal["local", "ray"] = Field("local", description="where: on this machine, or on a Ray cluster")
    address: str = Field("auto", description="the Ray cluster's: HOST:PORT. auto: that of this machine")
    gpus_per_run: float = Field(0.0, ge=0, le=64, description="GPUs, or the share of one, that Ray keeps for each run")
    cpus_per_run: float = Field(1.0, gt=0, le=1024, description="processor cores that Ray keeps for each run")
    logs: str = Execution.model_fields["logs"]
    data_dir: str | None = Execution.model_fields["data_dir"]
    jit: Literal["auto", "on", "off"] = Execution.model_fields["jit"]
    mixed_precision: bool = Execution.model_fields["mixed_precision"]


class Task(NamedTuple):
    """One run of a study."""

    study: str
    name: str
    config: Config  # resolved
    test: bool = False  # whether the test split is used

    @property
    def work(self) -> float:
        """How long it takes, about, in some unit: looks that are computed, and pixels that they read."""
        config = self.config
        epochs = min(config.epochs, STOPPED_AFTER) if config.patience else config.epochs
        images = epochs * (config.train_size or 54_000)
        if config.model in PER_PIXEL:
            return images * PER_PIXEL[config.model] * (config.canvas or 100) ** 2
        if config.model == "edram":
            return images * 0.7 * config.glimpses * config.bandwidth**2 * config.hidden**2
        look = 3e5 + 128 * config.bandwidth**2 * config.scales
        # All else takes about as long as one more look, and one more copy.
        return images * (config.samples + 1) * (config.glimpses + 1) * look

    def run(self, logs: Path) -> Run:
        """Its folder. Raises `UserError` if another run lives there."""
        return Run.of(self.config, self.execution(logs))

    def is_done(self, logs: Path) -> bool:
        """Whether it is finished, and tested if it is to be and can be; not if its result cannot be read."""
        run = self.run(logs)
        try:
            result = run.read("result.json")
        except UserError:  # its own process will say so, while the others are trained
            return False
        return result is not None and bool(result.get("test") or not self.test or not (run.path / MODEL).exists())

    def execution(self, logs: Path, **how) -> Execution:
        """Where and how it runs: a search leaves the test split alone."""
        return Execution(
            logs=str(logs), study=self.study, name=self.name, no_test=not self.test, no_pictures=True, **how
        )


def tasks(chosen: dict[str, Study], epochs: int | None = None, seeds: int | None = None) -> list[Task]:
    """The runs of some studies."""
    found = []
    for name, study in chosen.items():
        if seeds is not None:
            study = study.model_copy(update={"seeds": tuple(range(seeds))})
        for run, config in study.runs(epochs).items():
            found.append(Task(name, run, config, study.test))
    return found


def same_run(task: Task, logs: Path, mixed_precision: bool = False) -> Path | None:
    """The folder of the same run, finished under another study's name: one of the same config and precision."""
    for result in sorted(logs.glob("*/*/result.json")):
        with contextlib.suppress(UserError):  # a folder that cannot be read is not the same run
            run = Run(result.parent)
            result, card = run.read("result.json"), run.read("hardware.json") or {}
            alike = run.config() == task.config and card.get("mixed_precision", False) == mixed_precision
            if alike and result.get("validation") and (result.get("test") or not task.test):
                return run.path
    return None


def train_all(
    todo: Sequence[Task], engine: Engine, logs: Path, workers: int, **how
) -> Iterator[tuple[Task, str | None, float]]:
    """Trains the runs; yields each as it ends: the run, why it failed or `None`, and its seconds.

    `how` are values of their `Execution`.
    """
    # The same run of two studies is trained once, and then copied.
    one_at_a_time = {task.config: threading.Lock() for task in todo}

    def attempt(task: Task) -> str | None:
        digest = hashlib.sha256(task.config.to_json().encode()).hexdigest()[:16]
        with one_at_a_time[task.config], only_one(logs / f".{digest}.lock", ELSEWHERE):
            same, folder = same_run(task, logs, how.get("mixed_precision", False)), task.run(logs).path
            if same is None or (folder / "config.json").exists():
                return engine(task.config, task.execution(logs, **how))
            _copy(same, folder, digest)
            return None

    def timed(task: Task):
        begun = time.monotonic()
        try:
            failure = attempt(task)
        except Busy:
            failure = ELSEWHERE
        except Exception as error:  # whatever it is, the rest goes on
            failure = first_line(error)
        return task, failure, time.monotonic() - begun

    pool = ThreadPoolExecutor(workers)
    try:
        for ended in as_completed([pool.submit(timed, task) for task in todo]):
            yield ended.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _copy(run: Path, folder: Path, digest: str) -> None:
    """Copies a run's folder under another study's name, while nobody else trains or copies what has that `digest`."""
    temporary = run.parent / f".copy-{digest}"
    shutil.rmtree(temporary, ignore_errors=True)  # of a study that was killed
    try:
        copy = shutil.copytree(run, temporary / folder.parent.name / folder.name)
        events.of_copy(Run(copy))
        folder.parent.mkdir(exist_ok=True)
        (folder / FAILURE).unlink(missing_ok=True)
        copy.rename(folder)  # which an empty folder does not hinder
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def main(argv: Sequence[str]) -> int:
    if "--list" in argv and argv[0].startswith("--"):
        argv = ["all", *argv]
    options = command.options(Options, argv, "python -m nam.study", DESCRIPTION)
    for name in ("address", "gpus_per_run", "cpus_per_run"):
        if options.engine == "local" and getattr(options, name) != Options.model_fields[name].default:
            raise UserError(f"--{name.replace('_', '-')} is for Ray: add --engine ray, or leave it out.")
    chosen = choose_studies(options.names)
    todo = tasks(chosen, options.epochs, options.seeds)
    if options.list:
        for name, study in chosen.items():
            count, fixed = sum(task.study == name for task in todo), json.dumps(study.fixed)
            rows = [row["label"] for row in study.rows if "untrained" not in row]
            differ = json.dumps(study.vary) if study.vary else "; ".join(rows)
            print(f"{name}: {study.question}\n  {count} runs: {differ}")
            policies = f"; policies {', '.join(study.policies)}" if study.vary else ""
            print(f"  all else {'as published' if study.vary else 'by default'}, but {fixed}{policies}")
        return 0
    logs = user_path(options.logs)
    left = [task for task in todo if not task.is_done(logs)]
    if len(left) < len(todo):
        print(f"{len(todo) - len(left)} of {len(todo)} runs are finished")
    if options.dry_run:
        print("\n".join(f"{task.study}/{task.name}" for task in left))
        return 0
    if not left:
        return 0
    if options.engine == "ray":
        engine = OnRay(options.address, options.gpus_per_run, options.cpus_per_run)
        workers = options.workers or len(left)
    else:
        workers = min(options.workers or 1, len(left))
        engine = Local(workers)
    how = {name: getattr(options, name) for name in ("data_dir", "jit", "mixed_precision")}

    def stop(number, frame):
        engine.stop()
        raise STOPS[number]

    done = work = failures = elsewhere = 0
    rest = sum(task.work for task in left)
    try:
        with Signals(stop):
            begun = time.monotonic()
            for task, failure, seconds in train_all(left, engine, logs, workers, **how):
                done, rest = done + 1, rest - task.work
                failures += failure not in (None, ELSEWHERE)
                elsewhere += failure == ELSEWHERE
                work += task.work * (failure != ELSEWHERE)  # which took none of ours
                ahead = f"; {_duration((time.monotonic() - begun) * rest / work)} left" if work else ""
                print(f"[{done}/{len(left)}] {task.study}/{task.name}: {failure or _told(task, logs)}  "
                      f"({seconds / 60:.1f} minutes{ahead})", flush=True)  # fmt: skip
    except (KeyboardInterrupt, Stopped) as stop:
        print("stopped: the same command goes on from there")
        return 130 if isinstance(stop, KeyboardInterrupt) else 143
    return 1 if failures else Busy.status if elsewhere else 0


def _told(task: Task, logs: Path) -> str:
    """The validation accuracies of a finished run."""
    found = task.run(logs).read("result.json")["validation"]
    kinds = ("vote", "sampled", "deterministic") if "vote" in found else ("deterministic",)
    return ", ".join(f"{kind} {found[kind]:.1%}" for kind in kinds)


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"


if __name__ == "__main__":
    command.run(main)
