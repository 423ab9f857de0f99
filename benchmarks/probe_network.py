"""The network that the probe trains: a small U-Net, after Ronneberger et al. 2015."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.probe_pairs import Pairs, Pixels

LEARNING_RATE = 2e-3
_WIDTHS = (16, 32, 64, 64)


class SmallUNet(nn.Module):
    """Float32 (n, 3, H, W) around 0 in, logits of alpha (n, 1, H, W) out; about 300,000 weights."""

    def __init__(self) -> None:
        super().__init__()
        widths = itertools.pairwise((3, *_WIDTHS))
        self.down = nn.ModuleList(_block(before, after, stride=2) for before, after in widths)
        widths = itertools.pairwise(reversed(_WIDTHS))
        self.up = nn.ModuleList(_block(deep + beside, beside) for deep, beside in widths)
        self.last = nn.Conv2d(_WIDTHS[0] + 3, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        seen = [images]
        for block in self.down:
            seen.append(block(seen[-1]))
        deep = seen.pop()
        for block in (*self.up, self.last):
            beside = seen.pop()
            wide = functional.interpolate(deep, size=beside.shape[-2:], mode="bilinear")
            deep = block(torch.cat([wide, beside], dim=1))
        return deep


def _block(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """Two convolutions. Normalised by group, so that no picture's matte depends on its batch."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
        nn.GroupNorm(4, after),
        nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.GroupNorm(4, after),
        nn.ReLU(),
    )


def be_deterministic(threads: int) -> None:
    """Make the same seed give the same weights, on one machine and one version of torch."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def train(pairs: Pairs, steps: int, batch: int, seed: int) -> SmallUNet:
    """Train from weights, and in an order, that depend on the seed and the number of pairs alone.

    Adam, a learning rate that falls to 0 along a cosine, and the sum of binary cross-entropy and
    Dice loss (Milletari et al. 2016). No augmentation: that would be the recipe's business.
    """
    torch.manual_seed(seed)
    network = SmallUNet()
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for chosen in torch.randint(len(pairs.masks), (steps, batch)).numpy():
        optimizer.zero_grad()
        _loss(network(_inputs(pairs.images[chosen])), _alpha(pairs.masks[chosen])).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def predict(network: SmallUNet, images: Pixels, batch: int = 16) -> npt.NDArray[np.float32]:
    """Return mattes, float32 (n, H, W) from 0 to 1, of uint8 (n, H, W, 3)."""
    parts = [images[first : first + batch] for first in range(0, len(images), batch)]
    return np.concatenate([network(_inputs(part)).sigmoid()[:, 0].numpy() for part in parts])


def weight_count() -> int:
    """Return how many numbers are trained."""
    return sum(weights.numel() for weights in SmallUNet().parameters())


def _loss(logits: Tensor, alpha: Tensor) -> Tensor:
    guess = logits.sigmoid()
    overlap = 2 * (guess * alpha).sum(dim=(1, 2, 3)) + 1
    dice = overlap / (guess.sum(dim=(1, 2, 3)) + alpha.sum(dim=(1, 2, 3)) + 1)
    return functional.binary_cross_entropy_with_logits(logits, alpha) + (1 - dice).mean()


def _inputs(images: Pixels) -> Tensor:
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 128) / 64


def _alpha(masks: Pixels) -> Tensor:
    return torch.from_numpy(masks)[:, None].float() / 255
