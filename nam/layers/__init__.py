"""The parts of the recurrent attention model as Keras layers."""

from nam.layers.glimpse import GlimpseNetwork
from nam.layers.location import LocationNetwork
from nam.layers.sensor import GlimpseSensor

__all__ = ["GlimpseNetwork", "GlimpseSensor", "LocationNetwork"]
