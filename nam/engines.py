"""Where the runs of a study are trained: on this machine, or on a Ray cluster. Each run has a process of its own."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from nam.config import Config, Execution
from nam.errors import UserError, first_line
from nam.files import replacing
from nam.runs import Busy, Run

ELSEWHERE = "another process trains it"
# Runs at a time share a GPU, and must not take its whole memory.
SHARED_GPU = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
FAILURE = "failure.txt"  # in a run's folder: what its last process said before it failed


class Local:
    """Trains runs on this machine.

    Args:
        workers: How many at a time. Each has a share of the cores to itself, where the system can arrange that: threads
            of runs that contend for cores spend their time waiting for each other.
    """

    def __init__(self, workers: int = 1):
        cores = sorted(os.sched_getaffinity(0), key=_place) if hasattr(os, "sched_getaffinity") else []
        self._shares = SimpleQueue()
        for begin, end in pairwise(len(cores) * worker // workers for worker in range(workers + 1)):
            self._shares.put(cores[begin:end])
        self._processes: set[subprocess.Popen] = set()
        self._stopped = threading.Event()

    def __call__(self, config: Config, execution: Execution) -> str | None:
        """Trains one run; returns why it failed, if it did. May be called in several threads at a time."""
        if self._stopped.is_set():
            return "stopped"
        run = Run.of(config, execution)
        with self._share() as cores, tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary) / "config.json"
            file.write_text(config.to_json())
            words = [sys.executable, "-m", "nam.train", "--config", str(file)]
            for name, value in execution:
                flag = "--" + name.replace("_", "-")
                if value is True:
                    words.append(flag)
                elif value not in (None, False):
                    words += [flag, value]
            # A session of its own: Ctrl-C reaches it through `stop`, once.
            process = subprocess.Popen(
                words,
                env=os.environ | SHARED_GPU,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._processes.add(process)
            if cores:
                with contextlib.suppress(OSError):  # the system may have taken a core away
                    os.sched_setaffinity(process.pid, cores)  # before it has threads
            if self._stopped.is_set():  # perhaps while it was started
                process.terminate()
            output, _ = process.communicate()
            self._processes.discard(process)
        if process.returncode == 0:
            (run.path / FAILURE).unlink(missing_ok=True)
            return None
        if process.returncode == Busy.status:
            return ELSEWHERE
        lines = output.strip().splitlines() or [""]
        if self._stopped.is_set():
            return lines[-1]
        # TensorFlow may say more as it goes.
        told = next((line for line in reversed(lines) if line.startswith("error:")), lines[-1])
        return _failed(run, output, f"status {process.returncode}: {told}")

    @contextlib.contextmanager
    def _share(self):
        """The cores of one worker; none where there are more workers than cores."""
        cores = self._shares.get()
        try:
            yield cores
        finally:
            self._shares.put(cores)

    def stop(self) -> None:
        """Lets every process end its step and save what it has."""
        self._stopped.set()
        for process in list(self._processes):
            process.terminate()


def _place(core: int) -> tuple[int, int]:
    """Sorts what the system calls cores so that those which are one, with two threads, stand side by side."""
    try:
        threads = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text()
    except OSError:
        return core, core
    return int(re.match(r"\d+", threads)[0]), core


class OnRay:
    """Trains runs on a Ray cluster whose nodes share the folder of runs and have nam installed.

    Ray starts a run again, perhaps on another node, if its process or node is lost; it then goes on from its last
    whole epoch.

    Args:
        address: Of the cluster: `auto` for the one this machine belongs to, else `HOST:PORT` or `ray://HOST:PORT`.
        gpus_per_run: Share of a GPU, or number of them, that Ray reserves for every run.
        cpus_per_run: The same of processor cores. A run's process may use more of them; Ray only counts.

    Raises:
        UserError: If Ray is not installed, no cluster answers, or it has too few GPUs.
    """

    RETRIES = 5  # of a run whose process or node is lost

    def __init__(self, address: str, gpus_per_run: float = 0, cpus_per_run: float = 1):
        try:
            import ray
        except ModuleNotFoundError:
            raise UserError('Ray is not installed: pip install -e ".[ray]", or use --engine local.') from None
        self._ray = ray
        # What is said here must hold there.
        variables = SHARED_GPU | {
            name: os.environ[name] for name in ("KERAS_BACKEND", "TFDS_DATA_DIR") if name in os.environ
        }
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error", runtime_env={"env_vars": variables})
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(
                f"no Ray cluster answers at {address} ({error}): start one with `ray start --head`, or name another "
                "with --address."
            ) from None
        gpus = ray.cluster_resources().get("GPU", 0)
        if gpus < gpus_per_run:
            ray.shutdown()
            raise UserError(f"the cluster has {gpus:g} GPUs: lower --gpus-per-run. Received: {gpus_per_run:g}")
        try:
            resources = {"num_cpus": cpus_per_run, "num_gpus": gpus_per_run}
            self._train = ray.remote(max_calls=1, max_retries=self.RETRIES, **resources)(_train)
        except ValueError as error:
            ray.shutdown()
            raise UserError(f"Ray does not take these resources of a run: {error}") from None
        self._tasks: set[Any] = set()
        self._stopped = threading.Event()

    def __call__(self, config: Config, execution: Execution) -> str | None:
        """Trains one run; returns why it failed, if it did. May be called in several threads at a time."""
        run, errors = Run.of(config, execution), self._ray.exceptions
        if self._stopped.is_set():
            return "stopped"
        # A node's process starts in a folder of its own.
        paths = {name: str(Path(path).expanduser().absolute())
                 for name in ("logs", "data_dir") if (path := getattr(execution, name))}  # fmt: skip
        there = execution.model_copy(update=paths)
        task = self._train.options(name=run.path.name).remote(config.model_dump(), there.model_dump())
        self._tasks.add(task)
        if self._stopped.is_set():  # perhaps while it was handed over
            self._ray.cancel(task, recursive=False)
        try:
            self._ray.get(task)
        except errors.TaskCancelledError:
            return "stopped"
        except errors.RayTaskError as error:
            if self._stopped.is_set():
                return "stopped"
            if isinstance(error.cause, Busy):
                return ELSEWHERE
            told = first_line(error.cause)
            return _failed(run, str(error), told)
        except errors.RayError as error:
            return _failed(run, str(error), f"lost {self.RETRIES + 1} times: {first_line(error)}")
        finally:
            self._tasks.discard(task)
        if run.read("result.json") is None:
            return f"its node wrote it elsewhere: {run.path.parent} must be a folder that all nodes share"
        (run.path / FAILURE).unlink(missing_ok=True)
        return None

    def stop(self) -> None:
        """Lets every process end its step and save what it has."""
        self._stopped.set()
        for task in list(self._tasks):
            self._ray.cancel(task, recursive=False)


def _train(config: dict[str, Any], execution: dict[str, Any]) -> None:
    from nam.train import train  # here: it is the process on the node that trains

    train(Config(**config), Execution(**execution))


def _failed(run: Run, output: str, told: str) -> str:
    """Keeps all that a failed run said in its folder; returns what to tell."""
    path = run.path / FAILURE
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(output)
    return f"{told} (all it said: {path})"
