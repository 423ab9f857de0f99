"""A dataset folder behind a URL: the same steps as in `builder.staging`, with what a storage of
objects can do.

Shards and their descriptions are put below `.build/data`; once all are there they are moved into
`data`, and the manifest comes last. An object appears whole or not at all, and every step can be
repeated. Nothing locks such a folder: two builds of one dataset put the same bytes there, and of
two different ones the later finds what is not its own, and stops.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from builder import card, examples
from builder import manifest as manifests
from builder.engines import Engine
from builder.errors import FolderError
from builder.layer_files import FOLDER as LAYERS
from builder.layer_files import LayerFile, LayerShard, is_name, write_layer_file
from builder.manifest import Manifest, read_manifest, write_manifest
from builder.places import files_below, reaching
from builder.plan import Shard
from builder.recipe import Recipe
from builder.shards import DESCRIPTION, ShardFile, Work, finished_shard, shard_fingerprint
from builder.sources.layer import Layer
from builder.staging import DATA, STAGING, made_by, stranger

if TYPE_CHECKING:
    from upath import UPath

# Storages answer slowly and many at a time.
_AT_ONCE = 16


@contextmanager
def open_remote_staging(output: UPath, *, progress: bool) -> Iterator[RemoteStaging]:
    """Finish what an interrupted build had only to put in place.

    Raises:
        FolderError: something else is there.
        StorageError: the URL cannot be reached.
    """
    staging = RemoteStaging(output, progress=progress)
    staging.refuse_other_files()
    with reaching(output):
        staging.finish_installing()
    yield staging


class RemoteStaging:
    """Shards on their way into a folder of another storage; see `builder.staging.Staging`."""

    def __init__(self, output: UPath, *, progress: bool) -> None:
        self.output = output
        self._progress = progress
        self._data = output / DATA
        self._area = output / STAGING
        self._staged = self._area / DATA
        self._layers = output / LAYERS
        self._staged_layers = self._area / LAYERS

    def refuse_other_files(self) -> None:
        """Refuse a folder that holds no dataset of this tool, but other files.

        Raises:
            FolderError: it does.
        """
        tops = {name.split("/")[0] for name in files_below(self.output)}
        if tops and not tops & {manifests.FILE_NAME, STAGING}:
            raise FolderError(
                f"{self.output}: holds other files and no dataset built by this tool. "
                "Choose another --output, or an empty folder."
            )

    def finished(self, shards: Sequence[Shard], recipe: Recipe, seed: int) -> list[ShardFile]:
        """Return the shards that an earlier build finished, in place or staged.

        Raises:
            FolderError: one was built from something else.
        """
        in_place, staged = self._shards_in(self._data), self._shards_in(self._staged)
        names = {shard.file_name for shard in shards}
        for name in sorted({*in_place, *staged} - names):
            raise stranger(self.output / DATA / name)
        kept = self._in_place(shards, in_place, recipe, seed) if in_place else []
        placed = {file.name for file in kept}
        rest = [s for s in shards if s.file_name in staged and s.file_name not in placed]
        return kept + self._finished_among(rest, recipe, seed)

    def finished_anew(self, shards: Sequence[Shard], recipe: Recipe, seed: int) -> list[ShardFile]:
        """Return the shards that are staged already; what else is staged will be replaced."""
        planned = {shard.file_name: shard for shard in shards}
        files = []
        for name in self._shards_in(self._staged):
            try:
                files += self._finished_among(
                    [planned[name]] if name in planned else [], recipe, seed
                )
            except FolderError:
                continue
        own = {file.name for file in files}
        with reaching(self._staged):
            for name in files_below(self._staged):
                if name.removesuffix(DESCRIPTION) not in own:
                    (self._staged / name).unlink()
        return files

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
        work = Work(tuple(shards), layers, recipe, seed, self._staged)
        return made_by(engine, work, progress=self._progress)

    def write_layers(
        self, planned: Sequence[LayerShard], published: Sequence[LayerFile] = ()
    ) -> list[LayerFile]:
        """Make the files of layers that are not in place yet, in the staging area.

        Args:
            planned: all of them.
            published: those that need not be here.
        """
        known = {(file.name, file.fingerprint): file for file in (*published, *self._kept_layers())}
        return [
            known.get((shard.name, shard.fingerprint)) or self._put_layers(shard)
            for shard in planned
        ]

    def _kept_layers(self) -> list[LayerFile]:
        if not (self.output / manifests.FILE_NAME).exists():
            return []
        sizes = self._shards_in(self._layers)
        files = read_manifest(self.output).layer_files
        return [file for file in files if sizes.get(file.name) == file.bytes]

    def _put_layers(self, shard: LayerShard) -> LayerFile:
        with tempfile.TemporaryDirectory() as folder, reaching(self._staged_layers):
            file = write_layer_file(shard, Path(folder))
            target = self._staged_layers / file.name
            target.fs.put_file(str(Path(folder) / file.name), target.path)
        return file

    def install(self, manifest: Manifest) -> None:
        """Make the folder hold what the manifest says, from the shards in place and staged.

        Raises:
            StorageError: the URL cannot be reached; the next command goes on from there.
        """
        with reaching(self.output):
            if self._is_complete(manifest):
                return
            write_manifest(manifest, self._area)
            self.finish_installing()

    def finish_installing(self) -> None:
        """Put what is staged in place, if it is all there; every step can be repeated."""
        if not (self._area / manifests.FILE_NAME).exists():
            return
        manifest = read_manifest(self._area)
        (self.output / manifests.FILE_NAME).unlink(missing_ok=True)
        planned = {file.name for file in manifest.shards}
        for name in self._shards_in(self._data):
            if name not in planned:
                (self._data / name).unlink()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self._put_in_place, self._shards_in(self._staged)))
            list(pool.map(self._put_layers_in_place, self._shards_in(self._staged_layers)))
        kept = {file.name for file in manifest.layer_files}
        for name in self._shards_in(self._layers):
            if name not in kept and is_name(name):
                (self._layers / name).unlink()
        examples.write_examples(self.output)
        card.write_card(manifest, self.output)
        write_manifest(manifest, self.output)
        self._area.fs.rm(self._area.path, recursive=True)

    def _put_in_place(self, name: str) -> None:
        source, target = self._staged / name, self._data / name
        target.fs.mv(source.path, target.path)

    def _put_layers_in_place(self, name: str) -> None:
        source, target = self._staged_layers / name, self._layers / name
        target.fs.mv(source.path, target.path)

    def _shards_in(self, folder: UPath) -> dict[str, int]:
        """Return the sizes of the shards there, in bytes, by name."""
        found = files_below(folder)
        return {name: info["size"] for name, info in found.items() if name.endswith(".parquet")}

    def _in_place(
        self, shards: Sequence[Shard], sizes: Mapping[str, int], recipe: Recipe, seed: int
    ) -> list[ShardFile]:
        """Return the shards of a finished dataset, by what its manifest says of them."""
        known = {file.name: file for file in read_manifest(self.output).shards}
        kept = []
        for shard in shards:
            file = known.get(shard.file_name)
            if file is None or sizes.get(file.name) != file.bytes:
                continue
            if file.fingerprint != shard_fingerprint(shard, recipe, seed):
                raise stranger(self._data / file.name)
            kept.append(file)
        return kept

    def _finished_among(
        self, shards: Sequence[Shard], recipe: Recipe, seed: int
    ) -> list[ShardFile]:
        def finished(shard: Shard) -> ShardFile | None:
            return finished_shard(self._staged / shard.file_name, shard, recipe, seed)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return [file for file in pool.map(finished, shards) if file]

    def _is_complete(self, manifest: Manifest) -> bool:
        if files_below(self._area):
            return False
        present = files_below(self.output)
        if not {card.FILE_NAME, examples.FILE_NAME, manifests.FILE_NAME} <= present.keys():
            return False
        return read_manifest(self.output) == manifest
