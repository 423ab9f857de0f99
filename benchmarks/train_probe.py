"""Which recipe teaches more: one small network, trained alike on each, judged on photographs.

    python -m benchmarks.train_probe --layers LAYERS --photos PHOTOS

LAYERS holds `humans` and `backgrounds`; PHOTOS `images` and `masks` of the same stems, masks grey.
Without PHOTOS, some layers are kept out of training, composited and altered in a way that is no
recipe's: a stand-in, which cannot tell how well a recipe prepares for photographs. Needs the extra
`train`.

A seed fixes what is held out, which human meets which background, the first weights and the order,
so recipes are compared seed by seed. The last run learns from shifted masks and has to come out
worse; where it does not, the other differences mean nothing either.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.probe_metrics import MOST_SEEDS, TOLERANCE, Scores, mean_scores, sign_flip_p
from benchmarks.probe_pairs import (
    COMPOSED,
    STAND_INS,
    Pairs,
    hold_out,
    photo_pairs,
    read_layers,
    stand_in,
    training_pairs,
)
from builder.errors import HumanSegmentationError, RecipeError
from builder.recipe import Recipe, load_recipe
from builder.sources.layer import Layer

try:
    import torch

    from benchmarks import probe_network
except ImportError as missing:
    sys.exit(f"{missing}. Install the extra first: pip install -e '.[train]'")

HELD_OUT = 0.35
METRICS = tuple(field.name for field in dataclasses.fields(Scores))
COLUMNS = "IoU | MAE | boundary F"
NO_PICTURE = "no picture: mean training mask"

Results = dict[str, list[Scores]]


def main() -> None:
    """Train and evaluate; print every run, the means and the differences."""
    options = _options()
    try:
        recipes = [load_recipe(name) for name in options.recipes.split(",")]
        if len({recipe.name for recipe in recipes}) < len(recipes):
            raise RecipeError("--recipes: two have one name; set `name` in their TOML files.")
        layers = read_layers(options.layers)
        photos = photo_pairs(options.photos, options.size) if options.photos else None
        probe_network.be_deterministic(options.threads)
        cv2.setNumThreads(options.threads)
        # Photographs judge alone, so all layers can teach.
        splits = {
            seed: (layers, ()) if photos else hold_out(layers, HELD_OUT, seed)
            for seed in options.seeds
        }
        _print_conditions(options, photos)
        _print_held_out({seed: held_out for seed, (_, held_out) in splits.items()})
        print(f"\n| seed | trained on | {COLUMNS} | seconds |\n|--:|---|--:|--:|--:|--:|")
        results: Results = {}
        for seed, (teachers, held_out) in splits.items():
            judge = photos or stand_in(held_out, options.size, seed)
            for name, scores in _runs(recipes, teachers, judge, seed, options):
                results.setdefault(name, []).append(scores)
    except HumanSegmentationError as error:
        sys.exit(str(error))
    _print_means(results)
    _print_differences(results, [recipe.name for recipe in recipes], _control(recipes))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=Path, required=True)
    parser.add_argument("--photos", type=Path, help="a folder with images/ and masks/")
    parser.add_argument("--recipes", default="classic,realistic", help="names or TOML files")
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=400, help="training pairs, composed once")
    parser.add_argument("--size", type=int, default=96, help="side of what the network sees, px")
    parser.add_argument("--shift", type=float, default=0.1, help="of the control, of the frame")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if min(options.steps, options.batch, options.pairs, options.threads) < 1 or options.size < 32:
        parser.error("--size is at least 32, the other numbers at least 1.")
    if not 0 <= options.shift < 1:
        parser.error("--shift is a share of the frame, from 0 to below 1.")
    if len(options.seeds) > MOST_SEEDS:
        parser.error(f"--seeds takes at most {MOST_SEEDS}.")
    return options


def _numbers(text: str) -> list[int]:
    return list(dict.fromkeys(int(number) for number in text.split(",")))


def _print_conditions(options: argparse.Namespace, photos: Pairs | None) -> None:
    print(
        f"torch {torch.__version__}, {platform.machine()}, {options.threads} thread(s), load "
        f"{os.getloadavg()[0]:.1f} at the start.\n{probe_network.weight_count():,} weights, "
        f"{options.size} px, {options.steps} steps of {options.batch}, Adam at "
        f"{probe_network.LEARNING_RATE:g}; {options.pairs} pairs a run, composed at "
        f"{COMPOSED * options.size} px and shrunk."
    )
    print(f"Boundaries match within {TOLERANCE:.2%} of the diagonal, at least 1 px (Csurka 2013).")
    if photos:
        print(f"Evaluated on {len(photos.masks)} photographs of {options.photos}, squeezed.")
    else:
        print(
            f"Evaluated on a STAND-IN, NOT ON PHOTOGRAPHS: {STAND_INS} composites of layers held "
            "out of training,\nthe humans blended into the backgrounds by Laplacian pyramids and "
            "taken by a camera, neither\nof them a recipe's. How well a recipe prepares for "
            "photographs, it cannot tell."
        )


def _print_held_out(held_out: dict[int, Sequence[Layer]]) -> None:
    for seed, layers in held_out.items():
        if layers:
            humans = [Path(layer.name).stem for layer in layers if layer.role == "human"]
            named = ", ".join(humans[:5]) + (" ..." if len(humans) > 5 else "")
            print(
                f"Seed {seed} holds out {len(humans)} human(s) ({named}) and "
                f"{len(layers) - len(humans)} background(s)."
            )


def _runs(
    recipes: Sequence[Recipe],
    layers: Sequence[Layer],
    judge: Pairs,
    seed: int,
    options: argparse.Namespace,
) -> Iterator[tuple[str, Scores]]:
    """Yield the name and the scores of each recipe, of no training at all, and of the control."""
    controlled, control_name = _control(recipes)
    for recipe in recipes:
        started = time.perf_counter()
        pairs = training_pairs(layers, recipe, options.pairs, options.size, seed)
        if recipe.name == controlled:
            control_pairs = pairs
        yield recipe.name, _trained(recipe.name, pairs, judge, seed, options, started)
    mean = np.broadcast_to(control_pairs.masks.mean(axis=0) / 255, judge.masks.shape)
    yield NO_PICTURE, _scored(NO_PICTURE, mean.astype(np.float32), judge, seed)
    shifted = control_pairs.shifted(options.shift)
    started = time.perf_counter()
    yield control_name, _trained(control_name, shifted, judge, seed, options, started)


def _trained(
    name: str,
    pairs: Pairs,
    judge: Pairs,
    seed: int,
    options: argparse.Namespace,
    started: float,
) -> Scores:
    network = probe_network.train(pairs, options.steps, options.batch, seed)
    return _scored(name, probe_network.predict(network, judge.images), judge, seed, started)


def _scored(
    name: str, mattes: np.ndarray, judge: Pairs, seed: int, started: float | None = None
) -> Scores:
    scores = mean_scores(mattes, judge.masks.astype(np.float32) / 255)
    seconds = f"{time.perf_counter() - started:.0f}" if started else ""
    values = " | ".join(f"{value:.4f}" for value in dataclasses.astuple(scores))
    print(f"| {seed} | {name} | {values} | {seconds} |", flush=True)
    return scores


def _control(recipes: Sequence[Recipe]) -> tuple[str, str]:
    """Return the recipe that the control takes its pairs from, and the control's own name."""
    names = [recipe.name for recipe in recipes]
    name = "realistic" if "realistic" in names else names[0]
    return name, f"control: {name} with shifted labels"


