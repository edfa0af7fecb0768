import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nam.layers import GlimpseSensor
from nam.layers.sensor import View
from tests.layers.check import check_layer


def reference(images, locations, bandwidth, factors):
    """Patch by patch, cell by cell, as the words of the docstring say it."""
    n, height, width, channels = images.shape
    white = 255 if images.dtype == np.uint8 else 65535
    levels = (
        images.astype("int64")
        if white == 255
        else np.rint(images.astype("float32") * np.float32(white)).astype("int64")
    )
    patches = np.zeros((n, bandwidth, bandwidth, len(factors), channels), "float32")
    for i, (x, y) in enumerate(locations.astype("float32")):
        for s, factor in enumerate(factors):
            left, top = (
                int(
                    np.floor(
                        (c + np.float32(1)) * np.float32(size / 2)
                        - np.float32(bandwidth * factor / 2)
                        + np.float32(0.5)
                    )
                )
                for c, size in ((x, width), (y, height))
            )
            for r in range(bandwidth):
                for c in range(bandwidth):
                    rows = slice(max(top + r * factor, 0), max(top + (r + 1) * factor, 0))
                    columns = slice(max(left + c * factor, 0), max(left + (c + 1) * factor, 0))
                    total = levels[i, rows, columns].sum(axis=(0, 1))
                    patches[i, r, c, s] = total.astype("float32") * np.float32(1 / (white * factor * factor))
    return patches.reshape(n, bandwidth, bandwidth, -1)


def both_ways(sensor, images, locations):
    """The patches read from the summed-area table, and from gathered windows."""
    for reads in (10**9, 0):
        view = sensor.prepare(keras.ops.convert_to_tensor(images), reads)
        assert view.table == bool(reads)
        yield np.asarray(sensor.read(view, keras.ops.convert_to_tensor(locations)[:, None])[:, 0])


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.integers(1, 3),
    bandwidth=st.integers(1, 7),
    factors=st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True).map(sorted),
    kind=st.sampled_from(["uint8", "float32"]),
    seed=st.integers(0, 10**6),
)
def test_reads_the_exact_mean_of_every_cell_on_both_paths(height, width, channels, bandwidth, factors, kind, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (5, height, width, channels)).astype("uint8")
    if kind == "float32":
        images = rng.random(images.shape, "float32")
    locations = rng.uniform(-1, 1, (5, 2)).astype("float32")
    locations[0], locations[1], locations[2] = (-1, -1), (1, 1), (0, 0)
    expected = reference(images, locations, bandwidth, factors)
    for patches in both_ways(GlimpseSensor(bandwidth, len(factors), factors), images, locations):
        np.testing.assert_array_equal(patches, expected)


@pytest.mark.parametrize("jit", [False, True])
def test_table_and_windows_agree_to_the_bit_on_a_large_image(rng, jit):
    images = rng.integers(0, 256, (2, 300, 200, 1)).astype("uint8")
    locations = rng.uniform(-1, 1, (2, 2)).astype("float32")
    sensor = GlimpseSensor(12, 4)
    if jit and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        read = tf.function(
            lambda reads: sensor.read(sensor.prepare(tf.constant(images), reads), locations[:, None]), jit_compile=True
        )
        table, windows = read(10**9), read(0)
    else:
        table, windows = both_ways(sensor, images, locations)
    np.testing.assert_array_equal(table, windows)


def test_a_float_image_keeps_a_single_pixels_value_on_a_large_canvas(rng):
    images = rng.random((1, 800, 800, 1), "float32")
    patches = next(both_ways(GlimpseSensor(1, 1), images, np.array([[1.0, 1.0]], "float32") * (1 - 1e-3)))
    assert abs(patches.item() - images[0, 799, 799, 0]) < 1 / 65535


def test_a_look_at_the_centre_of_a_pixel_sees_that_pixel():
    images = np.zeros((1, 5, 9, 1), "uint8")
    images[0, 3, 7] = 255
    sensor = GlimpseSensor(1, 1)
    location = np.array([[(2 * 7 + 1) / 9 - 1, (2 * 3 + 1) / 5 - 1]], "float32")
    assert np.asarray(sensor(images, location)).item() == 1.0


def test_channels_of_the_finest_patch_come_first():
    images = np.zeros((1, 8, 8, 3), "uint8")
    images[..., 2] = 255
    patches = np.asarray(GlimpseSensor(2, 2)(images, np.zeros((1, 2), "float32")))
    assert patches.shape == (1, 2, 2, 6)
    np.testing.assert_array_equal(patches[0, 0, 0], [0, 0, 1, 0, 0, 1])


@pytest.mark.parametrize("table", [False, True])
def test_copies_share_one_view(rng, table):
    images = rng.integers(0, 256, (3, 20, 20, 1)).astype("uint8")
    locations = rng.uniform(-1, 1, (3, 4, 2)).astype("float32")
    sensor = GlimpseSensor(4, 2)
    view = sensor.prepare(keras.ops.convert_to_tensor(images), 10**9 if table else 0)
    assert isinstance(view, View) and view.table == table
    patches = np.asarray(sensor.read(view, locations))
    for copy in range(4):
        np.testing.assert_array_equal(patches[:, copy], sensor(images, locations[:, copy]))


def test_noise_fills_only_what_lies_outside(rng):
    images = np.zeros((200, 10, 10, 1), "uint8")
    corner = np.full((200, 2), -1, "float32")
    patches = np.asarray(GlimpseSensor(4, 1, padding="noise", seed=1)(images, corner))[..., 0]
    assert (patches[:, 2:, 2:] == 0).all()
    outside = patches[:, :2]
    assert 0 <= outside.min() < 0.02 and 0.98 < outside.max() <= 1 and abs(outside.mean() - 0.5) < 0.02


def test_with_noise_a_cell_is_its_first_pixel(rng):
    images = rng.integers(0, 256, (3, 20, 20, 1)).astype("uint8")
    patches = np.asarray(GlimpseSensor(5, 2, [1, 3], padding="noise", seed=1)(images, np.zeros((3, 2), "float32")))
    np.testing.assert_allclose(patches[..., 1], images[:, 3:18:3, 3:18:3, 0] / np.float32(255), rtol=1e-6)


def test_keeps_the_layer_contract(rng):
    images = rng.integers(0, 256, (3, 20, 24, 2)).astype("uint8")
    locations = rng.uniform(-1, 1, (3, 2)).astype("float32")
    assert check_layer(GlimpseSensor(4, 3, seed=1), images, locations).shape == (3, 4, 4, 6)
    assert check_layer(GlimpseSensor(4, 2, [1, 3], "noise", seed=1), images, locations).shape == (3, 4, 4, 4)


@pytest.mark.parametrize(
    "arguments",
    [dict(scales=2, scale_factors=[1]), dict(scales=2, scale_factors=[2, 1]), dict(scales=1, scale_factors=[0]),
     dict(scales=1, scale_factors=[182]), dict(scales=9), dict(scales=0), dict(scales=1, padding="edge")],
)  # fmt: skip
def test_refuses_values_out_of_their_limits(arguments):
    with pytest.raises(ValueError, match="Received"):
        GlimpseSensor(4, **arguments)


def test_refuses_images_of_unknown_size():
    with pytest.raises(ValueError, match="static height"):
        GlimpseSensor(4, 1).prepare(keras.KerasTensor((None, None, None, 1), "uint8"))
