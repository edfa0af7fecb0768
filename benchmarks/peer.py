"""The way of the peers, in PyTorch: the same network and loss, patches cut from each image in a Python loop.

Written for the comparison, after what the best-known PyTorch implementation (kevinzakka/recurrent-visual-attention)
does: layers, log-densities and losses are vectorised over the batch; the retina pads the batch, slices image by image,
stacks the slices and pools them. Core, copies, rewards and losses are those of the config. Images are drawn before.
"""

import functools
import math

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.sides import burst
from nam import data
from nam.config import Config


def crop(images, locations, size: int):
    """One window per image, `(batch, channels, size, size)`; outside the image is black."""
    height, width = images.shape[2:]
    margin = size // 2
    padded = F.pad(images, (margin,) * 4)
    starts = (0.5 * (locations + 1.0) * torch.tensor([width, height])).long()
    ends = starts + size
    patches = []
    for i in range(len(images)):
        patches.append(padded[i, :, starts[i, 1] : ends[i, 1], starts[i, 0] : ends[i, 0]])
    return torch.stack(patches)


def retina(images, locations, bandwidth: int, factors):
    """Patches of all scales, `(batch, pixels)`."""
    patches = []
    for factor in factors:
        patch = crop(images, locations, bandwidth * factor)
        patches.append(F.avg_pool2d(patch, factor) if factor > 1 else patch)
    return torch.cat(patches, dim=1).flatten(1)


class Network(nn.Module):
    """Glimpse network, LSTM core, location, action and baseline networks, in the sizes of nam's."""

    def __init__(self, config: Config, classes: int = 10, channels: int = 1):
        super().__init__()
        units = config.hidden
        self.config = config
        self.what_hidden = nn.Linear(config.bandwidth**2 * config.scales * channels, 128)
        self.where_hidden = nn.Linear(2, 128)
        self.what = nn.Linear(128, units)
        self.where = nn.Linear(128, units)
        self.core = nn.LSTMCell(units, units)
        self.mean = nn.Linear(units, 2)
        self.action = nn.Linear(units, classes)
        self.baseline = nn.Linear(units, 1)

    def forward(self, images):
        config, rows = self.config, len(images)
        location = torch.rand(rows, 2) * 2 - 1
        state = (torch.zeros(rows, config.hidden), torch.zeros(rows, config.hidden))
        log_probs, baselines = [], []
        for look in range(config.glimpses):
            if look:
                mean = torch.tanh(self.mean(state[0]))
                draw = (mean + config.std * torch.randn_like(mean)).detach()
                squares = ((draw - mean) / config.std).square().sum(1)
                log_probs.append(-0.5 * squares - 2 * (math.log(config.std) + 0.5 * math.log(2 * math.pi)))
                location = draw.clamp(-1, 1)
            seen = torch.relu(self.what_hidden(retina(images, location, config.bandwidth, config.scale_factors)))
            where = torch.relu(self.where_hidden(location))
            state = self.core(torch.relu(self.what(seen) + self.where(where)), state)
            baselines.append(self.baseline(state[0].detach())[:, 0])
        return F.log_softmax(self.action(state[0]), dim=1), torch.stack(log_probs, 1), torch.stack(baselines, 1)


@functools.lru_cache(maxsize=8)
def _subject(config: Config):
    torch.manual_seed(0)
    images, labels = data.load(config).train[0]
    images = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    network = Network(config)
    rule = torch.optim.Adam(network.parameters(), config.learning_rate)
    return images, torch.from_numpy(labels).long(), network, rule


def step(config: Config) -> float:
    """Seconds of a training step on images drawn before."""
    images, labels, network, rule = _subject(config)
    images, labels = (x.repeat_interleave(config.samples, dim=0) for x in (images, labels))

    def run():
        log_p, log_probs, baselines = network(images)
        chosen = log_p.gather(1, labels[:, None])[:, 0]
        right = (log_p.argmax(1) == labels).float()
        reward = right if config.reward == "correct" else chosen.detach().exp()
        if config.advantage == "learned":
            advantage = reward[:, None] - baselines[:, :-1].detach()
        else:
            copies = reward.view(-1, config.samples)
            others = (copies.sum(1, keepdim=True) - copies) / (config.samples - 1)
            advantage = (copies - others).view(-1, 1)
        loss = -chosen.mean() - (log_probs * advantage).mean() + (reward[:, None] - baselines).square().mean()
        rule.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
        rule.step()
        return loss.item()

    return burst(run)


def inference(config: Config) -> float:
    """Seconds of classifying one batch."""
    images, _, network, _ = _subject(config)

    def run():
        with torch.no_grad():
            return network(images)[0].numpy()

    return burst(run)


def sensor(config: Config) -> float:
    """Seconds for the patches of one training step, at random locations."""
    images, *_ = _subject(config)
    images = images.repeat_interleave(config.samples, dim=0)
    locations = torch.rand(config.glimpses, len(images), 2) * 2 - 1
    return burst(lambda: [retina(images, at, config.bandwidth, config.scale_factors) for at in locations])
