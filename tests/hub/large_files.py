"""Large files over LFS, and files of every kind on their way down."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING
from urllib.parse import quote

from . import access
from .wire import Answer, RefusedError, Request, Routes, ranged, reply

if TYPE_CHECKING:
    from .server import HubServer

route = Routes()

_LFS = "/datasets/{repo}.git/info/lfs"
_STORAGE = "/storage/{secret}"


@route("POST", _LFS + "/objects/batch")
def batch(hub: HubServer, request: Request, repo: str) -> Answer:
    """Say where to send what is not stored yet."""
    asked = request.json()
    revision = asked.get("ref", {}).get("name")
    right = access.right_to(request, "refs/pr/" if revision is None else revision)
    repository = access.repository(hub, request, repo, right)
    offered = asked.get("transfers", ["basic"])
    transfer = "basic"
    if "multipart" in offered and any(o["size"] > hub.part_size for o in asked["objects"]):
        transfer = "multipart"
    if "xet" in offered and hub.transport == "xet":
        transfer = "xet"

    def instructed(oid: str, size: int) -> dict[str, object]:
        known: dict[str, object] = {"oid": oid, "size": size}
        if hub.large_size(repository, oid) == size:
            return known
        upload: dict[str, object] = {"href": f"{hub.storage_url}/upload/{repo}/{oid}"}
        if transfer == "multipart" and size > hub.part_size:
            parts = range(1, math.ceil(size / hub.part_size) + 1)
            header = {f"{part:05d}": f"{upload['href']}/{part}" for part in parts}
            upload = {
                "href": f"{hub.url}/complete/{repo}/{oid}",
                "header": {"chunk_size": str(hub.part_size), **header},
            }
        verify = {"href": f"{hub.url}/datasets/{repo}.git/info/lfs/verify"}
        return {**known, "actions": {"upload": upload, "verify": verify}}

    objects = [instructed(wanted["oid"], wanted["size"]) for wanted in asked["objects"]]
    content_type = {"Content-Type": "application/vnd.git-lfs+json"}
    return reply({"transfer": transfer, "objects": objects}, headers=content_type)


@route("POST", _LFS + "/verify")
def verify(hub: HubServer, request: Request, repo: str) -> Answer:
    repository = access.repository(hub, request, repo, "contribute")
    asked = request.json()
    if hub.large_size(repository, asked["oid"]) != asked["size"]:
        raise RefusedError(422, "The size of the uploaded object is not the expected one")
    return reply({})


def _signed(hub: HubServer, request: Request, secret: str) -> None:
    """Turn away whoever guessed the address, or sends a token to where none belongs."""
    if secret != hub.secret or request.token is not None:
        raise RefusedError(403 if request.token is None else 400, "Access denied by the storage")


def _keep(hub: HubServer, repo: str, oid: str, content: bytes) -> None:
    if hashlib.sha256(content).hexdigest() != oid:
        raise RefusedError(400, "The content does not have the announced hash")
    hub.storage.large[oid] = content
    hub.repositories[repo].large.add(oid)


@route("PUT", _STORAGE + "/upload/{repo}/{oid}", kind="upload")
def upload(hub: HubServer, request: Request, secret: str, repo: str, oid: str) -> Answer:
    _signed(hub, request, secret)
    _keep(hub, repo, oid, request.body)
    return Answer()


@route("PUT", _STORAGE + "/upload/{repo}/{oid}/{part}", kind="upload")
def upload_part(
    hub: HubServer, request: Request, secret: str, repo: str, oid: str, part: str
) -> Answer:
    _signed(hub, request, secret)
    hub.parts[oid, int(part)] = request.body
    return Answer(headers={"ETag": f'"{hashlib.md5(request.body).hexdigest()}"'})


@route("POST", "/complete/{repo}/{oid}")
def complete(hub: HubServer, request: Request, repo: str, oid: str) -> Answer:
    """Put the parts together."""
    pieces = []
    for part in request.json()["parts"]:
        piece = hub.parts.get((oid, part["partNumber"]), b"")
        if part["etag"] != f'"{hashlib.md5(piece).hexdigest()}"':
            raise RefusedError(400, "A part is missing or has another hash")
        pieces.append(piece)
    _keep(hub, repo, oid, b"".join(pieces))
    for number in range(1, len(pieces) + 1):
        del hub.parts[oid, number]
    return reply({})


@route("GET", "/datasets/{repo}/resolve/{revision}/{path}", kind="download")
def resolve(hub: HubServer, request: Request, repo: str, revision: str, path: str) -> Answer:
    """A file of a repository: itself if it is small, else where the storage has it."""
    commit = access.repository(hub, request, repo).resolve(revision)
    headers = {"X-Repo-Commit": commit.oid}
    blob = commit.files.get(path)
    if blob is None:
        refusal = RefusedError(404, "Entry not found", "EntryNotFound")
        refusal.answer.headers |= headers
        raise refusal
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(path.rpartition('/')[2])}"
    if blob.sha256 is None:
        headers |= {"ETag": f'"{blob.oid}"', "Content-Type": "text/plain; charset=utf-8"}
        return ranged(request, hub.content(blob), headers)
    headers["Location"] = f"{hub.storage_url}/{repo}/{blob.sha256}?size={blob.size}"
    headers |= {"X-Linked-Size": str(blob.size), "X-Linked-ETag": f'"{blob.sha256}"'}
    if blob.sha256 in hub.cas.by_sha256:
        token = f"{hub.url}/api/datasets/{repo}/xet-read-token/{commit.oid}"
        headers |= {"X-Xet-Hash": hub.cas.by_sha256[blob.sha256]}
        headers |= {"Link": f'<{token}>; rel="xet-auth"'}
    return Answer(302, b"", headers)


@route("GET", _STORAGE + "/{repo}/{oid}", kind="download")
def download(hub: HubServer, request: Request, secret: str, repo: str, oid: str) -> Answer:
    """A large file over plain HTTP, whichever way it came."""
    _signed(hub, request, secret)
    kind = {"ETag": f'"{oid}"', "Content-Type": "application/octet-stream"}
    return ranged(request, hub.large_content(oid), kind)
