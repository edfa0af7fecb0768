"""Run folders: what a run is, the machine it ran on, its result."""

import contextlib
import json
import re
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import filelock
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from nam.config import FORMAT, Config, Execution, of_file, without_format
from nam.configs import named_configs
from nam.errors import UserError, first_line
from nam.files import clear, replacing, user_path

MODEL = "model.keras"
STATE = "state.npz"  # all that it takes to go on with training
VERSIONED = ("config.json", "result.json")


class _Relied(BaseModel):
    """What is relied on in a file of a run's; it may hold more."""

    model_config = ConfigDict(strict=True)


class _Dataset(_Relied):
    name: str
    task: str
    train: int
    validation: int
    test: int
    classes: list[str]


class _Shares(_Relied):
    deterministic: float
    sampled: float = 0
    vote: float = 0
    votes: int = 0

    @model_validator(mode="after")
    def _whole(self):
        if len({"sampled", "vote", "votes"} & self.model_fields_set) not in (0, 3):
            raise ValueError("of sampled, vote and votes some are missing")
        return self


class _Seconds(_Relied):
    total: float
    per_epoch: float


class _Result(_Relied):
    validation: _Shares
    test: _Shares | None
    epochs: int
    best_epoch: int
    seconds: _Seconds
    images_per_second: float
    parameters: int
    cost: dict[str, float] = {}
    dataset: _Dataset


class _GPU(_Relied):
    name: str


class _Card(_Relied):
    cpu: str = ""
    cores: int = 1
    gpu: str | _GPU = "none"
    changes: str = ""
    mixed_precision: bool = False


class _Evaluation(_Relied):
    split: str
    windows: dict[Literal["alone", "mean", "overlap"], list[float]] = Field({}, min_length=1)


class _Moved(_Relied):
    task: str
    canvas: int | None
    digit_size: int | None
    deterministic: float
    sampled: float = 0
    vote: float = 0
    votes: int = 0
    digits: float = 0
    overlap: float = 0


class _Transfer(RootModel):
    root: dict[str, Annotated[list[_Moved], Field(min_length=1)]]


class _Read(_Relied):
    whole: float
    digits: float


class _Reader(_Read):
    run: str
    reading: str
    parameters: int


class _Together(_Relied):
    split: str
    runs: list[_Reader]
    together: _Read


SHAPES = {
    "dataset.json": _Dataset, "result.json": _Result, "hardware.json": _Card, "evaluation.json": _Evaluation,
    "transfer.json": _Transfer, "together.json": _Together,
}  # fmt: skip


class Busy(UserError):
    """Another process trains this run."""

    status = 75  # as sysexits.h numbers what is worth another try later


