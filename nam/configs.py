"""What `configs.json` holds: starting points by name, and the studies made of runs."""

import functools
import json
import sys
from collections.abc import Iterator, Sequence
from importlib import resources
from itertools import product
from typing import Any

from pydantic import Field, model_validator

from nam.config import FIRST_DEFAULTS, FORMAT, OWNERS, Config, Values
from nam.errors import UserError, did_you_mean, first_line
from nam.files import user_path

TOLD = ("label", "config", "untrained")  # of a comparison's row, beside the fields that it sets


def named_configs() -> dict[str, dict[str, Any]]:
    """The starting points that `configs.json` holds for `--config NAME`: name → values."""
    return _named("configs")


@functools.cache
def _named(part: str) -> dict[str, dict[str, Any]]:
    file = resources.files("nam").joinpath("configs.json")
    try:
        return {name: {**values} for name, values in json.loads(file.read_text())[part].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"cannot read {file} ({first_line(error)}): repair it, or install nam anew.") from None


class Study(Values):
    """Runs that answer a question: a sweep, or a comparison.

    A sweep varies fields of the config `published`, all else being as there, but for what is fixed, for every policy.
    Several fields may vary together: the first run has the first value of each, and so on. A comparison has rows: each
    says in its `label` what it is, and which values differ from what is fixed and from the starting point `config`, if
    it names one, else from the defaults; one that cannot be trained says why in `untrained`.
    """

    question: str
    label: str = ""  # of a value of what varies, for people
    vary: dict[str, list[Any]] = Field({})
    rows: list[dict[str, Any]] = Field([])
    fixed: dict[str, Any] = Field({})
    policies: tuple[str, ...] = ("frozen", "learned")  # of a sweep
    seeds: tuple[int, ...] = (0,)
    test: bool = False  # whether the test split is used, as it may be once all is chosen

    @model_validator(mode="after")
    def _sound(self) -> "Study":
        for row in self.rows:
            if not isinstance(row.get("label"), str) or not all(isinstance(row.get(name, ""), str) for name in TOLD):
                raise UserError(f"a row's label, config and reason why it is not trained are texts. Received: {row}")
        if len({len(values) for values in self.vary.values()}) > 1:
            raise UserError(f"what varies together has as many values each. Received: {self.vary}")
        return self

    @property
    def varied(self) -> list[str]:
        """The fields in which runs differ, but for policy and seed."""
        fields = dict.fromkeys(field for point in self._points() for field in point)
        return [*["model"] * ("config" in fields), *(field for field in fields if field not in TOLD)]

    @property
    def untrained(self) -> dict[str, str]:
        """The rows that cannot be trained, by label: why."""
        return {row["label"]: row["untrained"] for row in self.rows if "untrained" in row}

    def labels(self) -> dict[str, str]:
        """What each run is called in charts and tables, by the name of its folder; those not trained too."""
        return {name: label for name, label, _ in self.each()}

    def runs(self, epochs: int | None = None, untrained: bool = False) -> dict[str, Config]:
        """The runs by the names of their folders; `epochs` shortens them all. Raises `UserError` for an unknown key.

        With `untrained`, also what would be those of the rows that are not trained.
        """
        without = () if untrained else self.untrained
        return {name: config for name, label, config in self.each(epochs) if label not in without}

    def name(self, config: Config) -> str:
        """What a config of this sweep is called."""
        texts = {name: " ".join(map(str, value)) if isinstance(value, tuple) else value for name, value in config}
        return self.label.format(**texts)

    def _points(self) -> list[dict[str, Any]]:
        columns = zip(*self.vary.values(), strict=True)
        return self.rows or [dict(zip(self.vary, values, strict=True)) for values in columns]

    def each(self, epochs: int | None = None) -> Iterator[tuple[str, str, Config]]:
        """The runs, those not trained too: the name of its folder, its label, its config."""
        shortened = {} if epochs is None else {"epochs": epochs}
        policies = [{}] if self.rows else [{"policy": policy} for policy in self.policies]
        for seed, point, policy in product(self.seeds, self._points(), policies):
            values = {name: value for name, value in point.items() if name not in TOLD}
            start = point.get("config") if self.rows else "published"
            base = dict(load_config(start)) if start else {}
            config = Config(**{**base, **self.fixed, **values, **policy, "seed": seed, **shortened})
            config = config.resolved(config.dataset) if config.dataset else config
            texts = {name: "-".join(map(str, v)) if isinstance(v, list) else str(v) for name, v in values.items()}
            told = [*([start] if self.rows and start else []), *(f"{name}={text}" for name, text in texts.items())]
            name = "_".join([*told, *policy.values(), f"seed={seed}"])
            yield name, point.get("label") or self.name(config), config


def studies() -> dict[str, Study]:
    """The studies that `configs.json` holds, by name."""
    return {name: Study(**values) for name, values in _named("studies").items()}


def choose_studies(names: Sequence[str]) -> dict[str, Study]:
    """The studies of these names; `all` stands for all. Raises `UserError` for an unknown one."""
    known = studies()
    if "all" in names:
        return known
    for name in names:
        if name not in known:
            raise UserError(f"unknown study '{name}'.{did_you_mean(name, known)}")
    return {name: known[name] for name in names}


def load_config(name_or_file: str) -> Config:
    """The config of that name in `configs.json`, or of that JSON file, as a run folder holds it."""
    named = named_configs()
    if name_or_file in named:
        return Config(**named[name_or_file])
    path = user_path(name_or_file)
    if path.is_dir():
        path = path / "config.json"
    if path.suffix != ".json" and not path.exists():
        raise UserError(f"unknown config '{name_or_file}'.{did_you_mean(name_or_file, named)}")
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the config {path}: {error}. Name a run's config.json.") from None
    config, given = Config.from_json(text, str(path)), json.loads(text)
    former = [
        name for name in sorted(FIRST_DEFAULTS.keys() - given) if config.model in OWNERS.get(name, [config.model])
    ]
    if given.get("format", 1) == 1 and former:
        print(f'note: {path} has no "format": {FORMAT}, so {", ".join(former)} are as in format 1', file=sys.stderr)
    return config
