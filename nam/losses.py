"""Objectives as pure functions, an equation each.

Arrays that carry Monte-Carlo copies have them on their second axis: `(batch, copies, …)`.
"""

from keras import ops


def correct(labels, logits):
    """R = 1 where an answer is right, else 0 (Mnih et al. 2014, section 2.2): as the logits but for classes."""
    return ops.cast(ops.argmax(logits, axis=-1) == aligned(labels, logits), "float32")


def probability(labels, logits):
    """R = p(label) of an answer, in (0, 1), alike: says how nearly right it was. 0 where there is no target."""
    return ops.exp(-cross_entropy(labels, logits)) * ops.cast(aligned(labels, logits) >= 0, "float32")


def log_likelihood(labels, logits):
    """R = log p(label) of an answer, nats, alike: what the classification lowers. 0 where there is no target."""
    return -cross_entropy(labels, logits)


REWARDS = {"correct": correct, "probability": probability, "log-likelihood": log_likelihood}


def cross_entropy(labels, logits):
    """−log p(label), in nats: `(batch, …)` for logits `(batch, …, classes)`.

    Labels are `(batch,)` or `(batch, 1)`; of several targets `(batch, targets)`, negative for none: 0 there, and logits
    end in `(targets, classes)`. NaN where a label is that of no class, so that training ends.
    """
    labels, classes = aligned(labels, logits), logits.shape[-1]
    one_hot = ops.one_hot(labels, classes, dtype="float32")
    errors = -ops.sum(one_hot * ops.log_softmax(ops.cast(logits, "float32")), axis=-1)
    least = -1 if len(labels.shape) > 1 and labels.shape[-1] > 1 else 0
    return ops.where((labels >= least) & (labels < classes), errors, float("nan"))


def aligned(labels, logits):
    """Labels as integers, with axes to broadcast over those of the logits but for the classes; see `cross_entropy`."""
    targets, axes = labels.shape[1] if len(labels.shape) == 2 else 1, len(logits.shape) - 1
    return ops.reshape(ops.cast(labels, "int32"), (-1, *[1] * (axes - 2), targets)[:axes])


