"""The dataset folder: built in a hidden part of itself, so that half of it never looks whole."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from builder import card, examples, preview
from builder import manifest as manifests
from builder.engines import ordered_map
from builder.errors import FolderError
from builder.layers import admit_all
from builder.manifest import Manifest, make_manifest, read_manifest, write_manifest
from builder.plan import Shard, make_plan
from builder.recipe import Recipe
from builder.shards import Row, ShardFile, finished_shard, make_rows, shard_tasks, write_shard
from builder.sources import Sources, collect
from builder.sources.layer import Layer

DATA = "data"
STAGING = ".build"


@dataclass(frozen=True)
class BuildReport:
    """What a build did: shards written now, and shards found finished."""

    folder: Path
    manifest: Manifest
    shards_written: int
    shards_kept: int
    seconds: float


def build(
    sources: Sources,
    recipe: Recipe,
    output: Path,
    *,
    seed: int = 0,
    workers: int = 1,
    strict: bool = False,
    rebuild: bool = False,
    progress: bool = True,
) -> BuildReport:
    """Build a dataset folder, or finish one that was interrupted.

    The same sources, recipe, seed and library versions give the same bytes. Interrupted at any
    moment, the same call goes on after the last finished shard.

    Args:
        sources: where the layers come from.
        recipe: every knob.
        output: the folder; made if it is not there.
        seed: another seed gives other splits, pairs and composites.
        workers: processes that make pairs, and threads that check layers. They are spawned: with
            more than one, a script needs the usual `if __name__ == "__main__"`.
        strict: whether a picture that cannot be used is an error.
        rebuild: whether to replace a dataset that was built from something else.
        progress: whether to show bars.

    Raises:
        SourceError: a source cannot be read, or offers nothing usable.
        PlanError: the layers do not suffice for the recipe.
        FolderError: the folder holds something else, cannot be written, or is being built already.
        WorkerLostError: a worker process was killed.
    """
    started = time.monotonic()
    _check_is_ours(output)
    with _locked(output):
        found = collect(sources, progress=progress)
        admitted = admit_all(
            found.candidates, recipe, threads=workers, strict=strict, progress=progress
        )
        plan = make_plan(admitted.layers, recipe, seed)
        work = _Work(output, plan.shards(), recipe, seed)
        kept = work.finished(rebuild=rebuild, progress=progress)
        layers = {layer.id: layer for layer in admitted.layers}
        written = work.write_missing(kept, layers, workers, progress=progress)
        by_name = {file.name: file for file in (*kept, *written)}
        manifest = make_manifest(
            sources.kinds,
            admitted,
            found.ignored,
            plan,
            [by_name[shard.file_name] for shard in work.shards],
            recipe,
            seed,
        )
        work.complete(manifest, replace=rebuild)
    return BuildReport(output, manifest, len(written), len(kept), time.monotonic() - started)


def _check_is_ours(output: Path) -> None:
    """Refuse a folder with other things in it: a build would scatter files among them."""
    if not output.exists():
        return
    if not output.is_dir():
        raise FolderError(f"{output}: is not a folder. Choose another --output.")
    names = {path.name for path in output.iterdir()}
    if names and not names & {manifests.FILE_NAME, STAGING}:
        raise FolderError(
            f"{output}: holds other files and no dataset built by this tool. "
            "Choose another --output, or an empty folder."
        )


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    staging = output / STAGING
    try:
        (staging / DATA).mkdir(parents=True, exist_ok=True)
        lock = FileLock(staging / "lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise FolderError(
            f"{output}: is being built by another process. Wait for it, or choose another --output."
        ) from error
    except OSError as error:
        raise FolderError(
            f"{output}: cannot be written ({error.strerror}). Choose another --output."
        ) from error
    try:
        yield
    finally:
        if not _is_half_built(output):
            shutil.rmtree(staging, ignore_errors=True)
        lock.release()


def _is_half_built(output: Path) -> bool:
    """Tell whether there is anything to go on with; then the staging area has to stay, since it
    is what marks the folder as ours."""
    shards = (output / STAGING / DATA).glob("*.parquet")
    described = (output / manifests.FILE_NAME).exists()
    return any(shards) or ((output / DATA).exists() and not described)


class _Work:
    """The shards that a folder is to hold, and how far they are."""

    def __init__(self, output: Path, shards: list[Shard], recipe: Recipe, seed: int) -> None:
        self.shards = shards
        self._output = output
        self._data = output / DATA
        self._staging = output / STAGING
        self._staged = self._staging / DATA
        self._recipe = recipe
        self._seed = seed

    def finished(self, *, rebuild: bool, progress: bool) -> list[ShardFile]:
        """Return the shards that an earlier build finished.

        Raises:
            FolderError: there are shards of another build, and `rebuild` is off.
        """
        for partial in self._staged.glob(".*.partial"):
            partial.unlink()
        if rebuild:
            self._drop_strangers()
            folders = [self._staged]
        else:
            folders = [self._data, self._staged]
            self._refuse_strangers(folders)
        here = [(folder, shard) for shard in self.shards for folder in folders]
        files = []
        for folder, shard in tqdm(
            here, "Finished shards", unit=" shards", delay=2, leave=False, disable=not progress
        ):
            file = finished_shard(folder / shard.file_name, shard, self._recipe, self._seed)
            files += [file] if file else []
        return files

    def _strangers(self, folder: Path) -> list[Path]:
        planned = {shard.file_name for shard in self.shards}
        return [path for path in folder.glob("*.parquet") if path.name not in planned]

    def _refuse_strangers(self, folders: list[Path]) -> None:
        strangers = [path for folder in folders for path in self._strangers(folder)]
        if strangers:
            raise FolderError(
                f"{strangers[0]}: was built from other layers or another recipe. "
                "Choose another --output, or give --rebuild to replace the dataset."
            )

    def _drop_strangers(self) -> None:
        for path in self._strangers(self._staged):
            path.unlink()
        for shard in self.shards:
            path = self._staged / shard.file_name
            try:
                finished_shard(path, shard, self._recipe, self._seed)
            except FolderError:
                path.unlink()

    def write_missing(
        self, kept: list[ShardFile], layers: Mapping[str, Layer], workers: int, *, progress: bool
    ) -> list[ShardFile]:
        """Write the shards that are not there yet."""
        names = {file.name for file in kept}
        missing = [shard for shard in self.shards if shard.file_name not in names]
        if not missing:
            return []
        tasks = itertools.chain.from_iterable(
            shard_tasks(shard, layers, self._recipe, self._seed) for shard in missing
        )
        total = sum(shard.rows for shard in missing)
        with (
            ordered_map(make_rows, tasks, workers) as results,
            tqdm(total=total, desc="Composing", unit=" pairs", disable=not progress) as bar,
        ):
            rows = itertools.chain.from_iterable(_counted(results, bar))
            return [
                write_shard(
                    shard,
                    itertools.islice(rows, shard.rows),
                    self._staged,
                    self._recipe,
                    self._seed,
                )
                for shard in missing
            ]

    def complete(self, manifest: Manifest, *, replace: bool) -> None:
        """Move the shards to where they are read from, and describe them; the manifest is last."""
        if _is_complete(self._output, manifest) and not any(self._staged.iterdir()):
            return
        try:
            # A page that shows pairs of before would mislead.
            for name in (manifests.FILE_NAME, preview.FILE_NAME):
                (self._output / name).unlink(missing_ok=True)
            if replace and self._data.exists():
                shutil.rmtree(self._staging / "replaced", ignore_errors=True)
                self._data.rename(self._staging / "replaced")
            if self._data.exists():
                for path in sorted(self._staged.iterdir()):
                    path.replace(self._data / path.name)
            else:
                self._staged.rename(self._data)
            examples.write_examples(self._output)
            card.write_card(manifest, self._output)
            write_manifest(manifest, self._output)
        except OSError as error:
            raise FolderError(
                f"{self._output}: cannot be written ({error.strerror}). Make room and run the same "
                "command again; it goes on where it stopped."
            ) from error


def _counted(results: Iterator[list[Row]], bar: tqdm[Any]) -> Iterator[list[Row]]:
    for rows in results:
        yield rows
        bar.update(len(rows))


def _is_complete(output: Path, manifest: Manifest) -> bool:
    if not all((output / name).exists() for name in (card.FILE_NAME, examples.FILE_NAME)):
        return False
    try:
        return read_manifest(output) == manifest
    except FolderError:
        return False
