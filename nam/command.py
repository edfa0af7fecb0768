"""The command lines: flags made from `Config` and `Execution`, mistakes told in one sentence."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import tyro
from pydantic import Field

from nam.config import Config, Execution, check_value, load_config
from nam.errors import UserError, did_you_mean


class _Flags(Execution, Config):
    config: str | None = Field(
        None, description="starting point that the other flags change: a name in configs.json, or a run's config.json"
    )


def parse(argv: Sequence[str], prog: str, description: str) -> tuple[Config, Execution]:
    """The config and the way to run it that the flags `argv` ask for. `--help` prints all of them and exits."""
    flags = _group(argv)
    start = load_config(flags["config"][-1]) if flags.get("config") else Config()
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message):
            values = tyro.cli(
                _Flags,
                args=argv,
                default=_Flags(**dict(start)),
                prog=prog,
                description=description,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if stop.code == 0:
            raise
        for name, words in flags.items():
            _check(name, words)
        text = " ".join(re.findall(r"│ ?(.*?) *│", message.getvalue())) or message.getvalue()
        raise UserError(text.strip()) from None
    return tuple(part(**{name: getattr(values, name) for name in part.model_fields}) for part in (Config, Execution))


def run(main: Callable[[Sequence[str]], int | None]) -> None:
    """Runs a command and exits: 0, 2 after a mistake of the user's told in one sentence, or what `main` returned."""
    try:
        status = main(sys.argv[1:]) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    sys.exit(status)


@contextlib.contextmanager
def quiet():
    """Holds back what libraries print on standard error while they are imported: TensorFlow's notices of CUDA.

    Set TF_CPP_MIN_LOG_LEVEL=0 to see them.
    """
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if level == "0":
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _group(argv: Sequence[str]) -> dict[str, list[str]]:
    """The words after each flag. Raises `UserError` for a flag that does not exist."""
    flags: dict[str, list[str]] = {}
    name = None
    for word in argv:
        if word.startswith("--"):
            flag, _, value = word.partition("=")
            name = flag[2:].replace("-", "_")
            if name not in {*_Flags.model_fields, "help"}:
                options = ["--" + field.replace("_", "-") for field in _Flags.model_fields]
                raise UserError(f"unknown flag {flag}.{did_you_mean(flag, options)}")
            flags[name] = [value] if value else []
        elif word != "-h":
            if name is None:
                raise UserError(f"unexpected word '{word}': every value follows its flag, as in --glimpses 8.")
            flags[name].append(word)
    return flags


def _check(name: str, words: list[str]) -> None:
    """Raises `UserError` if `words` are no value of the flag `name`."""
    annotation = _Flags.model_fields[name].annotation
    flag = "--" + name.replace("_", "-")
    if annotation is bool:
        if words:
            raise UserError(f"{flag} takes no value. Received: {flag} {' '.join(words)}")
    elif not words:
        raise UserError(f"{flag} needs a value, as {flag} {_Flags.model_fields[name].default}.")
    elif "tuple" in str(annotation):
        check_value(_Flags, name, None if words == ["None"] else words)
    elif len(words) > 1:
        raise UserError(f"{flag} takes one value. Received: {flag} {' '.join(words)}")
    else:
        check_value(_Flags, name, None if words == ["None"] else words[0])
