"""The hidden part of a dataset folder in which a build works, so that half of it never looks whole.

A finished build is put in place in steps that the next command finishes if they are interrupted:
once `.build/manifest.json` is there, `.build/data` holds every shard of the new dataset.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from builder import card, examples, layer_files, preview
from builder import manifest as manifests
from builder.engines import Engine
from builder.errors import FolderError
from builder.layer_files import LayerFile, LayerShard, finished_layer_file, write_layer_file
from builder.manifest import Manifest, read_manifest, write_manifest
from builder.places import Place
from builder.plan import Shard
from builder.recipe import Recipe
from builder.shards import ShardFile, Work, finished_shard, sha256_of
from builder.sources.layer import Layer

DATA = "data"
STAGING = ".build"
PART = ".update"
"""Holds what an update of a dataset on the Hub changes, with the manifest of the whole."""


@contextmanager
def open_local_staging(output: Path, *, progress: bool) -> Iterator[Staging]:
    """Lock a folder, and finish what an interrupted build had only to put in place.

    Raises:
        FolderError: the folder holds something else, cannot be written, or is being built already.
    """
    _check_is_ours(output)
    area = output / STAGING
    try:
        area.mkdir(parents=True, exist_ok=True)
        lock = FileLock(area / "lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise FolderError(
            f"{output}: is being built by another process. Wait for it, or choose another --output."
        ) from error
    except OSError as error:
        raise FolderError(
            f"{output}: cannot be written ({error.strerror}). Choose another --output."
        ) from error
    staging = Staging(output, progress=progress)
    try:
        staging.finish_installing()
        yield staging
    finally:
        if not staging.is_needed():
            shutil.rmtree(area, ignore_errors=True)
        lock.release()


def _check_is_ours(output: Path) -> None:
    """Refuse a folder with other things in it: a build would scatter files among them."""
    if not output.exists():
        return
    if not output.is_dir():
        raise FolderError(f"{output}: is not a folder. Choose another --output.")
    names = {path.name for path in output.iterdir()}
    if names and not names & {manifests.FILE_NAME, STAGING, PART}:
        raise FolderError(
            f"{output}: holds other files and no dataset built by this tool. "
            "Choose another --output, or an empty folder."
        )


class Staging:
    """Shards on their way into a folder. The caller holds the folder's lock."""

    def __init__(self, output: Path, *, progress: bool) -> None:
        self.output = output
        self._progress = progress
        self._data = output / DATA
        self._area = output / STAGING
        self._staged = self._area / DATA
        self._replaced = self._area / "replaced"
        self._part = self._area / "part"
        self._layers = output / layer_files.FOLDER
        self._staged_layers = self._area / layer_files.FOLDER

    def is_needed(self) -> bool:
        """Tell whether there is anything to go on with."""
        begun = (self._area / manifests.FILE_NAME, self._part / DATA)
        staged = (self._staged, self._staged_layers)
        return any(path.exists() for path in begun) or any(
            any(folder.glob("*.parquet")) for folder in staged
        )

    def refuse_strangers(self, names: Collection[str]) -> None:
        """Refuse shards in the folder that have none of these names.

        Raises:
            FolderError: there is one.
        """
        for path in sorted(self._data.glob("*.parquet")):
            if path.name not in names:
                raise stranger(path)

    def refuse_whole(self) -> None:
        """Refuse a folder that holds a dataset, where only a part of one is to go.

        Raises:
            FolderError: it does.
        """
        if (self.output / manifests.FILE_NAME).exists():
            raise FolderError(
                f"{self.output}: holds a whole dataset. Update it with --update, or choose another "
                "--output for what changes in the one on the Hub."
            )

    def finished(self, shards: Sequence[Shard], recipe: Recipe, seed: int) -> list[ShardFile]:
        """Return the shards that an earlier build finished, in place or staged.

        Raises:
            FolderError: one was built from something else, or is damaged.
        """
        names = {shard.file_name for shard in shards}
        self.refuse_strangers(names)
        for path in self._staged.glob("*.parquet"):
            if path.name not in names:
                raise stranger(path)
        here = [(folder, shard) for shard in shards for folder in (self._data, self._staged)]
        found = (
            finished_shard(folder / shard.file_name, shard, recipe, seed)
            for folder, shard in self._bar(here, "Finished shards")
        )
        files = [file for file in found if file]
        self._refuse_changed(files)
        return files

    def _refuse_changed(self, files: Sequence[ShardFile]) -> None:
        """Refuse shards of which the folder's own manifest says something else.

        A build would describe them as they are now, and so make damage look right.
        """
        try:
            known = {file.name: file for file in read_manifest(self.output).shards}
        except FolderError:
            # None yet, or one that is written anew.
            return
        for file in files:
            before = known.get(file.name, file)
            if before.fingerprint == file.fingerprint and before.sha256 != file.sha256:
                raise _changed(self._data / file.name)

    def finished_anew(self, shards: Sequence[Shard], recipe: Recipe, seed: int) -> list[ShardFile]:
        """Return the shards that are staged already, dropping what belongs to no such build."""
        planned = {shard.file_name: shard for shard in shards}
        files = []
        for path in self._bar(sorted(self._staged.glob("*.parquet")), "Finished shards"):
            shard = planned.get(path.name)
            try:
                file = shard and finished_shard(path, shard, recipe, seed)
            except FolderError:
                file = None
            if file:
                files.append(file)
            else:
                path.unlink()
        return files

    def untouched(self, files: Collection[ShardFile]) -> list[ShardFile]:
        """Return those of the shards that are in place, after comparing their bytes.

        Raises:
            FolderError: one is not what the manifest says.
        """
        here = [file for file in files if (self._data / file.name).exists()]
        for file in self._bar(here, "Comparing shards"):
            path = self._data / file.name
            if path.stat().st_size != file.bytes or sha256_of(path) != file.sha256:
                raise _changed(path)
        return here

    def write(
        self,
        shards: Sequence[Shard],
        layers: Mapping[str, Layer],
        recipe: Recipe,
        seed: int,
        engine: Engine,
    ) -> list[ShardFile]:
        """Make shards, in the staging area."""
        if not shards:
            return []
        with _writable(self.output):
            self._prepare()
        work = Work(tuple(shards), layers, recipe, seed, self._staged)
        return made_by(engine, work, progress=self._progress)

    def write_layers(
        self, planned: Sequence[LayerShard], published: Sequence[LayerFile] = ()
    ) -> list[LayerFile]:
        """Make the files of layers that are not there yet, in the staging area.

        Args:
            planned: all of them.
            published: those on the Hub, which need not be here.
        """
        self._staged_layers.mkdir(parents=True, exist_ok=True)
        for path in (
            *self._staged_layers.glob(".*.partial"),
            *(p for p in self._staged_layers.glob("*") if p.name not in {s.name for s in planned}),
        ):
            path.unlink(missing_ok=True)
        there = {(file.name, file.fingerprint): file for file in published}
        return [
            there.get((shard.name, shard.fingerprint)) or self._layer_file(shard)
            for shard in self._bar(planned, "Writing layers")
        ]

    def _layer_file(self, shard: LayerShard) -> LayerFile:
        staged = self._staged_layers / shard.name
        in_place = finished_layer_file(self._layers / shard.name, shard)
        return (
            finished_layer_file(staged, shard)
            or in_place
            or write_layer_file(shard, self._staged_layers)
        )

    def install(self, manifest: Manifest) -> None:
        """Make the folder hold what the manifest says, from the shards in place and staged.

        Raises:
            FolderError: the folder cannot be written; the next command goes on from there.
        """
        staged = (self._staged, self._staged_layers)
        if _is_complete(self.output, manifest) and not any(any(f.glob("*")) for f in staged):
            return
        with _writable(self.output):
            self._prepare()
            for file in manifest.shards:
                if not (self._staged / file.name).exists():
                    _link(self._data / file.name, self._staged / file.name)
            for path in _others(self._data):
                _link(path, self._staged / path.name)
            write_manifest(manifest, self._area)
        self.finish_installing()

    def install_part(self, manifest: Manifest) -> None:
        """Set aside what an update changed, for publishing; the rest is on the Hub alone."""
        with _writable(self.output):
            self._prepare()
            self._part.mkdir(exist_ok=True)
            write_manifest(manifest, self._part)
            if self._staged_layers.exists():
                self._staged_layers.rename(self._part / layer_files.FOLDER)
            self._staged.rename(self._part / DATA)
        self.finish_installing()

    def finish_installing(self) -> None:
        """Put what is staged in place, if it is all there; every step can be repeated."""
        with _writable(self.output):
            if (self._part / DATA).exists():
                shutil.rmtree(self.output / PART, ignore_errors=True)
                self._part.rename(self.output / PART)
            if (self._area / manifests.FILE_NAME).exists():
                self._finish_whole()

    def _finish_whole(self) -> None:
        # A page that shows pairs of before would mislead.
        for name in (manifests.FILE_NAME, preview.FILE_NAME):
            (self.output / name).unlink(missing_ok=True)
        if self._staged.exists():
            if self._data.exists():
                shutil.rmtree(self._replaced, ignore_errors=True)
                self._data.rename(self._replaced)
            self._staged.rename(self._data)
        manifest = read_manifest(self._area)
        self._install_layers({file.name for file in manifest.layer_files})
        examples.write_examples(self.output)
        card.write_card(manifest, self.output)
        (self._area / manifests.FILE_NAME).replace(self.output / manifests.FILE_NAME)

    def _install_layers(self, names: Collection[str]) -> None:
        if names:
            self._layers.mkdir(exist_ok=True)
        for path in self._staged_layers.glob("*.parquet"):
            path.replace(self._layers / path.name)
        for path in self._layers.glob("*.parquet"):
            if path.name not in names and layer_files.is_name(path.name):
                path.unlink()

    def _prepare(self) -> None:
        self._staged.mkdir(parents=True, exist_ok=True)
        for partial in self._staged.glob(".*.partial"):
            partial.unlink()

    def _bar(self, items: Sequence[Any], text: str) -> Iterable[Any]:
        return tqdm(items, text, unit=" shards", delay=2, leave=False, disable=not self._progress)


