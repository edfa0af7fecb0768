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


def test_a_label_of_no_class_is_no_number():
    found = keras.ops.convert_to_numpy(losses.cross_entropy(np.array([3, 4, -1]), np.zeros((3, 2, 4))))
    np.testing.assert_allclose(found, [[np.log(4)] * 2, [np.nan] * 2, [np.nan] * 2], rtol=1e-6)
    seen = {"look_logits": np.zeros((2, 3, 4)), "thetas": np.zeros((2, 3, 6))}
    parts = losses.what_and_where(np.array([3, -1]), np.ones((2, 6)), seen, 1, 1, np.ones(6))
    np.testing.assert_allclose(parts["classification"], [np.log(4), np.nan], rtol=1e-6)
    np.testing.assert_allclose(parts["localisation"], [6, 6])
    many = {**CASE, "logits": np.zeros((2, 2, 4)), "look_logits": np.zeros((2, 2, 3, 4))}
    many |= {name: np.zeros((2, 2, 3), "float32") for name in ("log_probs", "baselines")}
    parts, _ = losses.hybrid(np.array([3, -1]), many, loss_steps="all")
    np.testing.assert_allclose(parts["classification"], [np.log(4), np.nan], rtol=1e-6)


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


def test_the_log_likelihood_as_reward_by_hand():
    parts, rewards = losses.hybrid(LABELS, CASE, reward="log-likelihood")
    log_p = -np.array([np.log(1 + np.exp(-2)), np.log(1 + np.exp(1))])
    assert float(rewards[0]) == pytest.approx(log_p.mean())
    expected = -np.mean([-3.0 / 2 * (log_p[0] - log_p[1]), -0.75 / 2 * (log_p[1] - log_p[0])])
    assert float(parts["reinforce"][0]) == pytest.approx(expected)


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


def test_several_targets_are_earned_one_after_the_other_by_hand():
    # One image, one copy, two looks at each of two targets; the first is read right, the second is not there.
    p = np.array([[[[0.75, 0.25], [0.5, 0.5]]]])
    looks = np.array([[[[0.5, 0.5], [0.75, 0.25], [0.5, 0.5], [0.5, 0.5]]]])
    case = {**outputs(np.log(p), [[[0, -1, -2, -3]]], [[[0.1, 0.2, 0.3, 0.4]]]), "look_logits": np.log(looks)}
    labels = np.array([[0, -1]])
    parts, rewards = losses.hybrid(labels, case, advantage="learned")
    assert float(rewards[0]) == pytest.approx(0.75)  # of the one target that there is
    # Half of what can be earned comes with each target: the looks 1 and 2 earn 0.75 / 2, 3 and 4 nothing.
    earned = [0.375, 0.375, 0, 0]
    np.testing.assert_allclose(losses.returns(np.array([[[0.75, 0]]]), 4)[0, 0], earned)
    reinforce = -(-1 * (0.375 - 0.1) - 2 * (0 - 0.2) - 3 * (0 - 0.3)) / 3
    assert float(parts["reinforce"][0]) == pytest.approx(reinforce, rel=1e-5)
    baseline = ((0.375 - 0.1) ** 2 + 0.2**2 + 0.3**2 + 0.4**2) / 4
    assert float(parts["baseline"][0]) == pytest.approx(baseline, rel=1e-5)
    assert float(parts["classification"][0]) == pytest.approx(-np.log(0.75), rel=1e-5)
    parts, _ = losses.hybrid(labels, case, loss_steps="all", advantage="learned")
    assert float(parts["classification"][0]) == pytest.approx(-(np.log(0.5) + np.log(0.75)) / 2, rel=1e-5)


def test_what_and_where_of_several_targets_by_hand():
    # Two looks at each of two targets, the second without a box, and one that is not there.
    looks = np.log(np.array([[[0.5, 0.5], [0.75, 0.25], [0.25, 0.75], [0.5, 0.5], [0.9, 0.1], [0.9, 0.1]]]))
    thetas, targets = np.zeros((1, 6, 6)), np.zeros((1, 3, 6))
    thetas[0, :, 0] = 0.5
    targets[0, 0, 0] = 0.3
    found = {"look_logits": looks, "thetas": thetas}
    parts = losses.what_and_where(np.array([[0, 1, -1]]), targets, found, 1, 1, (2, 1, 1, 1, 1, 1))
    what = -(np.log(0.5) + np.log(0.75) + np.log(0.75) + np.log(0.5)) / 2
    assert float(parts["classification"][0]) == pytest.approx(what, rel=1e-5)
    assert float(parts["localisation"][0]) == pytest.approx(2 * 2 * 0.2**2 / 2, rel=1e-5)
