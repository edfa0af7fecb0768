"""The models, built from a config: the only place that knows them all."""

import json
import math
import zipfile
from inspect import signature
from pathlib import Path

import keras

from nam.config import DIGIT, Config, check_value
from nam.data import Spec
from nam.errors import UserError, first_line
from nam.models.classifier import Classifier
from nam.models.cnn import CNN, KerasCNN, SimpleCNN
from nam.models.edram import EDRAM
from nam.models.fc import FullyConnected
from nam.models.ram import RecurrentAttention
from nam.models.self_attention import SelfAttention

__all__ = ["EDRAM", "Classifier", "RecurrentAttention", "SelfAttention", "build", "load"]

FEWEST = 60  # bytes of the weights of each pixel, where a model has such and no `hidden` units

MODELS = {
    "ram": RecurrentAttention,
    "cnn": CNN,
    "simple-cnn": SimpleCNN,
    "keras-cnn": KerasCNN,
    "self-attention": SelfAttention,
    "fc": FullyConnected,
    "edram": EDRAM,
}


def build(config: Config, spec: Spec) -> keras.Model:
    """The model of a resolved config for such data, its weights drawn from Keras's global seed.

    Its arguments are the fields of the config that it has a name for. Raises `UserError` for images that are too small.
    """
    model_class = MODELS[config.model]
    arguments = {
        name: getattr(config, name) for name in signature(model_class).parameters if name in Config.model_fields
    }
    if "targets" in signature(model_class).parameters:
        if config.glimpses % spec.targets:
            raise UserError(
                f"an image holds {spec.targets} targets with the end: set --glimpses to a multiple of that. "
                f"Received: glimpses={config.glimpses}"
            )
        arguments["targets"] = spec.targets
    elif spec.targets > 1:
        raise UserError(f"model {config.model} reads one thing in an image: use ram or edram for task {config.task}.")
    model = model_class(classes=len(spec.classes), **arguments)
    try:
        model.build((None, spec.height, spec.width, spec.channels))
    except ValueError:
        if min(spec.height, spec.width) >= DIGIT:
            raise
        raise UserError(
            f"model {config.model} needs larger images: set --canvas to {DIGIT} or more. "
            f"Received: images of {spec.height}×{spec.width} pixels"
        ) from None
    return model


def load(path: Path) -> Classifier:
    """The uncompiled model of a `.keras` file of nam's, loaded in Keras's safe mode: no code of the file's is run.

    Raises:
        UserError: If the file is not whole, holds no model of nam's, or one larger than a `Config` can ask for.
    """
    if not path.is_file():
        raise UserError(f"there is no model {path}: name a run's folder or its .keras file.")
    try:
        _check(path)
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a broken file shows as any of a dozen exceptions
        reason = first_line(error).rstrip(".")
        raise UserError(f"cannot load the model {path} ({reason}): train its run anew, or take another copy.") from None
    return model


def _check(path: Path) -> None:
    """Raises an error if a `.keras` file is none of nam's, or would fill the memory although it is small."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as file:
        if sum(member.file_size for member in file.infolist()) > 10 * size:  # weights are hardly packed
            raise ValueError("it unpacks to more than ten times its size")
        saved = json.loads(file.read("config.json"))
    kind = {keras.saving.get_registered_name(kind): kind for kind in MODELS.values()}.get(saved["registered_name"])
    if kind is None:
        raise ValueError(f"it holds a {saved['class_name']}, and no model that nam.train has left")
    values = saved["config"]
    for name in values.keys() & Config.model_fields:
        check_value(Config, name, values[name])
    pixels = math.prod(saved["build_config"]["input_shape"][1:3])
    if kind.flattens and pixels * values.get("hidden", FEWEST) > size:
        raise ValueError(f"it is too small for the weights of {pixels:,} pixels")
