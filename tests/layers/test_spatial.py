import keras
import numpy as np
import pytest
from scipy import ndimage

from nam.data.boxes import framing
from nam.layers import SpatialTransformer
from nam.layers.sampling import affine_grid, bilinear
from tests.layers.check import check_layer

IDENTITY = np.array([[1, 0, 0, 0, 1, 0]], "float32")


def gradient(function, *inputs):
    """Of the sum of a function's outputs, for each of its inputs."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(lambda *x: function(*x).sum(), argnums=tuple(range(len(inputs))))(*inputs)
    import tensorflow as tf

    inputs = [tf.constant(x) for x in inputs]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        found = tf.reduce_sum(function(*inputs))
    return [tf.convert_to_tensor(part).numpy() for part in tape.gradient(found, inputs)]


@pytest.fixture
def images(rng):
    return rng.random((3, 7, 9, 2), "float32")


def test_keeps_the_contract(images, rng):
    theta = rng.normal(size=(3, 6)).astype("float32")
    check_layer(SpatialTransformer(5), images, theta)
    check_layer(SpatialTransformer(5, "edge"), images, theta)


def test_the_identity_reads_an_image_exactly_and_any_box_as_it_is(rng):
    image = rng.random((1, 8, 8, 1), "float32")
    np.testing.assert_array_equal(SpatialTransformer(8)(image, IDENTITY), image)
    image = rng.random((1, 100, 100, 1), "float32")
    for x, y in ((0, 0), (13, 55), (72, 72)):
        theta = framing(np.array([[x, y, 28, 28]]), 100, 100)
        assert theta[0, 0] == pytest.approx(0.28) and theta[0, 4] == pytest.approx(0.28)
        np.testing.assert_allclose(SpatialTransformer(28)(image, theta), image[:, y : y + 28, x : x + 28], atol=1e-4)


def test_the_grid_is_the_equation_in_edge_coordinates(rng):
    theta = rng.normal(size=(2, 6))
    x, y = affine_grid(theta.astype("float32"), (3, 5), (10, 20))
    for b in range(2):
        for i in range(3):
            for j in range(5):
                xg, yg = (2 * j + 1) / 5 - 1, (2 * i + 1) / 3 - 1
                source = theta[b].reshape(2, 3) @ [xg, yg, 1]
                expected = (source + 1) / 2 * [20, 10] - 0.5
                np.testing.assert_allclose([x[b, i, j], y[b, i, j]], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("border", "mode"), [("zero", "grid-constant"), ("edge", "nearest")])
def test_samples_as_a_loop_and_as_scipy_do(images, rng, border, mode):
    x, y = rng.uniform(-3, 11, (3, 4, 6)).astype("float32"), rng.uniform(-3, 9, (3, 4, 6)).astype("float32")
    found = np.asarray(bilinear(images, x, y, border))
    for b in range(3):
        for c in range(2):
            expected = ndimage.map_coordinates(images[b, :, :, c], [y[b], x[b]], order=1, mode=mode)
            np.testing.assert_allclose(found[b, :, :, c], expected, atol=1e-5)
    rows, columns = (np.arange(n)[:, None] for n in (7, 9))
    if border == "zero":  # equation 3, word by word
        for b, i, j in np.ndindex(3, 4, 6):
            weights = np.maximum(0, 1 - np.abs(y[b, i, j] - rows)) * np.maximum(0, 1 - np.abs(x[b, i, j] - columns)).T
            np.testing.assert_allclose(found[b, i, j], np.einsum("nm,nmc->c", weights, images[b]), atol=1e-5)


def test_gradients_are_those_of_the_equations_and_of_finite_differences(images):
    x, y = np.array([[[2.3]]] * 3, "float32"), np.array([[[4.6]]] * 3, "float32")
    of_images, of_x, of_y = (np.asarray(part) for part in gradient(bilinear, images, x, y))
    i = images.sum(-1)  # equations 4 and 5: differences along one axis, weighted along the other
    np.testing.assert_allclose(
        of_x[:, 0, 0], (i[:, 4, 3] - i[:, 4, 2]) * 0.4 + (i[:, 5, 3] - i[:, 5, 2]) * 0.6, rtol=1e-4
    )
    np.testing.assert_allclose(
        of_y[:, 0, 0], (i[:, 5, 2] - i[:, 4, 2]) * 0.7 + (i[:, 5, 3] - i[:, 4, 3]) * 0.3, rtol=1e-4
    )
    assert of_images.sum() == pytest.approx(6, rel=1e-5) and of_images[0, 4, 2, 0] == pytest.approx(0.28, rel=1e-4)


@pytest.mark.parametrize("border", ["zero", "edge"])
def test_gradients_through_the_layer_are_those_of_finite_differences(images, border):
    layer, step = SpatialTransformer(5, border), 1e-3
    # One window lies within the image, one reaches beyond its edge.
    theta = np.array([[0.52, 0.11, 0.07, -0.13, 0.61, -0.05], [0.9, 0.1, 0.3, -0.1, 0.8, -0.4]], "float32")
    images = images[:2]
    exact = np.asarray(gradient(lambda theta: layer(images, theta), theta)[0])
    for k in range(6):
        high, low = theta.copy(), theta.copy()
        high[:, k] += step
        low[:, k] -= step
        difference = (np.asarray(layer(images, high)) - np.asarray(layer(images, low))).sum((1, 2, 3)) / (2 * step)
        np.testing.assert_allclose(exact[:, k], difference, rtol=0.05, atol=0.05)
    (of_images,) = (np.asarray(part) for part in gradient(lambda images: layer(images, theta), images))
    for place in ((0, 3, 4, 0), (1, 0, 8, 1), (1, 2, 5, 0)):  # linear in each pixel
        brighter = images.copy()
        brighter[place] += 1
        difference = np.asarray(layer(brighter, theta)).sum() - np.asarray(layer(images, theta)).sum()
        assert of_images[place] == pytest.approx(difference, abs=1e-3)


@pytest.mark.parametrize("border", ["zero", "edge"])
def test_xla_reads_alike(images, border):
    inputs, theta = keras.Input(images.shape[1:]), keras.Input((6,))
    model = keras.Model([inputs, theta], SpatialTransformer(5, border)(inputs, theta))
    values = images, np.tile(IDENTITY * 0.7 + 0.1, (3, 1))
    model.compile(jit_compile=True)
    np.testing.assert_allclose(model.predict_on_batch(values), model(values), atol=1e-5)


@pytest.mark.parametrize("arguments", [dict(size=0), dict(size=3, border="noise")])
def test_refuses_what_it_cannot_read(arguments):
    with pytest.raises(ValueError, match="Received"):
        SpatialTransformer(**arguments)
