"""Train a small background remover, see how good it is, and use it on a picture.

    python examples/train_background_remover.py --layers my-layers --minutes 10 --output run
    python examples/train_background_remover.py --pairs human-segmentation --output run
    python examples/train_background_remover.py --output run --minutes 0 --picture me.jpg me.png

Learns from composites made on the fly (`--layers`: a folder, `sample`, hf://datasets/...) or from
pairs that were made before (`--pairs`: a dataset folder or its name on the Hub). It is judged on
the validation split, whose humans and backgrounds it never saw, and on `--photos`, a folder with
`im` and `gt`. Writes model.pt, log.csv, scores.json and grid.jpg. Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from datasets import load_dataset

# Not segmentation-models-pytorch: it needs torchvision, of just the version of the torch at hand.
from monai.losses import DiceLoss
from monai.networks.nets import UNet
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchmetrics.functional import mean_absolute_error
from torchmetrics.functional.classification import binary_fbeta_score, binary_jaccard_index

from human_segmentation import Compositor

LEARNING_RATE = 3e-3
# As is customary for salient objects: Achanta et al., "Frequency-tuned salient region detection".
BETA = math.sqrt(0.3)
# Share of the diagonal: Cheng et al., "Boundary IoU", CVPR 2021.
BOUNDARY = 0.02
MEAN_MASK_PAIRS = 256
METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "IoU": lambda guess, truth: binary_jaccard_index(guess, truth > 0.5),
    "MAE": mean_absolute_error,
    "F-measure": lambda guess, truth: binary_fbeta_score(guess, truth > 0.5, beta=BETA),
    "boundary IoU": lambda guess, truth: binary_jaccard_index(band(guess), band(truth)),
}


def main() -> None:
    options = parse_options()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    # The workers need processors as well.
    torch.set_num_threads(max(1, torch.get_num_threads() - options.workers))
    options.output.mkdir(parents=True, exist_ok=True)
    checkpoint = options.output / "model.pt"
    if options.minutes:
        network = make_network().to(device)
        train(network, options, device)
        torch.save({"weights": network.state_dict(), "size": options.size}, checkpoint)
        judge(network, options, device)
    if options.picture:
        network, size = load_network(checkpoint, device)
        source, target = options.picture
        remove_background(network, size, source, target, device)
        print(f"Wrote {target}.")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", default="sample", help="composed on the fly")
    parser.add_argument("--pairs", help="instead: made before, a folder or a name on the Hub")
    parser.add_argument(
        "--photos", type=Path, help="real pairs: a folder with im/, gt/ (or images/, masks/)"
    )
    parser.add_argument("--minutes", type=float, default=10, help="0: only use what was trained")
    parser.add_argument("--size", type=int, default=128, help="side of what the network sees, px")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, default=1, help="processes that make or read pairs")
    parser.add_argument("--validation", type=int, default=96, help="validation pairs, at most")
    parser.add_argument(
        "--mixed",
        action=argparse.BooleanOptionalAction,
        default=torch.cuda.is_available(),
        help="mixed precision: by default on a GPU; some processors are faster by it, too",
    )
    parser.add_argument("--output", type=Path, default=Path("run"))
    parser.add_argument("--picture", type=Path, nargs=2, metavar=("PICTURE", "CUTOUT.png"))
    return parser.parse_args()


def make_network() -> nn.Module:
    # Normalised picture by picture: the averages over composites do not hold for photographs. Of a
    # few humans a network without dropout learns who they are.
    norm = ("GROUP", {"num_groups": 1})
    widths = (16, 32, 64, 128, 256)
    network = UNet(2, 3, 1, widths, (2, 2, 2, 2), num_res_units=1, norm=norm, dropout=0.2)
    return network.to(memory_format=torch.channels_last)


def load_network(checkpoint: Path, device: torch.device) -> tuple[nn.Module, int]:
    saved = torch.load(checkpoint, map_location=device, weights_only=True)
    network = make_network().to(device)
    network.load_state_dict(saved["weights"])
    return network, saved["size"]


def training_pairs(options: argparse.Namespace) -> Any:
    """Return an endless, shuffled `IterableDataset`."""
    if not options.pairs:
        return on_the_fly(options, "train").stream()
    rows = load_dataset(options.pairs, split="train", streaming=True)
    # Row groups are shared out over the workers and shuffled. Left to itself `shuffle` reads ten
    # files as one: fewer than twenty would leave all workers idle but the first.
    rows = rows.select_columns(["image", "mask"]).reshard()
    rows = rows.shuffle(seed=0, buffer_size=256, max_buffer_input_shards=1).repeat(None)
    return rows.map(lambda row: squared(row, options.size))


def validation_pairs(options: argparse.Namespace) -> list[dict[str, Any]]:
    if not options.pairs:
        # Few layers make few pairs an epoch; further epochs have others.
        composites = on_the_fly(options, "validation").stream(shuffle=False)
        return list(itertools.islice(composites, options.validation))
    rows = load_dataset(options.pairs, split="validation", streaming=True)
    return [squared(row, options.size) for row in rows.take(options.validation)]


def on_the_fly(options: argparse.Namespace, split: str) -> Compositor:
    size = (options.size, options.size)
    return Compositor(source=options.layers, size=size, split=split, layout="CHW")


def photo_pairs(folder: Path, size: int) -> list[dict[str, Any]]:
    im, gt = ("im", "gt") if (folder / "im").is_dir() else ("images", "masks")
    masks = {path.stem: path for path in (folder / gt).iterdir()}
    pairs = []
    for path in sorted((folder / im).iterdir()):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        mask = cv2.imread(str(masks[path.stem]), cv2.IMREAD_GRAYSCALE)
        pairs.append(squared({"image": image, "mask": mask}, size))
    return pairs


def squared(row: dict[str, Any], size: int) -> dict[str, Any]:
    """Return a pair as the network takes it: its borders go on until it is a square."""
    image, mask = (np.asarray(row[name]) for name in ("image", "mask"))
    return {"image": to_square(image, size).transpose(2, 0, 1), "mask": to_square(mask, size)[None]}


def to_square(pixels: np.ndarray, size: int) -> np.ndarray:
    top, left = margins(pixels.shape[0], pixels.shape[1])
    padded = cv2.copyMakeBorder(pixels, top, top, left, left, cv2.BORDER_REPLICATE)
    return cv2.resize(padded, (size, size), interpolation=cv2.INTER_AREA)


def margins(height: int, width: int) -> tuple[int, int]:
    return max(0, width - height) // 2, max(0, height - width) // 2


def as_inputs(images: Tensor) -> Tensor:
    return (images.float().contiguous(memory_format=torch.channels_last) - 128) / 64


def train(network: nn.Module, options: argparse.Namespace, device: torch.device) -> None:
    loader = DataLoader(
        training_pairs(options),
        options.batch,
        num_workers=options.workers,
        pin_memory=device.type == "cuda",
        # Names and provenance do not go into the network.
        collate_fn=stacked,
    )
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE)
    scaler = torch.amp.GradScaler(device.type, enabled=options.mixed)
    dice = DiceLoss(sigmoid=True)
    print(
        f"Training on {device.type}{', in mixed precision' if options.mixed else ''}.", flush=True
    )
    network.train()
    started, seconds = time.monotonic(), 60 * options.minutes
    with (options.output / "log.csv").open("w", newline="") as file:
        log = csv.writer(file)
        log.writerow(["step", "seconds", "pairs", "loss"])
        recent: list[float] = []
        for step, (images, masks) in enumerate(loader, 1):
            elapsed = time.monotonic() - started
            if elapsed > seconds and step > 1:
                break
            # Warmed up for a while, then falling to 0 with the time that is left.
            rate = min(1.0, step / 50) * (1 + math.cos(math.pi * min(1.0, elapsed / seconds))) / 2
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * rate
            alpha = masks.to(device, non_blocking=True).float() / 255
            with torch.autocast(device.type, enabled=options.mixed):
                logits = network(as_inputs(images.to(device, non_blocking=True)))
            logits = logits.float()
            bce = functional.binary_cross_entropy_with_logits(logits, alpha)
            loss = bce + dice(logits, alpha)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            recent.append(loss.item())
            if step % 25 == 0:
                mean = sum(recent) / len(recent)
                log.writerow([step, f"{elapsed:.1f}", step * options.batch, f"{mean:.4f}"])
                file.flush()
                print(f"step {step:>6,}  {elapsed:>5.0f} s  loss {mean:.4f}", flush=True)
                recent = []


def stacked(samples: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    images, masks = (
        torch.from_numpy(np.stack([np.asarray(sample[name], np.uint8) for sample in samples]))
        for name in ("image", "mask")
    )
    return images, masks


def judge(network: nn.Module, options: argparse.Namespace, device: torch.device) -> None:
    judges = {"validation": validation_pairs(options)}
    if options.photos:
        judges["photos"] = photo_pairs(options.photos, options.size)
    mean_mask = mean_of_masks(options)
    results: dict[str, dict[str, dict[str, float]]] = {}
    for name, pairs in judges.items():
        images, masks = stacked(pairs)
        truth = masks.float() / 255
        guesses = {
            "this network": predict(network, images, device),
            "all foreground": torch.ones_like(truth),
            "centre ellipse": ellipse(options.size).expand_as(truth),
            "mean training mask": mean_mask.expand_as(truth),
        }
        results[name] = {who: mean_scores(guess, truth) for who, guess in guesses.items()}
        print_table(f"{name}, {len(pairs)} pairs", results[name])
        if name == "validation":
            write_grid(options.output / "grid.jpg", images, truth, guesses["this network"])
    (options.output / "scores.json").write_text(json.dumps(results, indent=1))


@torch.no_grad()
def predict(network: nn.Module, images: Tensor, device: torch.device) -> Tensor:
    """Return alpha, float32 (n, 1, S, S) from 0 to 1, of uint8 (n, 3, S, S)."""
    network.eval()
    parts = [network(as_inputs(part.to(device))).sigmoid().cpu() for part in images.split(32)]
    return torch.cat(parts)


def mean_scores(guess: Tensor, truth: Tensor) -> dict[str, float]:
    """Score picture by picture, and average."""
    return {
        name: float(torch.stack([metric(g, t) for g, t in zip(guess, truth, strict=True)]).mean())
        for name, metric in METRICS.items()
    }


def band(alpha: Tensor) -> Tensor:
    """Return which pixels of a mask, (1, S, S), are near its boundary; the frame is one too."""
    inside = (alpha > 0.5).float()[None]
    width = max(1, round(BOUNDARY * math.hypot(*alpha.shape[-2:])))
    outside = functional.pad(1 - inside, [width] * 4, value=1.0)
    near = functional.max_pool2d(outside, 2 * width + 1, stride=1)
    return (inside * near)[0].int()


def ellipse(size: int) -> Tensor:
    canvas = np.zeros((size, size), np.float32)
    cv2.ellipse(canvas, ((size / 2, size / 2), (0.6 * size, 0.9 * size), 0), 1, -1)
    return torch.from_numpy(canvas)[None]


def mean_of_masks(options: argparse.Namespace) -> Tensor:
    samples = list(itertools.islice(training_pairs(options), MEAN_MASK_PAIRS))
    return stacked(samples)[1].float().mean(dim=0) / 255


def print_table(title: str, scores: dict[str, dict[str, float]]) -> None:
    print(f"\n{title}\n\n| | {' | '.join(METRICS)} |\n|---|{'--:|' * len(METRICS)}")
    for who, values in scores.items():
        print(f"| {who} | {' | '.join(f'{value:.3f}' for value in values.values())} |")


def write_grid(path: Path, images: Tensor, truth: Tensor, guess: Tensor) -> None:
    """Write pictures, their masks and the network's, a pair a row."""
    shown = range(0, len(images), max(1, len(images) // 8))
    rows = [
        torch.cat([images[n].float(), *(255 * m[n].expand(3, -1, -1) for m in (truth, guess))], 2)
        for n in itertools.islice(shown, 8)
    ]
    pixels = torch.cat(rows, 1).byte().permute(1, 2, 0).numpy()
    cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


def remove_background(
    network: nn.Module, size: int, source: Path, target: Path, device: torch.device
) -> None:
    """Write a picture with the alpha that the network sees: an RGBA PNG of the same size."""
    picture = cv2.imread(str(source), cv2.IMREAD_COLOR)
    if picture is None:
        raise SystemExit(f"{source}: is no picture that OpenCV can read.")
    height, width = picture.shape[:2]
    rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    images = torch.from_numpy(to_square(rgb, size).transpose(2, 0, 1)[None].copy())
    alpha = predict(network, images, device)[0, 0].numpy()
    top, left = margins(height, width)
    whole = cv2.resize(alpha, (width + 2 * left, height + 2 * top), interpolation=cv2.INTER_CUBIC)
    own = np.clip(255 * whole[top : top + height, left : left + width], 0, 255).astype(np.uint8)
    cv2.imwrite(str(target), np.dstack([picture, own]))


if __name__ == "__main__":
    main()