class Run:
    """The folder of one run: `LOGS/<study>/<name>/`.

    `config.json` says what it is, `dataset.json` what it learns from and `hardware.json` where it runs, all from before
    the first batch; `result.json` exists once it is finished.
    """

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def of(cls, config: Config, execution: Execution) -> "Run":
        """The folder of a resolved config's run. Raises `UserError` if another run lives there."""
        names = {"name": execution.name or name_of(config), "study": execution.study}
        for field, name in names.items():
            if re.search(r"[/\\\0\ud800-\udfff]|^\.|^$", name) or len(name.encode()) > 200:
                raise UserError(f"{field} must be a plain folder name of at most 200 letters. Received: {field}={name}")
        run = cls(user_path(execution.logs) / names["study"] / names["name"])
        existing = run.config()
        if existing is None:
            config.check_new()
        if existing not in (None, config):
            there, here = (one.model_dump(mode="json") for one in (existing, config))
            changes = ", ".join(
                f"{key} {there[key]} there and {here[key]} here" for key in sorted(here) if there[key] != here[key]
            )
            raise UserError(
                f"{run.path} holds another run ({changes}): choose another --name or --logs, remove that folder, or go "
                f"on with that run by --config {run.path} --name {names['name']}."
            )
        return run

    @classmethod
    def open(cls, path: Path) -> "Run":
        """The run in a folder. Raises `UserError` if there is none, or none that has a model yet."""
        run = cls(user_path(path))
        if run.read("config.json") is None:
            raise UserError(f"{path} is not a run's folder: name one that holds a config.json, as logs/runs/NAME.")
        if not (run.path / MODEL).exists():
            if (run.path / "result.json").exists():
                again = f"python -m nam.train --config {shlex.quote(str(path))} --name NAME"
                raise UserError(f"{path} is finished, but without its weights: train it again by `{again}`.")
            raise UserError(f"{path} has no model yet: train its run for at least one epoch.")
        return run

    def claim(self):
        """Keeps other processes out of this run until the block ends, or this process does. Raises `Busy`."""
        return only_one(self.path.with_name(f".{self.path.name}.lock"), f"another process trains {self.path}")

    def create(self, config: Config, dataset: dict[str, Any], **how) -> None:
        """Writes what the run is, its data, and the machine's card; `how` adds how it is computed to the card.

        Says if the run began with other versions of the software.
        """
        from nam import machine  # here: it takes Keras along, and who only reads runs does not need that

        try:
            self.path.mkdir(parents=True, exist_ok=True)
            clear(self.path)
            before = self.read("hardware.json") or {}
            if (self.path / STATE).exists():
                self.check_data(dataset)
                half = before.get("mixed_precision", False)
                if half != how.get("mixed_precision", False):
                    raise UserError(
                        f"{self.path} was begun with{'' if half else 'out'} --mixed-precision: go on so, or choose "
                        "another --name."
                    )
            self.write("config.json", config.model_dump(mode="json"))
            self.write("dataset.json", dataset)
            card = {**machine.card(), **how}
            begun = before and (self.path / STATE).exists()
            changes = machine.other_versions(before, card) if begun else ""
            if begun and before.get("jit", how.get("jit")) != how.get("jit"):
                changes = "; ".join(filter(None, (changes, f"--jit {before['jit']}, now {how['jit']}")))
            if changes:
                print(f"warning: the run goes on with other software: {changes}; it may end otherwise", flush=True)
            if told := "; then ".join(filter(None, (begun and before.get("changes"), changes))):
                card["changes"] = told
            self.write("hardware.json", card)
        except OSError as error:
            raise unwritable(self.path, error) from None

    def check_data(self, found: dict[str, Any]) -> None:
        """Raises `UserError` if the run learnt from other images, some of which may be of the test split now.

        Args:
            found: What `Splits.told` says of the images that are there.
        """
        before = self.read("dataset.json") or {}
        for name in ("train", "validation", "test", "classes", "checksum"):
            if before.get(name, found[name]) != found[name]:
                raise UserError(
                    f"the dataset has changed since {self.path} was begun ({name} {before[name]} then, {found[name]} "
                    "now): bring its images back, or train another run."
                )

    def config(self) -> Config | None:
        """What the run is, or `None` if nothing says so. A field that is newer than the run has its default, that of
        its format."""
        values = self.read("config.json")
        if values is None:
            return None
        if not isinstance(values.get("dataset"), str):
            raise UserError(
                f"{self.path / 'config.json'} names no dataset: repair it, or train its run anew elsewhere."
            )
        return Config(**values).resolved(values["dataset"])

    def read(self, name: str) -> dict[str, Any] | None:
        """The JSON file of that name, or `None` if there is none."""
        path = self.path / name
        try:
            if path.exists() and not path.is_file():  # a pipe would be waited for
                raise ValueError("it is no file")
            values = json.loads(path.read_text())
            if not isinstance(values, dict):
                raise ValueError("it holds no names and values")
            if name in VERSIONED:
                values = (of_file if name == "config.json" else without_format)(values, str(path))
            if name in SHAPES:
                SHAPES[name].model_validate(values)
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            raise UserError(f"{self.path} is not a folder, and a run is one: name another.") from None
        except (OSError, ValueError, RecursionError) as error:
            fault = error.errors()[0] if isinstance(error, ValidationError) else None
            what = f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" if fault else error
            raise UserError(f"cannot read {path} ({what}): repair it, or train its run anew elsewhere.") from None
        return values

    def write(self, name: str, values: dict[str, Any]) -> None:
        values = {"format": FORMAT, **values} if name in VERSIONED else values
        text = json.dumps(values, indent=1) + "\n"
        with replacing(self.path / name) as temporary:
            temporary.write_text(text)


def lost(run: Run, error: OSError) -> UserError:
    """What to say where training could not write to its run."""
    if not run.path.is_dir():
        return UserError(f"{run.path} was removed while its run was trained: the same command begins anew.")
    return UserError(
        f"cannot write to {run.path} ({error.strerror or error}): make room there, or mend what keeps it from being "
        "written; the same command then goes on from the last epoch that was saved."
    )


def unwritable(path: Path, error: Exception) -> UserError:
    what = getattr(error, "strerror", None) or first_line(error)
    return UserError(f"cannot write to {path} ({what}): name a writable folder with --logs.")


@contextlib.contextmanager
def only_one(path: Path, told: str):
    """Locks the file `path` until the block ends, or this process does. Raises `Busy`, which says `told`."""
    lock = filelock.FileLock(path, timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise Busy(f"{told}: wait for it, or stop it.") from None
    except (OSError, NotImplementedError) as error:  # not every file system knows locks
        raise unwritable(path.parent, error) from None
    try:
        yield
    finally:
        lock.release()


def name_of(config: Config) -> str:
    """A folder name for people: what the resolved config starts from, then every value that differs.

    It starts from the defaults, told by dataset, task and canvas, or from a config of `configs.json` if that is nearer.
    """
    dataset = Path(config.dataset).name if "/" in config.dataset else config.dataset.replace(":", "-")
    # The presets of this very task and number of scales are not differences; what they are made from may be one.
    defaults = Config()
    differ = ("model", "digit_size", "scales", "batch_size")
    made_from = {name: getattr(config, name) for name in ("task", "canvas", *differ)}
    plain = defaults.model_copy(update=made_from).resolved(config.dataset)
    plain = plain.model_copy(update={name: getattr(defaults, name) for name in differ})
    starts = {"_".join(str(part) for part in (dataset, config.task, config.canvas) if part): plain}
    starts |= {name: Config(**values) for name, values in named_configs().items()}
    names = {}
    for start, base in starts.items():
        changed = {name: value for name, value in config if value != getattr(base, name)}
        if "dataset" in changed:
            changed["dataset"] = dataset  # as a folder may be called
        texts = ["-".join(map(str, value)) if isinstance(value, tuple) else value for value in changed.values()]
        names[start] = [start, *(f"{name}={text}" for name, text in zip(changed, texts, strict=True))]
    return "_".join(min(names.values(), key=len))
