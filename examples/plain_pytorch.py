"""A training loop in plain PyTorch, on composites that never come twice.

python examples/plain_pytorch.py my-layers
"""

import sys

import torch
from torch.utils.data import DataLoader

from human_segmentation import Compositor

STEPS = 20


def main() -> None:
    compositor = Compositor(source=sys.argv[1], size=(128, 128), kind="torch", layout="CHW")
    # Batches come without end; each worker composes its own.
    loader = DataLoader(compositor.stream(), batch_size=8, num_workers=2)
    network = torch.nn.Conv2d(3, 1, kernel_size=9, padding=4)  # yours goes here
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    loss_of = torch.nn.BCEWithLogitsLoss()
    for step, batch in zip(range(STEPS), loader, strict=False):
        loss = loss_of(network(batch["image"] / 255), batch["mask"] / 255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"step {step}, loss {loss.item():.3f}, first pair {batch['id'][0]}")


if __name__ == "__main__":
    main()
