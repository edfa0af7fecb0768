"""What tells that a gaze, or its training, is ill."""

from typing import Any

import numpy as np
from keras import ops

from nam import losses
from nam.accuracy import SEED, draws_from
from nam.data.pipeline import Batch

BORDER = 0.98  # a location beyond it looks at the edge of the image
OF_TARGETS = ("hits", "distance", "first_hit", "never_hit")  # what `of_gaze` tells of them
SUBNETWORKS = ("glimpse_network", "core", "location_network", "action_network", "baseline_network")


def of_gaze(locations, means, boxes, size, window: int) -> dict[str, Any]:
    """What a gaze tells of itself.

    Args:
        locations: Where it looked, `(n, copies, looks, 2)` as `(x, y)` in [-1, 1].
        means: The policy's, alike.
        boxes: Of the targets, `(n, 4)` as `(x, y, width, height)`, pixels.
        size: Width and height of an image, pixels.
        window: Side of the finest patch, pixels.
    """
    boxes = boxes[:, None, None]
    away = _away(locations, boxes, size)
    hits = _hits(away, boxes, window)
    first = np.where(hits.any(-1), hits.argmax(-1) + 1, 0)
    return {
        "hits": hits.mean((0, 1)).tolist(),  # share of looks whose finest patch touches the target, per look
        "distance": np.linalg.norm(away, axis=-1).mean((0, 1)).tolist(),  # of the target's centre, pixels, per look
        "first_hit": float(first[first > 0].mean()) if first.any() else None,  # counted from 1, where there is one
        "never_hit": float((first == 0).mean()),
        "border": float((np.abs(locations) > BORDER).any(-1).mean()),
        "spread": float(means[:, :, 1:].std(0).mean()) if means.shape[2] > 1 else None,  # over images, half-widths
    }


def _away(locations, boxes, size):
    """How far the target's centre is from each location `(n, copies, looks, 2)`, pixels."""
    return np.abs((locations + 1) / 2 * size - (boxes[..., :2] + boxes[..., 2:] / 2))


def _hits(away, boxes, window: int):
    return (away < (window + boxes[..., 2:]) / 2).all(-1)


def of_training(model, batch: Batch) -> dict[str, float]:
    """What one training pass of a `RecurrentAttention` over a batch tells: name → value.

    `gradient_norm/…` of each sub-network, 0 where nothing is trained; `policy/mean_x`, `mean_y` and `spread`, over
    images and looks, half-widths; `gaze/hits`, the share of looks whose finest patch touches the target, of those that
    have one (none looks for a digit beyond a number's end);
    `advantage_variance`; `answer_entropy` of the last look, nats. Leaves the random generators as they were.
    """
    with draws_from(model, SEED):
        outputs, gradients = model.trace(batch.images, batch.labels)
    logits = ops.reshape(outputs["logits"], (*outputs["logits"].shape[:2], -1, outputs["logits"].shape[-1]))
    rewards = losses.REWARDS[model.objective["reward"]](batch.labels, logits)
    earned = losses.returns(rewards, outputs["baselines"].shape[-1])
    advantages = losses.advantages(earned, outputs["baselines"], model.objective["advantage"])
    log_p = ops.log_softmax(outputs["logits"])
    locations, means = (ops.convert_to_numpy(outputs[name]) for name in ("locations", "means"))
    height, width = batch.images.shape[1:3]
    boxes = batch.boxes.reshape(len(locations), 1, -1, 4)
    boxes = boxes.repeat(model.glimpses // boxes.shape[2], axis=2)
    hits = _hits(_away(locations, boxes, (width, height)), boxes, model.sensor.window)
    sought = np.broadcast_to(boxes[..., 2] > 0, hits.shape)
    squares = dict.fromkeys(SUBNETWORKS, 0.0)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        name = next(part for part in variable.path.split("/") if part in squares)
        squares[name] += 0.0 if gradient is None else float(ops.sum(ops.square(ops.cast(gradient, "float32"))))
    chosen = means[:, :, 1:].mean((0, 1, 2)) if model.glimpses > 1 else (0.0, 0.0)  # the first is not the policy's
    return {
        **{f"gradient_norm/{name}": square**0.5 for name, square in squares.items()},
        "policy/mean_x": float(chosen[0]),
        "policy/mean_y": float(chosen[1]),
        "policy/spread": float(means[:, :, 1:].std(0).mean()) if model.glimpses > 1 else 0.0,
        "gaze/hits": float(hits[sought].mean()),
        "advantage_variance": float(ops.var(advantages)) if model.glimpses > 1 else 0.0,
        "answer_entropy": float(-ops.mean(ops.sum(ops.exp(log_p) * log_p, axis=-1))),
    }


def never_learns(model, found: dict[str, float]) -> bool:
    """Whether the policy of a model should learn, and gets no gradient although its gazes differ in what they earn."""
    silent = found["gradient_norm/location_network"] == 0
    return model.location_network.mean.trainable and silent and found["advantage_variance"] > 0
