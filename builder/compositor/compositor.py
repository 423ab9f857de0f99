"""Composites without end, made when they are asked for: what `build` makes, before it is encoded.

For training loops: map-style and iterable, NumPy arrays or tensors. Needs no torch, but works in a
PyTorch `DataLoader` with any number of workers.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import cv2
import numpy as np

from builder.compose.blend import Pixels
from builder.compose.figure import Figure
from builder.compose.frame import crop_to_aspect, fit
from builder.compositor.layers import (
    chosen_recipe,
    find_layers,
    plan_split,
    published_split,
    read_plan,
)
from builder.compositor.stream import Sample, Stream
from builder.errors import RecipeError
from builder.manifest import Manifest
from builder.passes import Passes
from builder.plan import SPLITS, companions_of
from builder.portable import portable
from builder.recent import Recent
from builder.recipe import Recipe
from builder.render import (
    LABEL_COLUMNS,
    Cast,
    decode_figure,
    decode_scene,
    described,
    make_composite,
)
from builder.sources.layer import Layer
from builder.sources.tables import Spool

Kind = Literal["numpy", "torch"]
Layout = Literal["HWC", "CHW"]

_CACHE_BYTES = 256 * 1024**2
_LEAST_SIDE = 64


class Compositor:
    """A training set that never ends: each epoch has composites of its own.

    `compositor[i]` is the `i`-th of the current epoch, in the order of the plan; `stream` gives an
    iterable view, shuffled. A sample depends on the layers, the recipe, the seed and its number
    alone, whoever makes it. It is a dictionary:

    - `image`: uint8 (H, W, 3), sRGB; `mask`: uint8 (H, W), the alpha matte. With the recipe's other
      `labels` also `trimap`, uint8 (H, W), `foreground` and `clean_background`, uint8 (H, W, 3).
      In the layout `CHW`, (3, H, W) and (1, H, W).
    - `id`, `human`, `background`, `provenance`: str, as in the rows of a dataset.

    OpenCV is told to use one thread: its own would hang in workers that a DataLoader forks.

    Args:
        humans, backgrounds: paths of folders and archives, tables of `datasets`, or streams
            (`IterableDataset`), which are read once, into a file as large as their pictures.
        recipe: a name, the path of a TOML file, or a `Recipe`; `realistic` by default.
        seed: another seed, other composites; 0 by default.
        size: (height, width) of every sample, px, 64 and more: the background is cropped to that
            aspect at a drawn place. None gives each the size that a build would give it.
        epoch_length: samples of an epoch; as many as a build would make by default.
        source: instead of both, what has humans and backgrounds, as `build --source` takes it; by
            default the folder on Google Drive.
        plan: a finished dataset, whose layers are among those given: its folder, its name on the
            Hub, or its manifest. The first epoch is then that dataset, pair after pair. It fixes
            the recipe and the seed.
        split: `train` or `validation`, as a build would split the layers; None for all of them.
        settings: knobs of the recipe to change, by name.
        kind: `numpy` for arrays, `torch` for tensors.
        layout: `HWC` or `CHW`.
        cache_bytes: how much of decoded layers a process keeps.
        progress: whether to show a bar while layers are checked.

    Raises:
        SourceError: a source cannot be read, or lacks layers of the plan.
        PlanError: the layers do not suffice for the recipe.
        RecipeError: an unknown knob or argument.
        FolderError, HubError: there is no such plan.
    """

    def __init__(
        self,
        humans: Any = None,
        backgrounds: Any = None,
        recipe: str | os.PathLike[str] | Recipe | None = None,
        seed: int | None = None,
        size: tuple[int, int] | None = None,
        epoch_length: int | None = None,
        *,
        source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        plan: str | os.PathLike[str] | Manifest | None = None,
        split: str | None = "train",
        settings: Mapping[str, Any] | None = None,
        kind: Kind = "numpy",
        layout: Layout = "HWC",
        cache_bytes: int = _CACHE_BYTES,
        progress: bool = True,
    ) -> None:
        _check_arguments(size, epoch_length, split, kind, layout)
        cv2.setNumThreads(1)
        self._spool = Spool()
        found = find_layers(source, humans, backgrounds, self._spool, progress=progress)
        if plan is None:
            chosen = chosen_recipe(recipe, settings, split)
            self.seed = seed or 0
            shards, self._layers = plan_split(found, chosen, self.seed, split, progress=progress)
        else:
            manifest = read_plan(plan)
            if recipe is not None or seed is not None or settings:
                raise RecipeError("A plan has a recipe and a seed: leave these arguments out.")
            chosen, self.seed = manifest.recipe, manifest.seed
            shards, self._layers = published_split(found, manifest, split)
        self.size = size
        # The frame is that of the size; how the plan was made stays as it was.
        self.recipe = chosen.replace({"size": max(size)}) if size else chosen
        self._passes = Passes(shards, self.seed)
        self._length = epoch_length or self._passes.rows
        self._epoch = 0
        self._kind, self._layout = kind, layout
        self._decoded = _Decoded(self.recipe, cache_bytes)

    def __len__(self) -> int:
        """Return the number of samples of an epoch."""
        return self._length

    def __getitem__(self, index: int) -> Sample:
        """Make a sample of the current epoch; raises IndexError beyond its end."""
        return self._make_at(self._epoch, index)

    def _make_at(self, epoch: int, index: int) -> Sample:
        # What samplers of torch give may be an integer of NumPy's.
        return self.make(epoch * self._length + range(self._length)[index])

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0 on, that indices are of.

        Workers of a DataLoader learn of it when they start. If they persist, use `stream`.
        """
        self._epoch = epoch

    def epoch(self, epoch: int) -> Epoch:
        """Return an epoch, counted from 0, as a sequence of its own."""
        return Epoch(self, epoch)

    def stream(
        self,
        *,
        epochs: int | None = None,
        shuffle: bool = True,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> Stream:
        """Return an iterable view; where torch is installed, it is an `IterableDataset` of torch's.

        Args:
            epochs: after how many it ends; None for never.
            shuffle: whether to mix the pairs of some humans at a time, and these times.
            rank, world_size: of this process among those that train together; by default what
                `torch.distributed` says, or 0 of 1.
        """
        if importlib.util.find_spec("torch") is None:
            return Stream(self, epochs, shuffle, rank or 0, world_size or 1)
        from builder.compositor.torch_stream import TorchStream, torch_rank

        own_rank, own_size = torch_rank()
        return TorchStream(
            self,
            epochs,
            shuffle,
            own_rank if rank is None else rank,
            own_size if world_size is None else world_size,
        )

    @property
    def passes(self) -> Passes:
        """The endless sequence of pairs that samples are made of."""
        return self._passes

    @portable
    def make(self, number: int) -> Sample:
        """Make the sample of a number of `passes`: of epoch `e` the `i`-th is `e * len(self) + i`.

        Raises:
            PlanError: a human cannot be placed as the recipe asks.
            SourceError: a layer changed or went away since it was checked.
        """
        shard, pair = self._passes.pair(number)
        others = companions_of(shard, pair, self.recipe, self.seed)
        cast = Cast(
            pair,
            self._layers[pair.human],
            self._layers[pair.background],
            tuple(self._layers[other] for other in others),
        )
        scene = self._decoded.scene(cast.background)
        if self.size:
            scene = crop_to_aspect(scene, self.size, f"{self.seed}/{pair.id}/crop")
        companions = [self._decoded.figure(other) for other in cast.companions]
        figure = self._decoded.figure(cast.human)
        made = make_composite(cast, figure, scene, companions, self.recipe, self.seed)
        pictures = {"image": made.image, "mask": made.mask}
        pictures |= {LABEL_COLUMNS[name]: pixels for name, pixels in made.labels.items()}
        if self.size:
            pictures = fit(pictures, self.size)
        return {
            "id": pair.id,
            **{name: self._shaped(pixels) for name, pixels in pictures.items()},
            **described(cast, made),
        }

    def _shaped(self, pixels: Pixels) -> Any:
        if self._layout == "CHW":
            pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        pixels = np.ascontiguousarray(pixels)
        if self._kind == "numpy":
            return pixels
        import torch

        return torch.from_numpy(pixels)


class Epoch(Sequence[Sample]):
    """The samples of one epoch, made when they are asked for, in the order of the plan."""

    def __init__(self, compositor: Compositor, epoch: int) -> None:
        self._compositor = compositor
        self._first = epoch * len(compositor)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._compositor)

    def __getitem__(self, index: Any) -> Any:
        """Make a sample; raises IndexError beyond the end. A slice gives a list."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return self._compositor.make(self._first + range(len(self))[index])


class _Decoded:
    """Layers that were decoded last; a copy in another process begins with none."""

    def __init__(self, recipe: Recipe, max_bytes: int) -> None:
        self._recipe, self._max_bytes = recipe, max_bytes
        half = max_bytes // 2
        self._figures: Recent[Figure] = Recent(half, lambda figure: figure.pixels.nbytes)
        self._scenes: Recent[Pixels] = Recent(half, lambda pixels: pixels.nbytes)

    def __reduce__(self) -> tuple[Any, ...]:
        return _decoded_elsewhere, (self._recipe, self._max_bytes)

    def figure(self, layer: Layer) -> Figure:
        """Return a human, not to be written to."""
        return self._figures.get(layer.id, lambda: decode_figure(layer, self._recipe))

    def scene(self, layer: Layer) -> Pixels:
        """Return a background, uint8 (H, W, 3) RGB, not to be written to."""
        return self._scenes.get(layer.id, lambda: decode_scene(layer, self._recipe))


def _decoded_elsewhere(recipe: Recipe, max_bytes: int) -> _Decoded:
    cv2.setNumThreads(1)
    return _Decoded(recipe, max_bytes)


def _check_arguments(
    size: tuple[int, int] | None,
    epoch_length: int | None,
    split: str | None,
    kind: str,
    layout: str,
) -> None:
    if size is not None and (len(size) != 2 or min(size) < _LEAST_SIDE):
        raise RecipeError(f"size = {size}: give (height, width), {_LEAST_SIDE} and more each.")
    if epoch_length is not None and epoch_length < 1:
        raise RecipeError(f"epoch_length = {epoch_length}: give 1 and more.")
    known: dict[str, tuple[Any, Sequence[Any]]] = {
        "split": (split, (*SPLITS, None)),
        "kind": (kind, ("numpy", "torch")),
        "layout": (layout, ("HWC", "CHW")),
    }
    for name, (value, valid) in known.items():
        if value not in valid:
            raise RecipeError(f"{name} = {value!r} is none of {', '.join(map(repr, valid))}.")
