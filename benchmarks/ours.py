"""What is timed of nam, on the backend that Keras was started with. What times a step returns its seconds."""

import functools
import os
import resource
import time

import keras
import numpy as np
from keras import ops

from benchmarks.sides import BURST, burst
from nam import data, models, training
from nam.callbacks import Ahead
from nam.config import Config, Execution
from nam.data.pipeline import TRAIN, Batches
from nam.machine import card, keep_memory

keep_memory()  # as every command of nam does

JIT = os.environ.get("BENCHMARK_JIT", "auto")  # as `Execution` has it
WARM_UP = 3  # steps of a `fit` that are not timed


class Held(keras.utils.PyDataset):
    """One batch, drawn before, again and again."""

    def __init__(self, batch, length: int):
        super().__init__()
        self.batch = batch
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return self.batch


class Stopwatch(keras.callbacks.Callback):
    """Seconds per step of `fit` once it runs."""

    async_safe = True  # as the callbacks of a run

    def on_train_begin(self, logs=None):
        self.times = []

    def on_train_batch_end(self, batch, logs=None):
        self.times.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        return (self.times[-1] - self.times[WARM_UP - 1]) / (len(self.times) - WARM_UP)


@functools.lru_cache(maxsize=1)
def _splits(config: Config):
    return data.load(config)


@functools.lru_cache(maxsize=64)
def _batch(config: Config):
    return tuple(_splits(config).train[0])


@functools.lru_cache(maxsize=64)
def _model(config: Config):
    keras.utils.set_random_seed(0)
    model = models.build(config, _splits(config).spec)
    training.compile_model(model, config, Execution(jit=JIT))
    return model


def _fit(config: Config, batches) -> float:
    watch = Stopwatch()
    _model(config).fit(batches, shuffle=False, verbose=0, callbacks=[Ahead(), watch])
    return watch.seconds


@functools.lru_cache(maxsize=64)
def _count(config: Config) -> int:
    """Steps that fill a burst."""
    batch = _batch(config)
    _fit(config, Held(batch, WARM_UP + 1))  # compiles
    return WARM_UP + max(10, round(BURST / _fit(config, Held(batch, WARM_UP + 3))))


def fit(config: Config) -> float:
    """A whole training step, images drawn meanwhile."""
    count, examples = _count(config), _splits(config).train.examples
    return _fit(config, Batches(config, examples, TRAIN, (count + 0.5) * config.batch_size / len(examples.labels)))


def step(config: Config) -> float:
    """A training step on images drawn before."""
    return _fit(config, Held(_batch(config), _count(config)))


def draw(config: Config) -> float:
    """Drawing one batch, nothing else running."""
    train_split = _splits(config).train
    return burst(lambda: train_split[0])


def inference(config: Config) -> float:
    """Classifying one batch with the deterministic gaze, `predict_on_batch`."""
    model, (images, _) = _model(config), _batch(config)
    return burst(lambda: model.predict_on_batch(images))


def sensor(config: Config) -> float:
    """The sensor alone, all looks and copies of one training step, at random locations."""
    return burst(_sensor(config))


@functools.lru_cache(maxsize=64)
def _sensor(config: Config):
    layer, (images, _) = _model(config).sensor, _batch(config)
    shape = (config.glimpses, len(images), config.samples, 2)
    locations = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")

    def look(images, locations):
        view = layer.prepare(images, reads=config.glimpses * config.samples)
        return [layer.read(view, locations[i]) for i in range(config.glimpses)]

    return _compiled(look, images, locations)


def optimizer(config: Config) -> float:
    """Clipping and applying one gradient."""
    return burst(_optimizer(config))


@functools.lru_cache(maxsize=64)
def _optimizer(config: Config):
    weights = [np.array(ops.convert_to_numpy(w)) for w in _model(config).trainable_variables]
    variables = [keras.Variable(w) for w in weights]
    rule = training.optimizer(config)
    rule.build(variables)
    if keras.backend.backend() == "jax":
        state = [v.value for v in rule.variables]
        return _compiled(lambda *g: rule.stateless_apply(state, list(g), [v.value for v in variables]), *weights)
    return _compiled(lambda *g: rule.apply(list(g)), *weights)


def products(config: Config) -> float:
    """The matrix products of one training step, in the network's own shapes, and nothing else."""
    return burst(_products(config))


@functools.lru_cache(maxsize=64)
def _products(config: Config):
    rng = np.random.default_rng(0)
    rows, channels = config.batch_size * config.samples, _batch(config)[0].shape[-1]
    pixels, units = config.bandwidth**2 * config.scales * channels, config.hidden
    # (inputs, outputs, is the gradient of the inputs needed?)
    layers = [
        (pixels, 128, False), (128, units, True), (2, 128, False), (128, units, True),
        (units, 4 * units, True), (units, 4 * units, True), (units, 2, True),
    ]  # fmt: skip
    kernels = [rng.normal(size=(a, b)).astype("float32") for a, b, _ in layers]
    inputs = [rng.normal(size=(config.glimpses, rows, a)).astype("float32") for a, _, _ in layers]

    def multiply(inputs, kernels):
        results = []
        for look in range(config.glimpses):
            for x, kernel, (_, _, inner) in zip(inputs, kernels, layers, strict=True):
                y = ops.matmul(x[look], kernel)
                results += [y, ops.matmul(ops.transpose(x[look]), y)]
                if inner:
                    results.append(ops.matmul(y, ops.transpose(kernel)))
        return results

    return _compiled(multiply, inputs, kernels)


def _compiled(function, *arguments):
    """`function` of fixed arguments, compiled as a training step is; returns when it is done."""
    if keras.backend.backend() == "jax":
        import jax

        compiled, fixed = jax.jit(function), jax.device_put(list(arguments))
        return lambda: jax.block_until_ready(compiled(*fixed))
    import tensorflow as tf

    compiled, fixed = tf.function(function, jit_compile=True), tf.nest.map_structure(tf.constant, list(arguments))
    return lambda: compiled(*fixed)


def cost(config: Config) -> dict:
    """What one image costs, counted."""
    images, _ = _batch(config)
    return _model(config).cost(*images.shape[1:3])._asdict()


def machine(_config) -> dict:
    """The machine card."""
    return card()


def first_step(config: Config) -> float:
    """Seconds of the first training step in this process."""
    model, (images, labels) = _model(config), _batch(config)
    started = time.perf_counter()
    model.train_on_batch(images, labels)
    return time.perf_counter() - started


def memory_of_run(config: Config, images: int = 60_000) -> float:
    """Peak memory of this process, GiB, after one epoch of `images`; on large canvases fewer do."""
    examples = _splits(config).train.examples
    images = min(images, 60_000 * 100**2 // config.canvas**2)
    _fit(config, Batches(config, examples, TRAIN, images / len(examples.labels)))
    return _peak()


def memory_of_array(config: Config, images: int = 60_000) -> float:
    """Peak memory of this process, GiB, after `fit` on an array of that many images."""
    array = np.zeros((images, config.canvas, config.canvas, 1), "uint8")
    array += np.uint8(1)  # touched: an array of zeros takes no memory
    _model(config).fit(array, np.zeros(images, "int32"), batch_size=config.batch_size, verbose=0)
    return _peak()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
