import keras
import numpy as np
import pytest

from nam import gaze, models
from nam.config import Config
from nam.data import Spec
from nam.data.pipeline import TEST, Batches
from nam.data.sources import Examples


@pytest.fixture
def split(rng):
    digits = rng.integers(0, 256, (20, 28, 28, 1)).astype("uint8")
    config = Config(task="translated", canvas=30, batch_size=8, glimpses=3, scales=2, bandwidth=5, hidden=8, seed=1)
    model = models.build(config.resolved("digits"), Spec(30, 30, 1, tuple("0123456789")))
    return model, Batches(config.resolved("digits"), Examples(digits, np.arange(20) % 10, digits), TEST)


def test_a_gaze_that_is_followed_answers_as_it_did(split):
    model, batches = split
    watcher = gaze.Watcher(model, looks=5, votes=2)
    own, sampled = watcher.watch(batches), watcher.sample(batches)
    assert own.probabilities.shape == (20, 5, 10) and sampled.locations.shape == (20, 2, 5, 2)
    np.testing.assert_allclose(watcher.follow(batches, own.locations), own.probabilities, atol=1e-6)
    np.testing.assert_allclose(watcher.follow(batches, sampled.locations[:, 1]), sampled.probabilities[:, 1], atol=1e-6)
    np.testing.assert_array_equal(own.locations[:, 1:], own.means[:, 1:])


def test_sampled_gazes_are_told_by_their_seed(split):
    model, batches = split
    watcher = gaze.Watcher(model)
    first = watcher.sample(batches, 1).locations
    np.testing.assert_array_equal(watcher.sample(batches, 1).locations, first)
    assert not np.array_equal(watcher.sample(batches, 2).locations, first)


@pytest.mark.parametrize("padding", ["zero", "noise"])
def test_what_is_seen_of_an_image_does_not_depend_on_the_others(rng, padding):
    config = Config(glimpses=3, scales=2, bandwidth=5, hidden=8, seed=1, padding=padding)
    model = models.build(config, Spec(20, 24, 1, ("a", "b")))
    images = rng.integers(0, 256, (5, 20, 24, 1)).astype("uint8")
    viewer = gaze.Viewer(model)
    together = viewer(images)
    for i in range(5):
        for alone, among in zip(viewer(images[[i]]), together, strict=True):
            np.testing.assert_array_equal(alone[0], among[i])


def test_what_is_seen_are_the_patches_that_were_read(rng):
    model = models.build(Config(glimpses=3, scales=2, bandwidth=5, hidden=8, seed=1), Spec(20, 24, 3, ("a", "b")))
    images = rng.integers(0, 256, (2, 20, 24, 3)).astype("uint8")
    seen = gaze.Viewer(model)(images)
    outputs = model(images)
    np.testing.assert_allclose(seen.locations, outputs["locations"], atol=1e-6)
    np.testing.assert_allclose(seen.probabilities, keras.ops.softmax(outputs["look_logits"]), atol=1e-6)
    assert seen.patches.shape == (2, 3, 2, 5, 5, 3)
    read = keras.ops.convert_to_numpy(model.sensor(images, seen.locations[:, 1]))  # all channels of a scale together
    np.testing.assert_allclose(seen.patches[:, 1, 0], read[..., :3], atol=1e-6)
    np.testing.assert_allclose(seen.patches[:, 1, 1], read[..., 3:], atol=1e-6)


def test_looks_taken_by_hand():
    p = np.array([[0.5, 0.8, 0.9], [0.95, 0.2, 0.3], [0.4, 0.4, 1.0]])
    probabilities = np.stack([p, 1 - p], -1)
    np.testing.assert_array_equal(gaze.looks_taken(probabilities, 0.75), [2, 1, 3])
    np.testing.assert_array_equal(gaze.looks_taken(probabilities, 0.9), [3, 1, 3])
    np.testing.assert_array_equal(gaze.looks_taken(probabilities, 1.0), [3, 3, 3])


def test_a_heat_map_sums_to_the_number_of_looks(rng):
    locations = rng.uniform(-1, 1, (50, 4, 2))
    locations[0, 0], locations[0, 1] = (1, 1), (-1, -1)  # the corners belong to it
    assert gaze.heat_map(locations).sum() == pytest.approx(4)
    looks = [gaze.heat_map(locations[:, [look]]) for look in range(4)]
    np.testing.assert_allclose(sum(looks), gaze.heat_map(locations))
    found = gaze.heat_map(np.array([[[1.0, -1.0]]]), cells=3)
    np.testing.assert_array_equal(found, [[0, 0, 1], [0, 0, 0], [0, 0, 0]])  # right, above
