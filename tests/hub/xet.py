"""Xet: the storage that keeps what files have in common once."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from . import access
from .storage import Storage
from .wire import Answer, RefusedError, Request, Routes, ranged, reply
from .xet_format import (
    Chunk,
    ChunkList,
    Term,
    XetFile,
    chunks_of,
    content_of,
    read_shard,
    write_shard,
)

if TYPE_CHECKING:
    from .server import HubServer

_REMEMBERED = 4
_TAG = 32


class ContentStore:
    """What lies in the storage.

    Attributes:
        by_sha256: the ids of its files by the sha256 of their contents.
    """

    def __init__(self, storage: Storage) -> None:
        self.by_sha256: dict[str, str] = {}
        self._xorbs, self._shards = storage.xorbs, storage.shards
        self._files: dict[str, XetFile] = {}
        self._chunks: dict[str, list[Chunk]] = {}
        self._lists: dict[str, ChunkList] = {}
        self._read: dict[str, bytes] = {}
        self._tag = b""
        for shard in self._shards.values():
            self._learn(shard)

    def add_xorb(self, name: str, xorb: bytes) -> bool:
        """Keep a xorb; False if it was there. That its name is its hash is taken on trust."""
        if name in self._xorbs:
            return False
        chunks_of(xorb)
        self._xorbs[name] = xorb
        return True

    def add_shard(self, shard: bytes) -> None:
        """Keep files, if their contents are what they are said to be."""
        files, lists = read_shard(shard)
        for known in lists:
            if known.xorb not in self._xorbs:
                raise ValueError(f"Xorb {known.xorb} was never sent")
        for file in files:
            content = self._assemble(file)
            if file.sha256 != hashlib.sha256(content).hexdigest():
                raise ValueError(f"File {file.id} has another sha256")
        self._shards[hashlib.sha256(shard).hexdigest()] = shard
        self._learn(shard)

    def _learn(self, shard: bytes) -> None:
        files, lists = read_shard(shard)
        self._tag = shard[:_TAG]
        for file in files:
            self._files[file.id] = file
            if file.sha256 is not None:
                self.by_sha256[file.sha256] = file.id
        for known in lists:
            for name in known.hashes:
                self._lists[name] = known

    def chunks(self, xorb: str) -> list[Chunk]:
        """The chunks of a xorb."""
        if xorb not in self._chunks:
            self._chunks[xorb] = chunks_of(self._xorbs[xorb])
        return self._chunks[xorb]

    def _assemble(self, file: XetFile) -> bytes:
        pieces = []
        for term in file.terms:
            xorb, chunks = self._xorbs[term.xorb], self.chunks(term.xorb)[term.start : term.end]
            if sum(chunk.length for chunk in chunks) != term.length:
                raise ValueError(f"A term of file {file.id} has another length")
            pieces += [content_of(xorb, chunk) for chunk in chunks]
        return b"".join(pieces)

    def file(self, name: str) -> XetFile:
        """A file by its id."""
        if name not in self._files:
            raise RefusedError(404, f"No file {name}")
        return self._files[name]

    def size(self, name: str) -> int:
        """The length of a file."""
        return sum(term.length for term in self.file(name).terms)

    def read(self, name: str) -> bytes:
        """What a file holds; the last few are remembered, as they are often read in pieces."""
        if name not in self._read:
            while len(self._read) >= _REMEMBERED:
                del self._read[next(iter(self._read))]
            self._read[name] = self._assemble(self.file(name))
        return self._read[name]

    def cut(self, name: str, first: int, last: int) -> tuple[int, list[Term]]:
        """The chunks of a file that hold its bytes from `first` to `last`, and how many bytes of
        them come before."""
        terms = []
        before = position = 0
        for term in self.file(name).terms:
            chunks = self.chunks(term.xorb)
            wanted = []
            for index in range(term.start, term.end):
                start, position = position, position + chunks[index].length
                if start <= last and position > first:
                    before = max(before, first - start)
                    wanted.append(index)
            if wanted:
                length = sum(chunks[index].length for index in wanted)
                terms.append(Term(term.xorb, wanted[0], wanted[-1] + 1, length))
        return before, terms

    def xorb(self, name: str) -> bytes:
        """A xorb."""
        if name not in self._xorbs:
            raise RefusedError(404, f"No xorb {name}")
        return self._xorbs[name]

    def shard_with(self, chunk: str) -> bytes:
        """A shard that says which xorb holds a chunk."""
        if chunk not in self._lists:
            raise RefusedError(404, f"No chunk {chunk}")
        return write_shard(self._tag, [self._lists[chunk]])


route = Routes()
_CAS = "/cas/{secret}"


@route("GET", "/api/datasets/{repo}/xet-{scope}-token/{revision}")
def connect(hub: HubServer, request: Request, repo: str, scope: str, revision: str) -> Answer:
    """Hand out a token of the storage."""
    if hub.transport != "xet" or scope not in ("read", "write"):
        raise RefusedError(404, "Xet is not enabled on this repository")
    right = "read" if scope == "read" else access.right_to(request, revision)
    access.repository(hub, request, repo, right)
    address, token = f"{hub.url}/cas/{hub.secret}", f"{scope}-token"
    expiry = int(time.time()) + 3600
    headers = {"X-Xet-Cas-Url": address, "X-Xet-Access-Token": token}
    headers["X-Xet-Token-Expiration"] = str(expiry)
    return reply({"casUrl": address, "accessToken": token, "exp": expiry}, headers=headers)


def _admit(hub: HubServer, request: Request, secret: str, *tokens: str) -> None:
    if secret != hub.secret or request.token not in ("read-token", "write-token"):
        raise RefusedError(401, "No token of this storage")
    if request.token not in tokens:
        raise RefusedError(403, "Not a token for writing")


@route("POST", _CAS + "/v1/xorbs/default/{name}", kind="upload")
def add_xorb(hub: HubServer, request: Request, secret: str, name: str) -> Answer:
    _admit(hub, request, secret, "write-token")
    try:
        return reply({"was_inserted": hub.cas.add_xorb(name, request.body)})
    except ValueError as error:
        raise RefusedError(400, str(error)) from error


@route("POST", _CAS + "/{version}/shards", kind="upload")
def add_shard(hub: HubServer, request: Request, secret: str, version: str) -> Answer:
    _admit(hub, request, secret, "write-token")
    try:
        hub.cas.add_shard(request.body)
    except (KeyError, ValueError) as error:
        raise RefusedError(400, str(error)) from error
    # The second version reports its progress, a line each, and this at the end.
    return reply({"type": "result"} if version == "v2" else {"result": 1})


@route("POST", _CAS + "/v1/xorb-grants/{path}")
@route("GET", _CAS + "/v2/reconstructions/{path}")
def decline(hub: HubServer, request: Request, secret: str, path: str) -> Answer:
    """What clients try first, and do without."""
    raise RefusedError(404, "Not offered")


@route("GET", _CAS + "/v1/chunks/{prefix}/{chunk}")
def find_chunk(hub: HubServer, request: Request, secret: str, prefix: str, chunk: str) -> Answer:
    """Who uploads asks for some of the chunks whether another file has them."""
    _admit(hub, request, secret, "read-token", "write-token")
    return Answer(body=hub.cas.shard_with(chunk))


@route("GET", _CAS + "/v1/reconstructions/{name}")
def reconstruct(hub: HubServer, request: Request, secret: str, name: str) -> Answer:
    """Say which chunks make up a file, or a range of it, and where they are."""
    _admit(hub, request, secret, "read-token", "write-token")
    first, last = 0, hub.cas.size(name) - 1
    asked = request.headers.get("Range")
    if asked is not None:
        start, _, end = asked.removeprefix("bytes=").partition("-")
        first, last = int(start), min(last, int(end) if end else last)
    if first > last:
        raise RefusedError(416, "The file ends before that")
    before, terms = hub.cas.cut(name, first, last)
    listed = []
    places: dict[str, list[object]] = {}
    for term in terms:
        chunks = hub.cas.chunks(term.xorb)[term.start : term.end]
        span = {"start": term.start, "end": term.end}
        listed.append({"hash": term.xorb, "unpacked_length": term.length, "range": span})
        bounds = {"start": chunks[0].start, "end": chunks[-1].end - 1}
        address = f"{hub.storage_url}/xorb/{term.xorb}"
        place = {"range": span, "url": address, "url_range": bounds}
        places.setdefault(term.xorb, []).append(place)
    known = {"offset_into_first_range": before, "terms": listed, "fetch_info": places}
    return reply(known)


@route("GET", "/storage/{secret}/xorb/{name}", kind="download")
def fetch_xorb(hub: HubServer, request: Request, secret: str, name: str) -> Answer:
    if secret != hub.secret or request.headers.get("Range") is None:
        raise RefusedError(403, "Access denied by the storage")
    return ranged(request, hub.cas.xorb(name), {"Content-Type": "application/octet-stream"})
