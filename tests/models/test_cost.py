"""The cost of the model, counted on its traced computation rather than timed."""

import math

import keras
import numpy as np
import pytest

from nam.config import Config
from nam.configs import load_config
from nam.data import Spec
from nam.layers import GlimpseSensor
from nam.models import RecurrentAttention, build

BATCH = 8
PER_LOOK = 664_576  # multiply-adds forward of the LSTM baseline, see RecurrentAttention.cost
LOOPS = {"While", "StatelessWhile", "For", "MapDefun", "while", "scan"}
CALLBACKS = {"PyFunc", "EagerPyFunc", "PyFuncStateless", "pure_callback", "io_callback", "debug_callback"}


@pytest.fixture
def model():
    config = load_config("baseline").model_copy(update={"core": "lstm", "samples": 1}).resolved("digits")
    assert (config.glimpses, config.scales, config.bandwidth, config.canvas) == (4, 4, 12, 100)
    model = build(config, Spec(100, 100, 1, tuple("0123456789")))
    model.compile("adam")
    return model


def operations(function, *arguments) -> list[tuple[str, int]]:
    """Name and multiply-adds of every operation of a traced function, those inside of others included."""
    if keras.backend.backend() == "jax":
        import jax

        def walk(jaxpr):
            for equation in jaxpr.eqns:
                products = 0
                out = [math.prod(var.aval.shape) for var in equation.outvars]
                if equation.primitive.name == "dot_general":
                    (contracted, _), _ = equation.params["dimension_numbers"]
                    left = equation.invars[0].aval.shape
                    products = out[0] * math.prod(left[i] for i in contracted)
                if equation.primitive.name == "conv_general_dilated":
                    kernel = equation.invars[1].aval.shape
                    filters = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
                    products = out[0] * math.prod(kernel) // filters
                yield equation.primitive.name, products
                for value in equation.params.values():
                    for inner in value if isinstance(value, tuple | list) else [value]:
                        inner = getattr(inner, "jaxpr", inner)
                        if hasattr(inner, "eqns"):
                            yield from walk(inner)

        return list(walk(jax.make_jaxpr(function)(*arguments).jaxpr))
    import tensorflow as tf

    def products(operation):
        if operation.type == "Conv2D":
            return math.prod(operation.outputs[0].shape) * math.prod(operation.inputs[1].shape[:-1])
        if operation.type == "Einsum":  # of two: as many as all letters together have values
            letters = operation.get_attr("equation").decode().split("->")[0].split(",")
            sizes = {k: v for term, x in zip(letters, operation.inputs, strict=True)
                     for k, v in zip(term, x.shape, strict=True)}  # fmt: skip
            return math.prod(sizes.values())
        if operation.type not in ("MatMul", "BatchMatMulV2"):
            return 0
        left = operation.inputs[0].shape
        transposed = operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
        return math.prod(operation.outputs[0].shape) * left[-2 if transposed else -1]

    traced = tf.function(function).get_concrete_function(*map(tf.constant, arguments)).graph.get_operations()
    assert not [operation for operation in traced if "Call" in operation.type]  # none hides in a function of its own
    return [(operation.type, products(operation)) for operation in traced]


def training_step(model, images, labels):
    """The traced computation of one training step."""
    if keras.backend.backend() == "tensorflow":
        return operations(lambda images, labels: model.train_step((images, labels)), images, labels)
    import jax

    def loss(trainable, images, labels):
        outputs, _ = model.stateless_call(trainable, [v.value for v in model.non_trainable_variables], images, True)
        with keras.StatelessScope():
            return model.compute_loss(images, labels, outputs)

    return operations(jax.grad(loss), [v.value for v in model.trainable_variables], images, labels)


def test_the_training_step_has_the_multiply_adds_of_the_formula(model, rng):
    images = rng.integers(0, 256, (BATCH, 100, 100, 1)).astype("uint8")
    forward = operations(lambda images: model(images, training=True)["logits"], images)
    assert sum(count for _, count in forward) == pytest.approx(4 * PER_LOOK * BATCH, rel=0.05)
    whole = training_step(model, images, np.zeros(BATCH, "int32"))
    # Backward twice the forward products, but the first layers need no gradient of what they see, and the core none of
    # the state that it starts from.
    formula = 3 * 4 * PER_LOOK - 4 * (576 * 128 + 2 * 128) - 256 * 1024
    assert sum(count for _, count in whole) == pytest.approx(formula * BATCH, rel=0.05)


def test_the_training_step_has_no_loop_over_images_and_no_callback(model, rng):
    images = rng.integers(0, 256, (BATCH, 100, 100, 1)).astype("uint8")
    names = {name for name, _ in training_step(model, images, np.zeros(BATCH, "int32"))}
    assert len(names) > 20 and not names & (LOOPS | CALLBACKS)


def test_the_trace_does_not_grow_with_the_batch(model, rng):
    lengths = set()
    for batch in (4, 32):
        images = rng.integers(0, 256, (batch, 100, 100, 1)).astype("uint8")
        lengths.add(len(training_step(model, images, np.zeros(batch, "int32"))))
    assert len(lengths) == 1


def test_the_cost_is_that_of_the_formula():
    model = RecurrentAttention()
    model.build((None, 100, 100, 1))
    cost = model.cost(100, 100)
    assert cost.multiply_adds == 4 * PER_LOOK + 10 * 256
    assert cost.parameters == model.count_params()
    two = RecurrentAttention(targets=2)
    two.build((None, 100, 100, 1))
    assert two.cost(100, 100).multiply_adds == 4 * PER_LOOK + 2 * 10 * 256  # answers after the last look at each
    with_a_table = 10_000 + 4 * 4 * 13**2
    assert (cost.pixels_read, cost.pixels_touched, cost.pixels) == (4 * 4 * 144, with_a_table, 10_000)


def test_the_work_does_not_grow_with_the_canvas():
    def traced(side):
        model = build(Config(canvas=side, hidden=8).resolved("digits"), Spec(side, side, 1, ("a", "b")))
        images = np.zeros((1, side, side, 1), "uint8")
        return sum(count for _, count in operations(lambda images: model(images)["logits"], images))

    assert traced(60) == traced(400) > 0


def test_the_pixels_looked_at_do_not_grow_beyond_the_windows():
    windows = 4 * 144 * (1 + 4 + 16 + 64)
    sensor = GlimpseSensor(12, 4)
    touched = [sensor.pixels_touched(side, side, 4) for side in (60, 200, 400)]
    assert touched[0] < windows == touched[1] == touched[2]
    assert GlimpseSensor(12, 4, padding="noise").pixels_touched(60, 60, 4) == 4 * 4 * 144  # one of each cell


@pytest.mark.parametrize(("core", "products"), [("lstm", 8), ("rnn", 2)])
def test_the_cost_of_colour_images_and_other_cores(core, products):
    model = build(Config(core=core, hidden=8, glimpses=3, scales=2, bandwidth=5), Spec(30, 40, 3, ("a", "b")))
    per_look = 128 * 2 * 25 * 3 + 2 * 128 + 2 * 128 * 8 + products * 64 + 2 * 8 + 8
    cost = model.cost(30, 40)
    assert cost.multiply_adds == 3 * per_look + 2 * 8
    assert (cost.pixels_read, cost.pixels) == (3 * 2 * 25 * 3, 3600)
