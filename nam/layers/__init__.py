"""The parts of the models as Keras layers."""

from nam.layers.attention import SpatialSelfAttention
from nam.layers.glimpse import GlimpseNetwork
from nam.layers.location import LocationNetwork
from nam.layers.normalization import StepNormalization
from nam.layers.sensor import GlimpseSensor
from nam.layers.spatial import SpatialTransformer

__all__ = [
    "GlimpseNetwork",
    "GlimpseSensor",
    "LocationNetwork",
    "SpatialSelfAttention",
    "SpatialTransformer",
    "StepNormalization",
]
