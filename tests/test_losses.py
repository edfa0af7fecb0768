import keras
import numpy as np
import pytest

from nam import losses


def outputs(logits, log_probs, baselines):
    return {
        "logits": np.array(logits, "float32"),
        "log_probs": np.array(log_probs, "float32"),
        "baselines": np.array(baselines, "float32"),
    }


# One image of class 0, two copies, three looks: the first copy answers right, the second wrong.
CASE = outputs(
    [[[2.0, 0.0], [0.0, 1.0]]], [[[0, -1.0, -2.0], [0, -0.5, -0.25]]], [[[0.5, 0.25, 0.75], [0.0, 1.0, 0.5]]]
)
LABELS = np.array([0])


def test_parts_with_a_learned_baseline_by_hand():
    parts, rewards = losses.hybrid(LABELS, CASE, reward="correct", advantage="learned", baseline_weight=2.0)
    assert float(rewards[0]) == 0.5
    cross_entropy = (np.log(1 + np.exp(-2)) + np.log(1 + np.exp(1))) / 2
    assert float(parts["classification"][0]) == pytest.approx(cross_entropy)
    # Look t's advantage uses the baseline of the state that chose it, one look earlier.
    first = -(-1.0 * (1 - 0.5) + -2.0 * (1 - 0.25)) / 2
    second = -(-0.5 * (0 - 0.0) + -0.25 * (0 - 1.0)) / 2
    assert float(parts["reinforce"][0]) == pytest.approx((first + second) / 2)
    squares = ((0.5**2 + 0.75**2 + 0.25**2) + (0 + 1 + 0.5**2)) / 6
    assert float(parts["baseline"][0]) == pytest.approx(2 * squares)


def test_parts_with_leave_one_out_by_hand():
    parts, rewards = losses.hybrid(LABELS, CASE, reward="probability", advantage="leave-one-out", reinforce_weight=0.5)
    p = np.array([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(1))])
    assert float(rewards[0]) == pytest.approx(p.mean())
    advantages = np.array([p[0] - p[1], p[1] - p[0]])
    expected = np.mean([3.0 / 2 * advantages[0], 0.75 / 2 * advantages[1]])
    assert float(parts["reinforce"][0]) == pytest.approx(0.5 * expected)


def test_one_look_leaves_nothing_to_reinforce():
    one = outputs([[[2.0, 0.0], [0.0, 1.0]]], [[[0.0], [0.0]]], [[[0.5], [0.5]]])
    for advantage in ("learned", "leave-one-out"):
        parts, _ = losses.hybrid(LABELS, one, advantage=advantage)
        assert float(parts["reinforce"][0]) == 0.0
        assert all(np.isfinite(float(part[0])) for part in parts.values())


def test_leave_one_out_advantages_sum_to_zero(rng):
    advantages = np.asarray(losses.leave_one_out(keras.ops.convert_to_tensor(rng.random((5, 4)))))
    np.testing.assert_allclose(advantages.sum(axis=1), 0, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="reads gradients from TensorFlow's tape")
def test_the_policy_learns_from_rewards_that_are_constants():
    import tensorflow as tf

    values = {name: tf.Variable(x) for name, x in CASE.items()}
    with tf.GradientTape() as tape:
        parts, _ = losses.hybrid(
            LABELS, {name: tf.identity(x) for name, x in values.items()}, reward="probability", advantage="learned"
        )
        loss = parts["reinforce"][0]
    gradients = tape.gradient(loss, values)
    assert gradients["logits"] is None and gradients["baselines"] is None
    p = np.array([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(1))])
    expected = -(p[:, None] - CASE["baselines"][0, :, :2]) / 4  # two copies, two decisions
    np.testing.assert_allclose(gradients["log_probs"][0, :, 1:], expected, rtol=1e-5)
    assert not gradients["log_probs"][0, :, 0].numpy().any()


def test_every_look_can_be_trained_to_answer():
    looks = np.array([[[[2.0, 0.0], [0.0, 1.0]]]], "float32")  # one image, one copy: right, then wrong
    case = {**outputs(looks[:, :, -1], np.zeros((1, 1, 2)), np.zeros((1, 1, 2))), "look_logits": looks}
    right, wrong = np.log(1 + np.exp(-2)), np.log(1 + np.exp(1))
    for steps, expected in (("last", wrong), ("all", (right + wrong) / 2)):
        parts, _ = losses.hybrid(LABELS, case, loss_steps=steps)
        assert float(parts["classification"][0]) == pytest.approx(expected)
