"""Runs whole studies: `python -m nam.study glimpses std`."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from nam import command, events
from nam.config import Config, Execution, Study, Values, studies
from nam.errors import UserError, did_you_mean
from nam.runs import Busy, Run

DESCRIPTION = (
    "Trains every run of the studies named (`all`: of all), each in a process of its own, and leaves them under "
    "LOGS/STUDY. What is finished is skipped, what was interrupted goes on, and what fails does not stop the rest."
)
ELSEWHERE = "another process trains it"
FAILURE = "failure.txt"  # in a run's folder: what its last process printed before it failed


class Options(Values):
    names: command.StudyNames = Field(description="studies of configs.json, or all")
    list: bool = Field(False, description="print the studies with their questions and runs, and train nothing")
    dry_run: bool = Field(False, description="print what would be trained, and train nothing")
    epochs: int | None = Field(None, ge=1, description="epochs of every run. None: as the study says")
    seeds: int | None = Field(None, ge=1, le=1000, description="seeds 0 to N - 1. None: as the study says")
    workers: int = Field(1, ge=1, le=256, description="runs that are trained at a time")
    logs: str = Execution.model_fields["logs"]
    data_dir: str | None = Execution.model_fields["data_dir"]


class Task(NamedTuple):
    """One run of a study."""

    study: str
    name: str
    config: Config  # resolved

    @property
    def work(self) -> float:
        """How long it takes, in some unit: looks that are computed, and pixels that they read."""
        config = self.config
        look = 3e5 + 128 * config.bandwidth**2 * config.scales
        return config.epochs * config.samples * config.glimpses * look

    def run(self, logs: Path) -> Run:
        """Its folder. Raises `UserError` if another run lives there."""
        return Run.of(self.config, Execution(logs=str(logs), study=self.study, name=self.name))


def tasks(chosen: dict[str, Study], epochs: int | None = None, seeds: int | None = None) -> list[Task]:
    """The runs of some studies."""
    found = []
    for name, study in chosen.items():
        if seeds is not None:
            study = study.model_copy(update={"seeds": tuple(range(seeds))})
        for run, config in study.runs(epochs).items():
            found.append(Task(name, run, config.resolved(config.dataset)))
    return found


def choose(names: Sequence[str]) -> dict[str, Study]:
    """The studies of these names. Raises `UserError` for an unknown one."""
    known = studies()
    if "all" in names:
        return known
    for name in names:
        if name not in known:
            raise UserError(f"unknown study '{name}'.{did_you_mean(name, known)}")
    return {name: known[name] for name in names}


class Local:
    """Trains runs on this machine, each in a process of its own."""

    def __init__(self, logs: Path, data_dir: str | None):
        self.logs = logs
        self.data_dir = data_dir
        self._processes: set[subprocess.Popen] = set()
        self._stopped = threading.Event()

    def __call__(self, task: Task) -> str | None:
        """Trains one run; returns why it failed, if it did."""
        folder = task.run(self.logs).path
        with tempfile.TemporaryDirectory() as temporary:
            config = Path(temporary) / "config.json"
            config.write_text(task.config.to_json())
            words = [sys.executable, "-m", "nam.train", "--config", str(config), "--no-test", "--no-pictures"]
            words += ["--logs", str(self.logs), "--study", task.study, "--name", task.name]
            words += ["--data-dir", self.data_dir] if self.data_dir else []
            # A session of its own: Ctrl-C reaches it through `stop`, once.
            process = subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
            )
            self._processes.add(process)
            if self._stopped.is_set():  # perhaps while it was started
                process.terminate()
            output, _ = process.communicate()
            self._processes.discard(process)
        if process.returncode == 0:
            (folder / FAILURE).unlink(missing_ok=True)
            return None
        if process.returncode == Busy.status:
            return ELSEWHERE
        lines = output.strip().splitlines() or [""]
        if self._stopped.is_set():
            return lines[-1]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILURE).write_text(output)
        # TensorFlow may say more as it goes.
        told = next((line for line in reversed(lines) if line.startswith("error:")), lines[-1])
        return f"status {process.returncode}: {told} (all it said: {folder / FAILURE})"

    def stop(self) -> None:
        """Lets every process end its step and save what it has."""
        self._stopped.set()
        for process in list(self._processes):
            process.terminate()


def same_run(task: Task, logs: Path) -> Path | None:
    """The folder of the same run, finished under another study's name: a run is what its config says."""
    for result in sorted(logs.glob("*/*/result.json")):
        with contextlib.suppress(UserError):  # a folder that cannot be read is not the same run
            if Run(result.parent).config() == task.config:
                return result.parent
    return None


def train_all(todo: Sequence[Task], engine, logs: Path, workers: int) -> Iterator[tuple[Task, str | None, float]]:
    """Trains the runs; yields each as it ends: the run, why it failed or `None`, and its seconds."""

    def timed(task: Task):
        begun = time.monotonic()
        same, folder = same_run(task, logs), task.run(logs).path
        if same is None or folder.exists():
            return task, engine(task), time.monotonic() - begun
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".copy-") as temporary:
            copy = shutil.copytree(same, Path(temporary) / task.study / task.name)
            events.of_copy(Run(copy))
            copy.rename(folder)
        return task, None, time.monotonic() - begun

    with ThreadPoolExecutor(workers) as pool:
        # In order, but as many at a time as there are workers.
        yield from pool.map(timed, todo)


def main(argv: Sequence[str]) -> int:
    if "--list" in argv and argv[0].startswith("--"):
        argv = ["all", *argv]
    options = command.options(Options, argv, "python -m nam.study", DESCRIPTION)
    chosen = choose(options.names)
    todo = tasks(chosen, options.epochs, options.seeds)
    if options.list:
        for name, study in chosen.items():
            count, fixed = sum(task.study == name for task in todo), json.dumps(study.fixed)
            print(f"{name}: {study.question}\n  {count} runs: {json.dumps(study.vary)}")
            print(f"  all else as published, but {fixed}; policies {', '.join(study.policies)}")
        return 0
    logs = Path(options.logs).expanduser()
    left = [task for task in todo if task.run(logs).read("result.json") is None]
    if len(left) < len(todo):
        print(f"{len(todo) - len(left)} of {len(todo)} runs are finished")
    if options.dry_run:
        print("\n".join(f"{task.study}/{task.name}" for task in left))
        return 0
    engine = Local(logs, options.data_dir)
    done = work = failures = 0
    try:
        with _obeying(engine):
            begun = time.monotonic()
            for task, failure, seconds in train_all(left, engine, logs, options.workers):
                done, work = done + 1, work + task.work
                failures += failure not in (None, ELSEWHERE)
                rest = (time.monotonic() - begun) * (sum(task.work for task in left) / work - 1)
                print(f"[{done}/{len(left)}] {task.study}/{task.name}: {failure or _told(task, logs)}  "
                      f"({seconds / 60:.1f} minutes; {_duration(rest)} left)", flush=True)  # fmt: skip
    except KeyboardInterrupt:
        print("stopped: the same command goes on from there")
        return 130
    return 1 if failures else 0


@contextlib.contextmanager
def _obeying(engine):
    """Stops the engine, and then the block, on SIGINT and SIGTERM."""

    def stop(number, frame):
        engine.stop()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _told(task: Task, logs: Path) -> str:
    """The validation accuracies of a finished run."""
    found = task.run(logs).read("result.json")["validation"]
    return f"vote {found['vote']:.1%}, sampled {found['sampled']:.1%}, deterministic {found['deterministic']:.1%}"


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"


if __name__ == "__main__":
    command.run(main)
