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
    """−log p(label), in nats: `(batch, …)` for logits `(batch, …, classes)`."""
    labels = ops.reshape(ops.cast(labels, "int32"), (-1, *[1] * (len(logits.shape) - 2)))
    one_hot = ops.one_hot(labels, logits.shape[-1], dtype="float32")
    return -ops.sum(one_hot * ops.log_softmax(ops.cast(logits, "float32")), axis=-1)


def leave_one_out(rewards):
    """Each copy's reward against the mean of the others' (Kool et al. 2019): `(batch, copies)`.

    A baseline that does not depend on the copy itself, so the gradient keeps its expectation; it needs nothing learned.
    """
    others = max(rewards.shape[1] - 1, 1)
    return rewards - (ops.sum(rewards, axis=1, keepdims=True) - rewards) / others


def advantages(rewards, baselines, kind="leave-one-out"):
    """Aₜ of the looks that the policy chose, t = 2 … T: `(batch, copies, T − 1)`, or 1 where all have the same.

    Args:
        rewards: `(batch, copies)`.
        baselines: `(batch, copies, T)`, the reward expected after each look.
        kind: `"learned"`: R − b(hₜ₋₁), or `"leave-one-out"`.
    """
    if kind == "learned":
        return rewards[..., None] - ops.stop_gradient(baselines[..., :-1])
    return leave_one_out(rewards)[..., None]


def hybrid(
    labels,
    outputs,
    reward="probability",
    advantage="leave-one-out",
    loss_steps="last",
    reinforce_weight=1.0,
    baseline_weight=1.0,
):
    """The hybrid objective of Mnih et al. (2014), section 2.2, by named parts; their sum is what training lowers.

        classification = −log p(label), after the last look, or its mean over all looks
        reinforce      = −w₁ · mean over looks t = 2 … T of log π(lₜ) · Aₜ,   Aₜ = R − b(hₜ₋₁)  or leave-one-out
        baseline       = w₂ · mean over looks of (R − b(hₜ))²

    R and A are constants to the gradient. The first location is not the policy's, so its log-density is left out; with
    one look the REINFORCE part is 0.

    Args:
        labels: `(batch,)` integers, or `(batch, 1)`.
        outputs: A `RecurrentAttention`'s with copies: `logits (batch, copies, classes)`, `look_logits
            (batch, copies, looks, classes)`, `log_probs` and `baselines` `(batch, copies, looks)`, `log_probs[..., 0]`
            being 0.
        reward: `"correct"` or `"probability"`, of the last look.
        advantage: `"learned"` or `"leave-one-out"`, see `advantages`.
        loss_steps: Looks whose answers are trained, `"last"` or `"all"`.
        reinforce_weight: w₁.
        baseline_weight: w₂.

    Returns:
        `(parts, rewards)`: a dict of `(batch,)` means over the copies, and `(batch,)` rewards.
    """
    log_probs, baselines = outputs["log_probs"], outputs["baselines"]
    rewards = ops.stop_gradient(REWARDS[reward](labels, outputs["logits"]))
    decisions = max(log_probs.shape[-1] - 1, 1)
    reinforce = -ops.sum(log_probs[..., 1:] * advantages(rewards, baselines, advantage), axis=-1) / decisions
    baseline = ops.mean(ops.square(rewards[..., None] - baselines), axis=-1)
    if loss_steps == "all":
        classification = ops.mean(cross_entropy(labels, outputs["look_logits"]), axis=-1)
    else:
        classification = cross_entropy(labels, outputs["logits"])
    parts = {
        "classification": classification,
        "reinforce": reinforce_weight * reinforce,
        "baseline": baseline_weight * baseline,
    }
    return {name: ops.mean(part, axis=1) for name, part in parts.items()}, ops.mean(rewards, axis=1)


def localisation(thetas, targets, weights):
    """Σₖ βₖ (θₖ - θₖᵗ)² of transformations `(…, 6)` (Ablavatski et al. 2017, equation 9): `(…)`."""
    squares = ops.square(ops.cast(thetas, "float32") - ops.cast(targets, "float32"))
    return ops.sum(squares * ops.convert_to_tensor(weights, "float32"), axis=-1)


def what_and_where(labels, thetas, outputs, what_weight, where_weight, theta_weights):
    """The parts of EDRAM's loss, α₁ Lʸ and α₂ Lᴬ, the means over the looks (equations 6 to 9): each `(batch,)`.

    Args:
        labels: `(batch,)` integers.
        thetas: The transformations that frame the targets, `(batch, 6)`; `None`: the second part is 0.
        outputs: Of an `EDRAM`: `look_logits (batch, looks, classes)`, `thetas (batch, looks, 6)`.
        what_weight: α₁.
        where_weight: α₂.
        theta_weights: β, six numbers.
    """
    what = what_weight * ops.mean(cross_entropy(labels, outputs["look_logits"]), axis=-1)
    if thetas is None:
        return {"classification": what, "localisation": ops.zeros_like(what)}
    where = ops.mean(localisation(outputs["thetas"], thetas[:, None], theta_weights), axis=-1)
    return {"classification": what, "localisation": where_weight * where}
