"""Run folders: what a run is, the machine it ran on, its events for TensorBoard, its result."""

import contextlib
import json
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import psutil
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboardX import SummaryWriter
from tensorboardX.proto.summary_pb2 import Summary

from nam.config import Config, Execution
from nam.errors import UserError

# Metrics of the HParams dashboard: (group, tag) of the scalar, and its column's name.
METRICS = {
    ("validation", "accuracy"): "validation accuracy",
    ("validation", "sampled_accuracy"): "validation sampled",
    ("validation", "vote_accuracy"): "validation vote",
    ("", "test/deterministic"): "test deterministic",
    ("", "test/sampled"): "test sampled",
    ("", "test/vote"): "test vote",
    ("train", "images_per_second"): "images/s",
}


class Run:
    """The folder of one run: `LOGS/<study>/<name>/`.

    `config.json` says what it is and `hardware.json` where it runs, both from before the first batch; `result.json`
    exists once it is finished.
    """

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def of(cls, config: Config, execution: Execution, study: str = "runs") -> "Run":
        """The folder of a resolved config's run. Raises `UserError` if another run lives there."""
        name = execution.name or name_of(config)
        if re.search(r"[/\\\0]|^\.", name):
            raise UserError(f"name must be a plain folder name. Received: name={name}")
        run = cls(Path(execution.logs).expanduser() / study / name)
        existing = run.read("config.json")
        if existing is not None:
            new = json.loads(config.to_json())
            keys = sorted(key for key in {*existing, *new} if existing.get(key) != new.get(key))
            if keys:
                changes = ", ".join(f"{key} {existing.get(key)} there and {new.get(key)} here" for key in keys)
                raise UserError(
                    f"{run.path} holds another run ({changes}): choose another --name, or remove that folder."
                )
        return run

    def create(self, config: Config, **how) -> None:
        """Writes what the run is and the machine's card; `how` adds how it is computed to the card."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.write("config.json", json.loads(config.to_json()))
            self.write("hardware.json", {**machine_card(), **how})
        except OSError as error:
            raise UserError(
                f"cannot write to {self.path} ({error.strerror}): name a writable folder with --logs."
            ) from None

    def read(self, name: str) -> dict[str, Any] | None:
        """The JSON file of that name, or `None` if there is none."""
        path = self.path / name
        try:
            return json.loads(path.read_text())
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            raise UserError(f"{self.path} is not a folder: name another with --logs.") from None
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {path} ({error}): remove that run's folder to start it anew.") from None

    def write(self, name: str, values: dict[str, Any]) -> None:
        text = json.dumps(values, indent=1) + "\n"
        with replacing(self.path / name) as temporary:
            temporary.write_text(text)


@contextlib.contextmanager
def replacing(path: Path):
    """A temporary path that takes the place of `path` when the block ends well: never half a file."""
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def name_of(config: Config) -> str:
    """A folder name for people: dataset, task, canvas, then every other value that is not the default."""
    dataset = Path(config.dataset).name if "/" in config.dataset else config.dataset.replace(":", "-")
    parts = [dataset, config.task] + ([str(config.canvas)] if config.canvas else [])
    told = {"dataset", "task", "canvas"}
    plain = Config(dataset=None, task=config.task, canvas=config.canvas, scales=config.scales)
    plain = plain.resolved(config.dataset)
    for name, value in config:
        default = Config.model_fields[name].default if name == "scales" else getattr(plain, name)
        if name not in told and value != default:
            value = "-".join(map(str, value)) if isinstance(value, tuple) else value
            parts.append(f"{name}={value}")
    return "_".join(parts)


def machine_card() -> dict[str, Any]:
    """The machine and the software: accelerator or CPU, memory, versions, and the commit of nam's own code."""
    card: dict[str, Any] = {
        "gpu": _gpu(),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "ram_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
    }
    for package in ("nam", "keras", "tensorflow", "tensorflow-cpu", "jax", "numpy"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            card[package] = metadata.version(package)
    card["commit"] = _commit()
    return card


def card_text(values: dict[str, Any]) -> str:
    """A table in Markdown, as TensorBoard's text dashboard shows it."""
    rows = [f"| {key} | {value} |" for key, value in values.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


def _gpu() -> dict[str, Any] | str:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return "none"
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    cuda = pynvml.nvmlSystemGetCudaDriverVersion()
    gpu = {
        "name": pynvml.nvmlDeviceGetName(handle),
        "count": pynvml.nvmlDeviceGetCount(),
        "compute_capability": f"{major}.{minor}",
        "memory_gib": round(pynvml.nvmlDeviceGetMemoryInfo(handle).total / 2**30, 1),
        "driver": pynvml.nvmlSystemGetDriverVersion(),
        "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}",
    }
    for package in ("nvidia-cudnn-cu12", "nvidia-cudnn-cu13"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            gpu["cudnn"] = metadata.version(package)
    return gpu


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1]
    return platform.processor() or platform.machine()


def _commit() -> str:
    here = Path(__file__).resolve().parent
    try:
        git = ["git", "-C", str(here)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", "."], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+changes" if changed.strip() else "")


class Events:
    """A run's event files: `train/`, `validation/`, and its own folder for HParams and the final accuracies.

    Every file begins with the machine's card and the config as text. What an interrupted run wrote of the epochs from
    `first_epoch` on is dropped by TensorBoard.
    """

    def __init__(self, run: Run, first_epoch: int = 0):
        config, card = run.read("config.json"), run.read("hardware.json")
        purge = first_epoch if first_epoch else None
        self.writers = {
            group: SummaryWriter(str(run.path / group), purge_step=purge, flush_secs=3600)
            for group in ("", "train", "validation")
        }
        for writer in self.writers.values():
            writer.add_text("machine", card_text(card), first_epoch)
            writer.add_text("config", card_text(config), first_epoch)
        self._add(_hparams_columns())
        values = {key: _hparam(value) for key, value in config.items()}
        self._add(hparams.hparams_pb(values, trial_id=run.path.name))
        self.flush()

    def scalars(self, group: str, values: dict[str, float], epoch: int) -> None:
        for tag, value in values.items():
            self.writers[group].add_scalar(tag, value, epoch)

    def final(self, found: dict[str, dict[str, float] | None], epoch: int) -> None:
        """Adds the accuracies of the best model on each split, as `test/deterministic` and so on."""
        for split, shares in found.items():
            self.scalars(
                "", {f"{split}/{kind}": share for kind, share in (shares or {}).items() if kind != "votes"}, epoch
            )

    def image(self, group: str, tag: str, pixels, epoch: int) -> None:
        """Adds a picture, `(height, width, 3)` uint8."""
        self.writers[group].add_image(tag, pixels, epoch, dataformats="HWC")

    def flush(self) -> None:
        for writer in self.writers.values():
            writer.flush()

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()

    def _add(self, summary) -> None:
        # tensorboard and tensorboardX each have their own class of the same message.
        self.writers[""].file_writer.add_summary(Summary.FromString(summary.SerializeToString()), 0)


def _hparams_columns():
    metrics = [hparams.Metric(tag, group=group, display_name=name) for (group, tag), name in METRICS.items()]
    columns = []
    for name, field in Config.model_fields.items():
        kind = api_pb2.DATA_TYPE_FLOAT64 if field.annotation in (int, float) else api_pb2.DATA_TYPE_STRING
        columns.append((name, kind))
    return hparams.hparams_config_pb([hparams.HParam(name) for name, _ in columns], metrics)


def _hparam(value):
    """HParams takes text, numbers and truth only."""
    if value is None:
        return "none"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value
