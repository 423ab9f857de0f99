"""Xet's binary formats: xorbs, which hold chunks of files, and shards, which say how files are made
of them. Both are described in the folder `spec` of the public repository huggingface/xet-core."""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast

import pyarrow

_ENTRY = 48
_BOOKEND = b"\xff" * 32 + bytes(16)
_WITH_VERIFICATION = 1 << 31
_WITH_METADATA = 1 << 30
_FOOTER = struct.Struct("<9Q32s2Q72sQ")
_WEEK = 7 * 24 * 3600
_LZ4, _GROUPED_LZ4 = 1, 2


def hash_text(raw: bytes) -> str:
    """A hash as addresses have it: four little-endian numbers."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", raw))


@dataclass(frozen=True)
class Chunk:
    """Where a chunk lies in its xorb, header and all, and how long its content is."""

    start: int
    end: int
    length: int


def chunks_of(xorb: bytes) -> list[Chunk]:
    """The chunks of a xorb, in order. What some clients append to them is left out."""
    chunks = []
    start = 0
    while start < len(xorb) and xorb[start] == 0:
        end = start + 8 + int.from_bytes(xorb[start + 1 : start + 4], "little")
        length = int.from_bytes(xorb[start + 5 : start + 8], "little")
        if end > len(xorb) or xorb[start + 4] > _GROUPED_LZ4:
            raise ValueError(f"No chunk at byte {start} of a xorb")
        chunks.append(Chunk(start, end, length))
        start = end
    return chunks


def content_of(xorb: bytes, chunk: Chunk) -> bytes:
    """What a chunk holds."""
    packed = memoryview(xorb)[chunk.start + 8 : chunk.end]
    scheme = xorb[chunk.start + 4]
    if scheme not in (_LZ4, _GROUPED_LZ4):
        return bytes(packed)
    data = pyarrow.decompress(packed, chunk.length, codec="lz4", asbytes=True)
    return cast(bytes, data) if scheme == _LZ4 else _ungrouped(data)


def _ungrouped(grouped: bytes) -> bytes:
    """Undo what puts first every first byte of four, then every second, and so on."""
    content = bytearray(len(grouped))
    start = 0
    for position in range(4):
        end = start + len(content[position::4])
        content[position::4] = grouped[start:end]
        start = end
    return bytes(content)


@dataclass(frozen=True)
class Term:
    """A piece of a file: the content of chunks `start` to `end`, that one excluded, of a xorb."""

    xorb: str
    start: int
    end: int
    length: int


@dataclass(frozen=True)
class XetFile:
    """A file of a shard; `sha256` is of its content."""

    id: str
    terms: Sequence[Term]
    sha256: str | None


@dataclass(frozen=True)
class ChunkList:
    """What a shard says of a xorb: the hashes of its chunks, and the bytes that say so."""

    xorb: str
    hashes: Sequence[str]
    raw: bytes


def read_shard(shard: bytes) -> tuple[list[XetFile], list[ChunkList]]:
    """The files of a shard, and the xorbs."""
    if struct.unpack_from("<Q", shard.ljust(_ENTRY, b"\0"), 32) != (2,):
        raise ValueError("No shard of version 2")
    last = len(shard) - _ENTRY
    entries = (shard[start : start + _ENTRY] for start in range(_ENTRY, last + 1, _ENTRY))
    return list(_files(entries)), list(_chunk_lists(entries))


def _until_bookend(entries: Iterator[bytes]) -> Iterator[bytes]:
    for entry in entries:
        if entry == _BOOKEND:
            return
        yield entry
    raise ValueError("A shard that ends too early")


def _files(entries: Iterator[bytes]) -> Iterator[XetFile]:
    for header in _until_bookend(entries):
        flags, count = struct.unpack_from("<II", header, 32)
        terms = []
        for entry in islice(entries, count):
            _, length, start, end = struct.unpack_from("<4I", entry, 32)
            terms.append(Term(hash_text(entry[:32]), start, end, length))
        # Hashes of the terms, which would need blake3 to be checked.
        deque(islice(entries, count if flags & _WITH_VERIFICATION else 0), maxlen=0)
        metadata = list(islice(entries, 1 if flags & _WITH_METADATA else 0))
        sha256 = hash_text(metadata[0][:32]) if metadata else None
        yield XetFile(hash_text(header[:32]), terms, sha256)


def _chunk_lists(entries: Iterator[bytes]) -> Iterator[ChunkList]:
    for header in _until_bookend(entries):
        (count,) = struct.unpack_from("<I", header, 36)
        listed = list(islice(entries, count))
        hashes = [hash_text(entry[:32]) for entry in listed]
        yield ChunkList(hash_text(header[:32]), hashes, header + b"".join(listed))


def write_shard(tag: bytes, chunk_lists: Sequence[ChunkList]) -> bytes:
    """A shard that knows xorbs but no files; `tag` is what every shard starts with."""
    header = tag + struct.pack("<QQ", 2, _FOOTER.size)
    body = header + _BOOKEND + b"".join(known.raw for known in chunk_lists) + _BOOKEND
    offsets = (len(header), len(header) + _ENTRY)
    created = int(time.time())
    no_key, times = bytes(32), (created, created + _WEEK)
    # The offsets and lengths of three tables for looking things up, which may be empty. Clients
    # take the first offset for the end of the list of xorbs.
    tables = (len(body), 0) * 3
    footer = (1, *offsets, *tables, no_key, *times, bytes(72), len(body))
    return body + _FOOTER.pack(*footer)
