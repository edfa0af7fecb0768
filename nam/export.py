"""Exports a trained model for other runtimes: `python -m nam.export logs/runs/NAME --format onnx`."""

import importlib.util
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from nam import command
from nam.config import Values
from nam.errors import UserError

DESCRIPTION = (
    "Exports the model of a run: uint8 images (batch, height, width, channels) in, `probabilities` (batch, classes) "
    "and `locations` (batch, looks, 2), (x, y) in [-1, 1], of the deterministic gaze out."
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
    run: str = Field(description="folder of a run, as logs/runs/NAME, or a .keras file")
    format: Literal["saved_model", "onnx", "litert"] = Field("saved_model", description="what to write")
    output: str | None = Field(
        None, description="folder (saved_model) or file to write. None: beside the model, as saved_model, "
        "model.onnx or model.tflite"
    )  # fmt: skip


def export(model, path: Path, format: str) -> None:
    """Writes the deterministic gaze of a `RecurrentAttention` in a format of `FORMATS`.

    Raises:
        UserError: If this machine or this model cannot be exported so.
    """
    import keras

    missing = [package for package in FORMATS[format].needs if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(f'{format} needs {" and ".join(missing)}: pip install -e ".[export]".')
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"{format} is written by TensorFlow: set KERAS_BACKEND=tensorflow.")
    if model.sensor.padding == "noise":
        raise UserError(
            "a sensor that sees noise beyond the image answers anew each time: export one with padding=zero."
        )

    images = keras.Input(model.images_shape, dtype="uint8", name="images")
    outputs = model(images)
    answers = {"probabilities": keras.ops.softmax(outputs["logits"]), "locations": outputs["locations"]}
    signature = [keras.InputSpec("uint8", (None, *model.images_shape), name="images")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converters' own, of NumPy and of what they will drop
        keras.Model(images, answers).export(
            str(path), format=FORMATS[format].keras, verbose=False, input_signature=signature
        )


def main(argv: Sequence[str]) -> None:
    options = command.options(Options, argv, "python -m nam.export", DESCRIPTION)
    with command.quiet():
        from nam.predict import open_model

    model, _, path = open_model(options.run)
    usual = path.with_name(FORMATS[options.format].file)
    output = Path(options.output).expanduser() if options.output else usual
    if output.suffix != usual.suffix:
        raise UserError(f"the name of a file for {options.format} ends in '{usual.suffix}'. Received: output={output}")
    try:
        with command.quiet():
            export(model, output, options.format)
    except OSError as error:
        raise UserError(f"cannot write {output} ({error.strerror or error}): name another with --output.") from None
    height, width, channels = model.images_shape
    print(f"{output}: images (batch, {height}, {width}, {channels}) uint8 → probabilities, locations")


if __name__ == "__main__":
    command.run(main)
