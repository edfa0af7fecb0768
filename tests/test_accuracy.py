import keras
import numpy as np
import pytest

from nam import accuracy, models
from nam.config import Config
from nam.data import Spec
from nam.data.pipeline import TEST, Batches
from nam.data.sources import Examples
from tests.small import JIT


@pytest.fixture
def split(rng):
    digits = rng.integers(0, 256, (20, 28, 28, 1)).astype("uint8")
    fields = dict(glimpses=2, scales=1, hidden=8, std=0.22, exploration="fixed", first_location="random")
    config = Config(task="translated", canvas=30, batch_size=8, **fields).resolved("digits")
    model = models.build(config, Spec(30, 30, 1, tuple("0123456789")))
    model.set_weights([w + rng.normal(0, 0.3, w.shape) for w in model.get_weights()])  # so that its answers differ
    return model, Batches(config, Examples(digits, np.arange(20) % 10, digits), TEST)


def test_every_kind_of_accuracy_is_what_its_name_says(split):
    model, batches = split
    evaluator = accuracy.Evaluator(model, 5, JIT)
    found = evaluator(batches)
    images = np.concatenate([batches.batch(i).images for i in range(len(batches))])
    labels = np.concatenate([batches.labels(i) for i in range(len(batches))])
    deterministic = np.asarray(model(images)["logits"])
    assert found.deterministic == pytest.approx(np.mean(deterministic.argmax(-1) == labels))
    log_p = np.asarray(keras.ops.log_softmax(deterministic))
    assert found.loss == pytest.approx(-log_p[np.arange(20), labels].mean(), rel=1e-5)
    p = evaluator.probabilities(batches)["sampled"]
    assert p.shape == (20, 5, 10) and len(np.unique(p[0], axis=0)) == 5
    assert found.sampled == pytest.approx((p.argmax(-1) == labels[:, None]).mean())
    assert found.vote == (p.mean(1).argmax(-1) == labels).mean() != found.sampled and found.votes == 5


def test_a_vote_of_one_is_the_sampled_accuracy(split):
    model, batches = split
    found = accuracy.Evaluator(model, 1, JIT)(batches)
    assert found.vote == found.sampled


def test_evaluating_is_repeatable_and_leaves_the_draws_as_they_were(split):
    model, batches = split
    evaluator = accuracy.Evaluator(model, 3, JIT)
    states = [np.array(keras.ops.convert_to_numpy(g.state)) for g in model.seed_generators]
    first = evaluator(batches)
    for before, generator in zip(states, model.seed_generators, strict=True):
        np.testing.assert_array_equal(before, keras.ops.convert_to_numpy(generator.state))
    keras.random.normal((2,), seed=model.seed_generators[0])
    assert evaluator(batches) == first
