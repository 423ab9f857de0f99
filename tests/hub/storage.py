"""Where contents lie: in memory, or as files of a folder."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, MutableMapping
from pathlib import Path


class Folder(MutableMapping[str, bytes]):
    """A folder that reads as a dictionary of its files."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path

    def __getitem__(self, key: str) -> bytes:
        try:
            return (self._path / _file_name(key)).read_bytes()
        except FileNotFoundError:
            raise KeyError(key) from None

    def __setitem__(self, key: str, content: bytes) -> None:
        target = self._path / _file_name(key)
        # Whoever stops the server half way leaves no half file.
        half = target.with_name(target.name + ".half")
        half.write_bytes(content)
        half.replace(target)

    def __delitem__(self, key: str) -> None:
        (self._path / _file_name(key)).unlink()

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and (self._path / _file_name(key)).exists()

    def __iter__(self) -> Iterator[str]:
        for path in sorted(self._path.iterdir()):
            if path.suffix != ".half":
                yield urllib.parse.unquote(path.name)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _file_name(key: str) -> str:
    return urllib.parse.quote(key, safe="")


class Storage:
    """What the server keeps, by kind; an empty one for every kind without a folder."""

    def __init__(self, root: Path | None) -> None:
        self.root = root

        def store(kind: str) -> MutableMapping[str, bytes]:
            return {} if root is None else Folder(root / kind)

        self.blobs = store("blobs")
        self.large = store("large")
        self.xorbs = store("xorbs")
        self.shards = store("shards")
        self.repositories = store("repositories")
