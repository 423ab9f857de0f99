"""Layers in tables of `datasets`: a `Dataset`, or an `IterableDataset` that is read once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from builder.errors import SourceError
from builder.sources.archives import TarMember
from builder.sources.layer import MAX_PICTURE_BYTES, Candidate, Role, printable


@dataclass(frozen=True)
class TableRow:
    """The picture in a row of a `datasets.Dataset` whose pictures are not decoded."""

    table: Any
    column: str
    row: int

    def read(self) -> bytes:
        """Return the encoded picture; raises `SourceError` where there is none."""
        return _encoded(self.table[self.row][self.column])


class Spool:
    """What streams gave, in a file that is gone with this object: a stream has no random access.

    Other processes read it by its name; a copy of this object there is empty.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None

    def __reduce__(self) -> tuple[type[Spool], tuple[()]]:
        return Spool, ()

    def add(self, data: bytes) -> TarMember:
        """Keep some bytes, and return where they are."""
        if self._file is None:
            self._file = tempfile.NamedTemporaryFile(prefix="human-segmentation-")  # noqa: SIM115
        offset = self._file.tell()
        self._file.write(data)
        self._file.flush()
        return TarMember(Path(self._file.name), offset, len(data))


def table_candidates(table: Any, role: Role, spool: Spool) -> Iterator[Candidate]:
    """Yield a candidate for each row of a table.

    A picture's name is what the column `name` says, else its number.

    Args:
        table: a `datasets.Dataset`, or a `datasets.IterableDataset` with an end.
        role: of all pictures.
        spool: where the pictures of a stream are kept.

    Raises:
        SourceError: no column holds pictures, or a row of a stream cannot be read.
    """
    import datasets

    if isinstance(table, datasets.DatasetDict | datasets.IterableDatasetDict):
        raise SourceError(
            f"A table of {role}s has splits ({', '.join(map(str, table))}): take one of them, as "
            "in load_dataset(..., split='train')."
        )
    column = _picture_column(table.features, role)
    encoded = table.cast_column(column, datasets.Image(decode=False))
    if isinstance(table, datasets.IterableDataset):
        for number, row in enumerate(encoded):
            content = spool.add(_encoded(row[column]))
            yield Candidate(role, _name(row.get("name"), number), content)
        return
    names: Iterable[Any] = table["name"] if "name" in table.features else [None] * len(table)
    for number, name in enumerate(names):
        yield Candidate(role, _name(name, number), TableRow(encoded, column, number))


def _picture_column(features: Any, role: Role) -> str:
    import datasets

    found = [n for n, kind in (features or {}).items() if isinstance(kind, datasets.Image)]
    if "image" in found or len(found) == 1:
        return "image" if "image" in found else str(found[0])
    raise SourceError(
        f"A table of {role}s has {len(found)} columns of pictures ({', '.join(found) or 'none'}): "
        "name one of them `image`, or leave it alone with select_columns."
    )


def _name(name: Any, number: int) -> str:
    return printable(name) if isinstance(name, str) and name else f"{number:06d}"


def _encoded(cell: Any) -> bytes:
    """Return the bytes of an undecoded picture, which may be in a file."""
    data, path = (cell or {}).get("bytes"), (cell or {}).get("path")
    if data is None and path:
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise SourceError(f"cannot be read ({error.strerror})") from error
    if data is None:
        raise SourceError("a row without a picture")
    if len(data) > MAX_PICTURE_BYTES:
        raise SourceError(f"over {MAX_PICTURE_BYTES // 1024**2} MiB")
    return bytes(data)
