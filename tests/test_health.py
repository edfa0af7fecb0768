import keras
import numpy as np
import pytest

from nam import health, models
from nam.config import Config
from nam.data import Spec
from nam.data.pipeline import Batch
from tests.small import run


def test_two_gazes_by_hand():
    boxes = np.array([[10, 10, 20, 20], [60, 60, 20, 20]])  # centres (20, 20) and (70, 70) of a 100-pixel canvas
    pixels = np.array([[[[50, 50], [36, 20]]], [[[20, 20], [99.5, 70]]]], float)  # one copy, two looks
    locations = pixels / 50 - 1
    found = health.of_gaze(locations, locations, boxes, np.array([100, 100]), window=13)
    assert found["hits"] == [0.0, 0.5]  # 16 pixels off is less than (13 + 20) / 2
    assert found["distance"][1] == pytest.approx((16 + 29.5) / 2)
    assert found["first_hit"] == 2 and found["never_hit"] == 0.5
    assert found["border"] == 0.25
    assert found["spread"] == pytest.approx((63.5 / 2 + 50 / 2) / 2 / 50)


def model_and_batch(rng, **values):
    config = Config(glimpses=3, scales=1, bandwidth=6, hidden=8, seed=1, **values)
    model = models.build(config, Spec(20, 20, 1, ("a", "b", "c")))
    boxes = np.tile([5, 5, 10, 10], (16, 1))
    images = rng.integers(0, 256, (16, 20, 20, 1)).astype("uint8")
    return model, Batch(images, rng.integers(0, 3, 16), boxes, np.arange(16))


def test_the_gradients_are_those_of_the_training_loss(rng):
    model, batch = model_and_batch(rng)
    before = [np.array(keras.ops.convert_to_numpy(g.state)) for g in model.seed_generators]
    found = health.of_training(model, batch)
    assert found == health.of_training(model, batch)
    for state, generator in zip(before, model.seed_generators, strict=True):
        np.testing.assert_array_equal(state, keras.ops.convert_to_numpy(generator.state))
    # The slope of the loss along one weight of the action network, by differences.
    with health.draws_from(model, health.SEED):
        _, gradients = model.trace(batch.images, batch.labels)
    index = [variable.path for variable in model.trainable_variables].index(model.action_network.bias.path)

    def loss(step):
        bias = keras.ops.convert_to_numpy(model.action_network.bias.value)
        model.action_network.bias.assign(bias + np.array([step, 0, 0], "float32"))
        with health.draws_from(model, health.SEED):
            outputs = model(batch.images, training=True)
            parts, _ = health.losses.hybrid(batch.labels, outputs, **model.objective)
        model.action_network.bias.assign(bias)
        return float(keras.ops.mean(parts["classification"]))

    slope = (loss(0.01) - loss(-0.01)) / 0.02
    assert float(gradients[index][0]) == pytest.approx(slope, rel=1e-2)
    norm = found["gradient_norm/action_network"]
    own = [g for g, v in zip(gradients, model.trainable_variables, strict=True) if "action_network" in v.path]
    assert norm == pytest.approx(float(keras.ops.sqrt(sum(keras.ops.sum(g * g) for g in own))), rel=1e-5)


def test_what_an_untrained_network_tells(rng):
    model, batch = model_and_batch(rng)
    found = health.of_training(model, batch)
    assert 0.5 < found["answer_entropy"] <= np.log(3) + 1e-6
    assert found["gradient_norm/location_network"] > 0 and not health.never_learns(model, found)
    assert 0 < found["gaze/hits"] <= 1 and found["advantage_variance"] > 0
    assert 0 < found["policy/spread"] < 0.1 and abs(found["policy/mean_x"]) < 0.1  # it starts near the centre


def test_looks_that_have_nothing_to_find_miss_nothing(rng):
    config = Config(dataset="mnist", task="sequence", glimpses=6, scales=1, bandwidth=30, hidden=8, reading="forward")
    config = config.resolved("mnist")
    model = models.build(config, Spec(20, 20, 1, (*tuple("0123456789"), "end"), 6))
    boxes = np.zeros((4, 6, 4), int)
    boxes[:, :1] = [0, 0, 20, 20]  # numbers of one digit, which no patch of 30 pixels misses
    batch = Batch(rng.integers(0, 256, (4, 20, 20, 1)).astype("uint8"), np.zeros((4, 6), int), boxes, np.arange(4))
    assert health.of_training(model, batch)["gaze/hits"] == 1


@pytest.mark.parametrize(
    ("values", "ill"),
    [(dict(reinforce_weight=0.0), True), (dict(policy="frozen"), False), (dict(policy="center"), False)],
)
def test_a_policy_without_gradient_is_ill_if_it_should_learn(rng, values, ill):
    model, batch = model_and_batch(rng, **values)
    found = health.of_training(model, batch)
    assert found["gradient_norm/location_network"] == 0 and health.never_learns(model, found) is ill


def test_a_batch_whose_gazes_all_earn_the_same_is_no_sign_of_illness(rng):
    model, batch = model_and_batch(rng, reward="correct")
    one = Batch(*(part[:1] for part in batch))
    for label in range(3):  # some label is answered wrongly, or rightly, by all copies
        found = health.of_training(model, one._replace(labels=np.array([label])))
        if found["advantage_variance"] == 0:
            assert found["gradient_norm/location_network"] == 0 and not health.never_learns(model, found)
            break
    else:
        pytest.fail("every label divides the copies")


def test_one_look_has_nowhere_else_to_go(rng):
    model = models.build(Config(glimpses=1, scales=1, bandwidth=6, hidden=8), Spec(20, 20, 1, ("a", "b", "c")))
    batch = model_and_batch(rng)[1]
    found = health.of_training(model, batch)
    assert not health.never_learns(model, found) and np.isfinite([*found.values()]).all()


def test_a_run_whose_location_network_gets_no_gradient_says_so_once(tmp_path, capsys):
    run(tmp_path, reinforce_weight=0.0, execution={"no_test": True})
    assert capsys.readouterr().out.count("warning: the location network's gradient was 0 in epoch 1") == 1
