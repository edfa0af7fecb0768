"""The models, built from a config: the only place that knows them all."""

from pathlib import Path

import keras

from nam.config import Config
from nam.data import Spec
from nam.errors import UserError
from nam.models.ram import RecurrentAttention

__all__ = ["RecurrentAttention", "build", "load"]


def build(config: Config, spec: Spec) -> keras.Model:
    """The model of a resolved config for such data, its weights drawn from Keras's global seed."""
    model = {"ram": _ram}[config.model](config, spec)
    model.build((None, spec.height, spec.width, spec.channels))
    return model


def load(path: Path) -> keras.Model:
    """The uncompiled model of a `.keras` file, loaded in Keras's safe mode: no code of the file's is run."""
    if not path.is_file():
        raise UserError(f"there is no model {path}: name a run's folder or its .keras file.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a broken file shows as any of a dozen exceptions
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"cannot load the model {path} ({reason}): train its run anew, or take another copy.") from None


def _ram(config: Config, spec: Spec) -> RecurrentAttention:
    names = (
        "glimpses bandwidth scales scale_factors padding retina std policy core hidden samples "
        "reward advantage loss_steps first_location reinforce_weight baseline_weight initializer seed"
    )
    return RecurrentAttention(classes=len(spec.classes), **{name: getattr(config, name) for name in names.split()})
