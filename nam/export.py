"""Exports a trained model for other runtimes: `python -m nam.export logs/runs/NAME --format onnx`."""

import contextlib
import importlib.util
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from nam import command, weights
from nam.config import Values
from nam.errors import UserError, first_line
from nam.files import replacing, user_path

DESCRIPTION = (
    "Exports the model of a run: uint8 images (batch, height, width, channels) in, `probabilities` (batch, classes) "
    "out, and of a model that looks around `locations` (batch, looks, 2), (x, y) in [-1, 1], of its deterministic gaze."
)


class Format(NamedTuple):
    keras: str  # Keras's name of it
    file: str  # what it is written to by default
    needs: tuple[str, ...]  # packages that write it


FORMATS = {
    "saved_model": Format("tf_saved_model", "saved_model", ("tensorflow",)),
    "onnx": Format("onnx", "model.onnx", ("tensorflow", "tf2onnx")),
    "litert": Format("litert", "model.tflite", ("tensorflow",)),
}


class Options(Values):
    run: command.ModelName
    format: Literal["saved_model", "onnx", "litert"] = Field("saved_model", description="what to write")
    output: str | None = Field(
        None, description="folder (saved_model) or file to write. None: beside the model, of nam's own models here, "
        "as saved_model, model.onnx or model.tflite"
    )  # fmt: skip


def check(format: str) -> None:
    """Raises `UserError` if this machine cannot write the format."""
    import keras

    missing = [package for package in FORMATS[format].needs if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(f'{format} needs {" and ".join(missing)}: pip install -e ".[export]".')
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"{format} is written by TensorFlow: set KERAS_BACKEND=tensorflow.")


def export(model, path: Path, format: str) -> None:
    """Writes a `Classifier`, of a `RecurrentAttention` its deterministic gaze, in a format of `FORMATS`.

    Raises:
        UserError: If this machine or this model cannot be exported so.
    """
    import keras

    from nam.models import RecurrentAttention

    check(format)
    if isinstance(model, RecurrentAttention) and model.sensor.padding == "noise":
        raise UserError("a sensor that sees noise beyond the image cannot be exported: train one with padding=zero.")
    images = keras.Input(model.images_shape, dtype="uint8", name="images")
    outputs = model(images)
    answers = {"probabilities": keras.ops.softmax(outputs["logits"])}
    answers |= {"locations": outputs["locations"]} if "locations" in outputs else {}
    signature = [keras.InputSpec("uint8", (None, *model.images_shape), name="images")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converters' own, of NumPy and of what they will drop
        keras.Model(images, answers).export(
            str(path), format=FORMATS[format].keras, verbose=False, input_signature=signature
        )


def main(argv: Sequence[str]) -> None:
    options = command.options(Options, argv, "python -m nam.export", DESCRIPTION)
    usual = Path(FORMATS[options.format].file)
    output = user_path(options.output) if options.output is not None else None
    if output and usual.suffix and output.suffix != usual.suffix:
        raise UserError(f"the name of a file for {options.format} ends in {usual.suffix}. Received: output={output}")
    if output and not output.parent.is_dir():
        raise UserError(f"cannot write {output}: there is no folder {output.parent}.")
    if output and not usual.suffix and output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file, and a {options.format} is a folder: name another with --output.")
    with command.quiet():
        from nam.predict import open_model

        check(options.format)
    model, _, path, _ = open_model(options.run)
    output = output or (usual if path.parent == weights.FOLDER else path.with_name(usual.name))
    try:
        # Nothing is written through a link that lies in a stranger's folder.
        with command.quiet(), replacing(output) if usual.suffix else contextlib.nullcontext(output) as written:
            export(model, written, options.format)
    except UserError:
        raise
    except Exception as error:  # TensorFlow's errors of the file system are no OSError
        raise UserError(f"cannot write {output} ({first_line(error)}): name another with --output.") from None
    height, width, channels = model.images_shape
    print(
        f"{output}: images (batch, {height}, {width}, {channels}) uint8 → "
        + "locations, " * model.samples_gazes
        + "probabilities, to be asked for by name"
    )


if __name__ == "__main__":
    command.run(main)
