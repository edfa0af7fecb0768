"""Neuronal attention models: networks that look at an image through a few small glimpses, in Keras 3."""

__version__ = "0.1.0"