def _for_each_look(of_targets, looks):
    """What belongs to targets, `(batch, targets, …)` or `(batch,)`, for each of the looks that they share alike.

    Of one target `(batch, 1, …)`.
    """
    if len(of_targets.shape) == 1:
        of_targets = of_targets[:, None]
    if of_targets.shape[1] == 1:  # belongs to them all
        return of_targets
    return ops.repeat(of_targets, looks // of_targets.shape[1], axis=1)


def returns(rewards, looks):
    """Rₜ, what is earned by the answers after look t and later, over the targets: `(batch, copies, T)`.

    Args:
        rewards: `(batch, copies, targets)`.
        looks: T, a multiple of the targets; each is answered after the last of its looks.
    """
    targets = rewards.shape[-1]
    to_come = ops.flip(ops.cumsum(ops.flip(rewards, axis=-1), axis=-1), axis=-1) / targets
    return ops.repeat(to_come, looks // targets, axis=-1)


def leave_one_out(rewards):
    """Each copy's reward against the mean of the others' (Kool et al. 2019): `(batch, copies, …)`.

    A baseline that does not depend on the copy itself, so the gradient keeps its expectation; it needs nothing learned.
    """
    others = max(rewards.shape[1] - 1, 1)
    return rewards - (ops.sum(rewards, axis=1, keepdims=True) - rewards) / others


def advantages(earned, baselines, kind="leave-one-out"):
    """Aₜ of the looks that the policy chose, t = 2 … T: `(batch, copies, T − 1)`.

    Args:
        earned: Rₜ, see `returns`: `(batch, copies, T)`.
        baselines: b(hₜ), what is expected after each look, alike.
        kind: `"learned"`: Rₜ − b(hₜ₋₁), or `"leave-one-out"`.
    """
    if kind == "learned":
        return earned[..., 1:] - ops.stop_gradient(baselines[..., :-1])
    return leave_one_out(earned[..., 1:])


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

        classification = −log p(label), after the last look of each target, or its mean over all; the sum over targets
        reinforce      = −w₁ · mean over looks t = 2 … T of log π(lₜ) · Aₜ,   Aₜ = Rₜ − b(hₜ₋₁)  or leave-one-out
        baseline       = w₂ · mean over looks of (Rₜ₊₁ − b(hₜ))²

    With one target every Rₜ is the reward R of the last answer; see `returns`. R and A are constants to the gradient.
    The first location is not the policy's, so its log-density is left out; with one look the REINFORCE part is 0.

    Args:
        labels: `(batch,)` integers, or `(batch, 1)`; of several targets `(batch, targets)`, negative for none.
        outputs: A `RecurrentAttention`'s with copies: `logits (batch, copies, classes)` or `(batch, copies, targets,
            classes)`, `look_logits (batch, copies, looks, classes)`, `log_probs` and `baselines` `(batch, copies,
            looks)`, `log_probs[..., 0]` being 0.
        reward: `"correct"`, `"probability"` or `"log-likelihood"`, of the answers.
        advantage: `"learned"` or `"leave-one-out"`, see `advantages`.
        loss_steps: Looks whose answers are trained, `"last"` (of each target) or `"all"`.
        reinforce_weight: w₁.
        baseline_weight: w₂.

    Returns:
        `(parts, rewards)`: a dict of `(batch,)` means over the copies, and `(batch,)` rewards, the mean over the
        targets that there are.
    """
    log_probs, baselines, logits = (outputs[name] for name in ("log_probs", "baselines", "logits"))
    looks = log_probs.shape[-1]
    if len(logits.shape) == 3:
        logits = logits[:, :, None]  # one target
    rewards = ops.stop_gradient(REWARDS[reward](labels, logits))
    earned = returns(rewards, looks)
    decisions = max(looks - 1, 1)
    reinforce = -ops.sum(log_probs[..., 1:] * advantages(earned, baselines, advantage), axis=-1) / decisions
    still = ops.concatenate([earned[..., 1:], earned[..., -1:]], axis=-1)
    baseline = ops.mean(ops.square(still - baselines), axis=-1)
    if loss_steps == "all":
        errors = cross_entropy(_for_each_look(labels, looks), outputs["look_logits"])
        classification = ops.sum(errors, axis=-1) / (looks // logits.shape[2])
    else:
        classification = ops.sum(cross_entropy(labels, logits), axis=-1)
    parts = {
        "classification": classification,
        "reinforce": reinforce_weight * reinforce,
        "baseline": baseline_weight * baseline,
    }
    there = ops.sum(ops.cast(aligned(labels, logits) >= 0, "float32"), axis=-1)
    rewards = ops.sum(rewards, axis=-1) / ops.maximum(there, 1.0)
    return {name: ops.mean(part, axis=1) for name, part in parts.items()}, ops.mean(rewards, axis=1)


def localisation(thetas, targets, weights):
    """Σₖ βₖ (θₖ - θₖᵗ)² of transformations `(…, 6)` (Ablavatski et al. 2017, equation 9): `(…)`."""
    squares = ops.square(ops.cast(thetas, "float32") - ops.cast(targets, "float32"))
    return ops.sum(squares * ops.convert_to_tensor(weights, "float32"), axis=-1)


def what_and_where(labels, thetas, outputs, what_weight, where_weight, theta_weights):
    """The parts of EDRAM's loss, α₁ Lʸ and α₂ Lᴬ (equations 6 to 9): the means over the N looks at each target, summed.

    Args:
        labels: `(batch,)` integers; of several targets `(batch, targets)`, negative for none.
        thetas: The transformations that frame the targets, `(batch, 6)` or `(batch, targets, 6)`, without zoom where
            there is nothing to frame; `None`: the second part is 0.
        outputs: Of an `EDRAM`: `look_logits (batch, looks, classes)`, `thetas (batch, looks, 6)`.
        what_weight: α₁.
        where_weight: α₂.
        theta_weights: β, six numbers.

    Returns:
        A dict, each part `(batch,)`.
    """
    looks = outputs["look_logits"].shape[1]
    each = looks // (labels.shape[1] if len(labels.shape) == 2 else 1)  # N
    what = ops.sum(cross_entropy(_for_each_look(labels, looks), outputs["look_logits"]), axis=-1) / each
    if thetas is None:
        return {"classification": what_weight * what, "localisation": ops.zeros_like(what)}
    thetas = _for_each_look(thetas[:, None] if len(thetas.shape) == 2 else thetas, looks)
    framed = ops.cast(thetas[..., 0] > 0, "float32")
    where = ops.sum(framed * localisation(outputs["thetas"], thetas, theta_weights), axis=-1) / each
    return {"classification": what_weight * what, "localisation": where_weight * where}