def _print_means(results: Results) -> None:
    print("\nMean ± standard deviation over seeds:\n")
    print(f"| trained on | {COLUMNS} |\n|---|--:|--:|--:|")
    for name, scores in results.items():
        cells = [_mean_and_spread([getattr(each, metric) for each in scores]) for metric in METRICS]
        print(f"| {name} | {' | '.join(cells)} |")


def _print_differences(results: Results, names: Sequence[str], control: tuple[str, str]) -> None:
    seeds = len(results[names[0]])
    print(
        f"\nDifferences, paired by seed. p: two-sided sign-flip test over {seeds} seed(s), never "
        f"under {2 / 2**seeds:.3g};\nit speaks of more seeds with these layers and pictures, not "
        f"of other layers.\n\n| difference | {COLUMNS} |\n|---|--:|--:|--:|"
    )
    for before, after in [*itertools.combinations(names, 2), control]:
        cells = [_difference(results[after], results[before], metric) for metric in METRICS]
        print(f"| {after} - {before} | {' | '.join(cells)} |")
    worse = sum(
        shifted.iou < right.iou
        for right, shifted in zip(results[control[0]], results[control[1]], strict=True)
    )
    verdict = "as it must" if worse == seeds else "so nothing above tells anything"
    print(f"\nBy IoU the control is worse than {control[0]} in {worse} of {seeds}: {verdict}.")


def _difference(ones: Sequence[Scores], others: Sequence[Scores], metric: str) -> str:
    """Return the mean difference, in how many seeds the first is better, and p."""
    values = [getattr(a, metric) - getattr(b, metric) for a, b in zip(ones, others, strict=True)]
    better = sum(value < 0 if metric == "mae" else value > 0 for value in values)
    return (
        f"{_mean_and_spread(values, '+')}, better in {better} of {len(values)}, "
        f"p = {sign_flip_p(values):.2g}"
    )


def _mean_and_spread(values: Sequence[float], sign: str = "") -> str:
    spread = f"{statistics.stdev(values):.4f}" if len(values) > 1 else "?"
    return f"{statistics.mean(values):{sign}.4f} ± {spread}"


if __name__ == "__main__":
    main()
