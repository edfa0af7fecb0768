"""Pictures of what a hyper-parameter does, made without a trained model."""

import numpy as np
import pytest

from nam import pictures
from nam.config import Config
from nam.configs import named_configs
from tests.test_plots import boxes

BASE = Config(**named_configs()["published"])


@pytest.fixture(scope="module")
def image():
    return pictures.example(BASE)


def test_an_example_is_an_image_of_the_config(image):
    assert image.shape == (100, 100, 1) and len(np.unique(image)) > 20
    assert (image != pictures.example(BASE, 0)).any()


def test_an_untrained_policy_stays_around_the_centre(image):
    figure = pictures.untrained(BASE, image)
    first, *rest = (boxes(axis)[0][0] for axis in figure.axes[: BASE.glimpses])
    assert first == (44, 44) and len(set(rest)) == 4 and np.abs(np.array(rest) - 44).max() < 50


def test_a_sensor_reads_the_middle_of_the_image(image):
    configs = {"means": BASE.model_copy(update={"padding": "zero"}), "published": BASE}
    figure = pictures.sensors(configs, image)
    finest = [axis.images[0].get_array() for axis in figure.axes if axis.get_title() == "1:1"]
    assert len(finest) == 2 and all((patch == image[44:56, 44:56, 0]).all() for patch in finest)


def test_a_wider_policy_looks_further_away():
    figure = pictures.spreads({str(std): BASE.model_copy(update={"std": std}) for std in (0.1, 0.6)}, looks=2000)
    near, far = (axis.images[0].get_array() for axis in figure.axes[:2])
    assert near.sum() == pytest.approx(1) and near[10:15, 10:15].sum() > 0.8 > 0.2 > far[10:15, 10:15].sum()
