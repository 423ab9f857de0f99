"""Human segmentation pairs, composed from transparent humans and backgrounds, for `datasets`.

    from human_segmentation import HumanSegmentation

    builder = HumanSegmentation(source="layers/", per_human=2)
    builder.download_and_prepare()
    pairs = builder.as_dataset("train")

    HumanSegmentation(source="sample").as_streaming_dataset("train")
    Compositor(source="sample", size=(512, 512)).stream()  # see builder/compositor.py

The rows are those that `human-segmentation build` writes with the same knobs, byte for byte.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import datasets
from datasets.arrow_reader import ParquetReader

from builder.compositor import Compositor
from builder.engines import available_workers
from builder.errors import RecipeError
from builder.layers import admit_all
from builder.places import place_of
from builder.plan import Plan, Shard, make_plan
from builder.recipe import Recipe, load_recipe
from builder.render import RENDERING, features_of, make_rows, shard_tasks
from builder.sources import DEFAULT_FOLDER, Found, Sources, collect
from builder.sources.files import signature
from builder.sources.layer import Layer
from builder.sources.published import commit_of, is_repository
from builder.version import __version__

__all__ = ["Compositor", "HumanSegmentation", "HumanSegmentationConfig"]

_Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

# `datasets` shuffles, resumes and shares out work by these; each costs memory when planned.
_MAX_PORTIONS = 4096


@dataclasses.dataclass
class HumanSegmentationConfig(datasets.BuilderConfig):
    """The knobs of `human-segmentation build`, under the same names.

    Attributes:
        source: `drive`, `sample`, the path or URL of a folder or an archive, or several of these;
            `drive` when neither it nor `humans` nor `backgrounds` is given.
        humans, backgrounds: paths and URLs whose pictures all have that role.
        drive_folder: id or URL of the Google Drive folder that `drive` means.
        sample_humans, sample_backgrounds, sample_size: what `sample` draws.
        recipe: a name, the path of a TOML file, or a `builder.recipe.Recipe`.
        settings: knobs of the recipe to change, by name.
        per_human, validation, size, image_format: the same, for those changed most often.
        seed: another seed gives other splits, pairs and composites.
        strict: whether a picture that cannot be used is an error.
    """

    source: _Paths = ()
    humans: _Paths = ()
    backgrounds: _Paths = ()
    drive_folder: str = DEFAULT_FOLDER
    sample_humans: int = 24
    sample_backgrounds: int = 24
    sample_size: int = 1024
    exclude: str | os.PathLike[str] | None = None
    recipe: str | os.PathLike[str] | Recipe = "realistic"
    settings: Mapping[str, Any] | None = None
    per_human: int | None = None
    validation: float | None = None
    size: int | None = None
    image_format: str | None = None
    labels: str | Sequence[str] | None = None
    seed: int = 0
    strict: bool = False

    def sources(self, cache_dir: Path | None = None) -> Sources:
        """Return where the layers come from."""
        return Sources(
            sources=_paths(self.source),
            humans=_paths(self.humans),
            backgrounds=_paths(self.backgrounds),
            drive_folder=self.drive_folder,
            cache_dir=cache_dir,
            sample_humans=self.sample_humans,
            sample_backgrounds=self.sample_backgrounds,
            sample_size=self.sample_size,
            exclude=Path(self.exclude) if self.exclude else None,
        )

    def resolved_recipe(self) -> Recipe:
        """Return the recipe with all changes.

        Raises:
            RecipeError: no such recipe, an unknown knob, or a value out of range.
        """
        base = self.recipe if isinstance(self.recipe, Recipe) else load_recipe(self.recipe)
        names = ("per_human", "validation", "size", "image_format", "labels")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return base.replace({**(self.settings or {}), **given})

    def create_config_id(
        self, config_kwargs: dict[str, Any], custom_features: datasets.Features | None = None
    ) -> str:
        """Return the name of the cache folder: it differs wherever the result could.

        `datasets` knows neither how we render nor what a path holds, and would serve stale pairs.
        """
        if self.data_dir is not None or self.data_files is not None:
            raise RecipeError("data_dir and data_files are not used: give source= instead.")
        sources = self.sources()
        values = [
            __version__,
            RENDERING,
            self.resolved_recipe().to_dict(),
            self.seed,
            self.strict,
            dataclasses.asdict(sources),
            [
                commit_of(path) if is_repository(path) else signature(place_of(path))
                for path in (
                    *sources.effective,
                    *sources.humans,
                    *sources.backgrounds,
                    *filter(None, [self.exclude]),
                )
                if path not in ("drive", "sample")
            ],
            custom_features.to_dict() if custom_features else None,
        ]
        digest = hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()
        return f"{self.name}-{digest[:16]}"


class HumanSegmentation(datasets.GeneratorBasedBuilder):
    """Composes pairs when they are asked for: prepared on the disk, or streamed on the fly."""

    VERSION = datasets.Version(__version__)
    BUILDER_CONFIG_CLASS = HumanSegmentationConfig
    # A pair is near half a megabyte; the default of 1000 rows would hold them all in memory.
    DEFAULT_WRITER_BATCH_SIZE = 64

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description="Pictures of people with their alpha mattes, composed from layers.",
            features=datasets.Features.from_dict(features_of(self.config.resolved_recipe())),
            license="apache-2.0",
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        recipe, seed = self.config.resolved_recipe(), self.config.seed
        progress = datasets.utils.logging.is_progress_bar_enabled()
        found = self._collect(dl_manager, progress=progress)
        # OpenCV's own threads would hang in the processes that `num_proc` forks after this.
        cv2.setNumThreads(1)
        admitted = admit_all(
            found.candidates,
            recipe,
            exclusion=found.exclusion,
            threads=available_workers(),
            strict=self.config.strict,
            progress=progress,
        )
        plan = make_plan(admitted.layers, recipe, seed)
        layers = {layer.id: layer for layer in admitted.layers}
        return [
            datasets.SplitGenerator(
                name=split,
                gen_kwargs={
                    "portions": portions,
                    "layers": layers,
                    "recipe": recipe,
                    "seed": seed,
                },
            )
            for split, portions in _portions(plan).items()
        ]

    def _collect(self, dl_manager: Any, *, progress: bool) -> Found:
        """Find the layers; what came from Google Drive is made known to `datasets`."""
        cache_dir = getattr(dl_manager.download_config, "cache_dir", None)
        own = cache_dir and str(cache_dir) != str(datasets.config.DOWNLOADED_DATASETS_PATH)
        found = collect(self.config.sources(Path(cache_dir) if own else None), progress=progress)
        if found.downloads and not dl_manager.is_streaming:
            dl_manager.download([str(path) for path in found.downloads])
        return found

    def _generate_examples(
        self, portions: list[Shard], layers: Mapping[str, Layer], recipe: Recipe, seed: int
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for portion in portions:
            for task in shard_tasks(portion, layers, recipe, seed):
                for row in make_rows(task):
                    yield row["id"], row

    def as_dataset(self, *args: Any, **kwargs: Any) -> Any:
        """Read what was prepared, also with `file_format="parquet"`, which the base refuses."""
        self._file_format = "arrow"
        return super().as_dataset(*args, **kwargs)

    def _as_dataset(
        self, split: Any = datasets.Split.TRAIN, in_memory: bool = False
    ) -> datasets.Dataset:
        if not any(Path(self._output_dir).glob("*.parquet")):
            return super()._as_dataset(split, in_memory)
        read = ParquetReader(self._output_dir, self.info).read(
            name=self.dataset_name,
            instructions=split,
            split_infos=self.info.splits.values(),
            in_memory=in_memory,
        )
        return datasets.Dataset(fingerprint=self._get_dataset_fingerprint(split), **read)


def _portions(plan: Plan) -> dict[str, list[Shard]]:
    """Return the work of each split in small parts, in the order of the plan."""
    return {
        split.split: [
            portion
            for shard in split.shards()
            for portion in shard.parts(-(-len(split.humans) // _MAX_PORTIONS))
        ]
        for split in plan.splits
    }


def _paths(value: _Paths) -> tuple[str, ...]:
    if isinstance(value, (str, os.PathLike)):
        return (os.fspath(value),)
    return tuple(os.fspath(path) for path in value)
