"""The command lines: flags made from `Config` and `Execution`, mistakes told in one sentence."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import tyro
from pydantic import Field

from nam.config import Config, Execution, Values, check_value
from nam.configs import load_config
from nam.errors import UserError, did_you_mean

BACKENDS = ("tensorflow", "jax")

V = TypeVar("V", bound=Values)

# Fields that help calls by what they stand for.
StudyNames = Annotated[tuple[str, ...], tyro.conf.arg(metavar="STUDY...")]
RunName = Annotated[str, tyro.conf.arg(metavar="RUN")]
ModelName = Annotated[
    RunName, Field(description="folder of a run, as logs/runs/NAME, a .keras file, or a model that nam brings along")
]
RunNames = Annotated[tuple[str, ...], tyro.conf.arg(metavar="RUN...")]
ImageNames = Annotated[tuple[str, ...], tyro.conf.arg(metavar="IMAGE...")]


class _Flags(Execution, Config):
    config: str | None = Field(
        None,
        description="starting point that the other flags change: a name in configs.json, or a run's config.json "
        "(a file without a format keeps the defaults of the first one)",
    )


def parse(argv: Sequence[str], prog: str, description: str) -> tuple[Config, Execution]:
    """The config and the way to run it that the flags `argv` ask for."""
    start = starting_point(argv)
    start = load_config(start) if start else Config()
    values = options(_Flags, argv, prog, description, default=_Flags(**dict(start)))
    return tuple(part(**{name: getattr(values, name) for name in part.model_fields}) for part in (Config, Execution))


def starting_point(argv: Sequence[str]) -> str | None:
    """What follows the flag --config of `parse`, if it is given."""
    words = _words(_Flags, argv).get("config")
    return words[-1] if words else None


def flags(config: Config) -> list[str]:
    """The fewest flags that `parse` makes a config of which is resolved to `config`."""
    values = {name: value for name, value in config if value != Config.model_fields[name].default}
    for name in [name for name in values if name != "dataset"]:
        fewer = {other: value for other, value in values.items() if other != name}
        with contextlib.suppress(UserError):
            values = fewer if Config(**fewer).resolved(config.dataset) == config else values
    words = {name: value if isinstance(value, tuple) else [value] for name, value in values.items()}
    return [word for name, given in words.items() for word in ("--" + name.replace("_", "-"), *map(str, given))]


def options(model: type[V], argv: Sequence[str], prog: str, description: str, default: V | None = None) -> V:
    """The `model` that `argv` asks for: a flag per field. `--help` prints them all and exits.

    A field without a default is given without its flag, before all flags; the last of them may take several words.

    Raises:
        UserError: For an unknown flag or a value that a field cannot take.
    """
    words = _words(model, argv)
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message):
            return tyro.cli(
                model,
                args=argv,
                default=default,
                prog=prog,
                description=description,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.PositionalRequiredArgs),
            )
    except SystemExit as stop:
        if stop.code == 0:
            raise
        for name, given in words.items():
            _check(model, name, given)
        text = " ".join(re.findall(r"│ ?(.*?) *│", message.getvalue())) or message.getvalue()
        raise UserError(text.partition("─")[0].strip()) from None


def run(main: Callable[[Sequence[str]], int | None]) -> None:
    """Runs a command and exits with what `main` returned, or 0; after a mistake of the user's, told in one sentence, 2.

    After Ctrl-C with 130, and with 141 if nobody reads what it prints.
    """
    sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may hold what cannot be printed
    try:
        backend = os.environ.setdefault("KERAS_BACKEND", BACKENDS[0])  # whatever ~/.keras/keras.json says
        if backend not in BACKENDS:
            raise UserError(f"KERAS_BACKEND must be {' or '.join(BACKENDS)}. Received: KERAS_BACKEND={backend}")
        status = main(sys.argv[1:]) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = error.status
    except ModuleNotFoundError as error:
        other = f", or set KERAS_BACKEND={BACKENDS[backend == BACKENDS[0]]}" if error.name in BACKENDS else ""
        print(f"error: {error.name} is not installed: install it{other}.", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # whoever read the output, as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    except OSError as error:
        print(
            f"error: cannot use {error.filename or 'a file'} ({error.strerror or error}): mend what keeps it from "
            "being read or written, or name another.",
            file=sys.stderr,
        )
        status = 2
    except Exception as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in f"{type(error)} {error}":
            raise
        print(
            "error: there is not enough memory: lower --batch-size, or what makes the images or the model large "
            "(--canvas, --samples, --hidden).",
            file=sys.stderr,
        )
        status = 2
    sys.exit(status)


@contextlib.contextmanager
def quiet():
    """Holds back what libraries print on standard error while they are imported: TensorFlow's notices of CUDA.

    Set TF_CPP_MIN_LOG_LEVEL=0 to see them. For the main thread only: standard error is that of the whole process.
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


def _words(model: type[Values], argv: Sequence[str]) -> dict[str, list[str]]:
    """The words after each flag, and of each positional. Raises `UserError` for a flag that does not exist."""
    words: dict[str, list[str]] = {}
    positional = [field for field, info in model.model_fields.items() if info.is_required()]
    flags = {field: "--" + field.replace("_", "-") for field in model.model_fields if field not in positional}
    name = None
    for word in argv:
        if word.startswith("--"):
            flag, _, value = word.partition("=")
            name = flag[2:].replace("-", "_")
            if name not in {*flags, "help"}:
                raise UserError(f"unknown flag {flag}.{did_you_mean(flag, flags.values())}")
            words[name] = [value] if value else []
        elif re.match(r"-[^\d.]", word) and word != "-h":
            raise UserError(f"unknown flag {word}: flags begin with --, and a file of that name is ./{word}")
        elif word != "-h":
            if name is None and positional:
                several = len(positional) == 1 and "tuple" in str(model.model_fields[positional[0]].annotation)
                words.setdefault(positional[0], []).append(word)
                if not several:
                    positional.pop(0)
            elif name is None:
                raise UserError(f"unexpected word '{word}': every value follows its flag.")
            else:
                words[name].append(word)
    positional = [field for field in positional if field not in words]
    if positional and "help" not in words and "-h" not in argv:
        missing = "STUDY" if positional[0] == "names" else positional[0].upper().removesuffix("S")
        raise UserError(f"{missing} is missing: it stands before all flags.")
    return words


def _check(model: type[Values], name: str, words: list[str]) -> None:
    """Raises `UserError` if `words` are no value of the field `name`, or follow --help."""
    field = model.model_fields.get(name)
    flag = "--" + name.replace("_", "-")
    if field is None or field.annotation is bool:
        if words:
            raise UserError(f"{flag} takes no value. Received: {flag} {' '.join(words)}")
    elif not words:
        example = "" if field.default is None else f", as {flag} {field.default}"
        raise UserError(f"{flag} needs a value{example}.")
    elif "tuple" in str(field.annotation):
        check_value(model, name, None if words == ["None"] else words)
    elif len(words) > 1:
        raise UserError(f"{flag} takes one value. Received: {flag} {' '.join(words)}")
    else:
        check_value(model, name, None if words == ["None"] else words[0])