def made_by(engine: Engine, work: Work, *, progress: bool) -> list[ShardFile]:
    """Have an engine make shards, with a bar, and return them."""
    with tqdm(total=work.rows, desc="Composing", unit=" pairs", disable=not progress) as bar:
        return list(engine.make(work, bar.update))


def stranger(path: Place) -> FolderError:
    """Return the error for a shard that is not of this build."""
    return FolderError(
        f"{path}: was built from other layers or another recipe. Choose another --output, give "
        "--update to bring the dataset up to the layers of now, or --rebuild to replace it."
    )


def _changed(path: Path) -> FolderError:
    return FolderError(
        f"{path}: was changed since it was built. Delete it and run the command again; it is then "
        "made anew."
    )


def _is_complete(output: Path, manifest: Manifest) -> bool:
    if not all((output / name).exists() for name in (card.FILE_NAME, examples.FILE_NAME)):
        return False
    try:
        return read_manifest(output) == manifest
    except FolderError:
        return False


def _others(data: Path) -> list[Path]:
    """Return the files that somebody else put beside the shards."""
    if not data.exists():
        return []
    return sorted(path for path in data.iterdir() if path.is_file() and path.suffix != ".parquet")


def _link(path: Path, target: Path) -> None:
    """Give a file a second place, without a second copy where the file system can do that."""
    target.unlink(missing_ok=True)
    try:
        os.link(path, target)
    except OSError:
        shutil.copy2(path, target)


@contextmanager
def _writable(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FolderError(
            f"{output}: cannot be written ({error.strerror}). Make room and run the same command "
            "again; it goes on where it stopped."
        ) from error
