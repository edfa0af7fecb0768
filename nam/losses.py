"""Objectives as pure functions, an equation each.

Arrays that carry Monte-Carlo copies have them on their second axis: `(batch, copies, …)`.
"""

from keras import ops


def correct(labels, logits):
    """R = 1 where the last look's answer is right, else 0 (Mnih et al. 2014, section 2.2): `(batch, copies)`."""
    right = ops.argmax(logits, axis=-1) == ops.reshape(ops.cast(labels, "int32"), (-1, 1))
    return ops.cast(right, "float32")


def probability(labels, logits):
    """R = p(label) after the last look, in (0, 1): `(batch, copies)`. Says how nearly right an answer was."""
    return ops.exp(-cross_entropy(labels, logits))


REWARDS = {"correct": correct, "probability": probability}


def cross_entropy(labels, logits):
    """−log p(label) of every copy, in nats: `(batch, copies)`."""
    classes = logits.shape[-1]
    one_hot = ops.one_hot(ops.reshape(ops.cast(labels, "int32"), (-1, 1)), classes, dtype="float32")
    return -ops.sum(one_hot * ops.log_softmax(ops.cast(logits, "float32")), axis=-1)


def leave_one_out(rewards):
    """Each copy's reward against the mean of the others' (Kool et al. 2019): `(batch, copies)`.

    A baseline that does not depend on the copy itself, so the gradient keeps its expectation; it needs nothing learned.
    """
    others = max(rewards.shape[1] - 1, 1)
    return rewards - (ops.sum(rewards, axis=1, keepdims=True) - rewards) / others


def hybrid(labels, outputs, reward="probability", advantage="leave-one-out", reinforce_weight=1.0, baseline_weight=1.0):
    """The hybrid objective of Mnih et al. (2014), section 2.2, by named parts; their sum is what training lowers.

        classification = −log p(label), after the last look
        reinforce      = −w₁ · mean over looks t = 2 … T of log π(lₜ) · Aₜ,   Aₜ = R − b(hₜ₋₁)  or leave-one-out
        baseline       = w₂ · mean over looks of (R − b(hₜ))²

    R and A are constants to the gradient. The first location is not the policy's, so its log-density is left out; with
    one look the REINFORCE part is 0.

    Args:
        labels: `(batch,)` integers, or `(batch, 1)`.
        outputs: A `RecurrentAttention`'s with copies: `logits (batch, copies, classes)`, `log_probs` and `baselines`
            `(batch, copies, looks)`, `log_probs[..., 0]` being 0.
        reward: `"correct"` or `"probability"`.
        advantage: `"learned"` (R − b) or `"leave-one-out"`.
        reinforce_weight: w₁.
        baseline_weight: w₂.

    Returns:
        `(parts, rewards)`: a dict of `(batch,)` means over the copies, and `(batch,)` rewards.
    """
    log_probs, baselines = outputs["log_probs"], outputs["baselines"]
    rewards = ops.stop_gradient(REWARDS[reward](labels, outputs["logits"]))
    if advantage == "learned":
        advantages = rewards[..., None] - ops.stop_gradient(baselines[..., :-1])
    else:
        advantages = leave_one_out(rewards)[..., None]
    decisions = max(log_probs.shape[-1] - 1, 1)
    reinforce = -ops.sum(log_probs[..., 1:] * advantages, axis=-1) / decisions
    baseline = ops.mean(ops.square(rewards[..., None] - baselines), axis=-1)
    parts = {
        "classification": cross_entropy(labels, outputs["logits"]),
        "reinforce": reinforce_weight * reinforce,
        "baseline": baseline_weight * baseline,
    }
    return {name: ops.mean(part, axis=1) for name, part in parts.items()}, ops.mean(rewards, axis=1)
