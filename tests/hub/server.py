"""The server: its state, its log and what tests do to both."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import api, discussions, large_files, xet
from .access import TOKEN
from .repository import (
    Blob,
    Commit,
    Repository,
    git_hash,
    large_blob,
    repository_from_json,
)
from .storage import Storage
from .wire import (
    Answer,
    Fault,
    Handler,
    Hook,
    Kind,
    Record,
    RefusedError,
    Request,
    Route,
    Routes,
    Server,
)

if TYPE_CHECKING:
    import pytest

Transport = Literal["lfs", "xet"]


class HubServer:
    """The Hub. Start it with `running()`; `url` is where it is.

    Attributes:
        home: the `HF_HOME` of those who use it.
        transport: "lfs" knows no Xet at all; "xet" takes files by Xet and still by LFS.
        requests: the log.
        faults: what goes wrong; the first that applies to a request is the one.
        errors: the server's own bugs; a test is worth nothing if there are any.
        page_size: entries of a page of a listing.
        regular_limit: what is larger, binary or listed in `.gitattributes` is a large file.
        part_size: large files above this size are sent over LFS in parts of this size.
    """

    def __init__(
        self, home: Path, *, transport: Transport = "xet", root: Path | None = None, port: int = 0
    ) -> None:
        self.home = home
        self.transport = transport
        self.storage = Storage(root)
        self.repositories = {
            name: repository_from_json(json.loads(state))
            for name, state in self.storage.repositories.items()
        }
        self.requests: list[Record] = []
        self.faults: list[Fault] = []
        self.hooks: list[Hook] = []
        self.errors: list[BaseException] = []
        self.page_size = 1000
        self.regular_limit = 10_000_000
        self.part_size = 5_000_000_000
        self.lock = threading.RLock()
        self.idle = threading.Condition(self.lock)
        self.pending = 0
        self.stopping = threading.Event()
        # In every signed address, and in that of the CAS: clients remember what a CAS holds.
        self.secret = secrets.token_hex(8)
        self.cas = xet.ContentStore(self.storage)
        self.parts: dict[tuple[str, int], bytes] = {}
        self.routes = Routes([*api.route, *discussions.route, *large_files.route, *xet.route])
        self._server = Server(("127.0.0.1", port), Handler)
        self._server.hub = self
        self.port: int = self._server.server_address[1]

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage_url(self) -> str:
        """Another host, as far as clients can tell: tokens must not travel there."""
        return f"http://localhost:{self.port}/storage/{self.secret}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that send a client here."""
        direct = "127.0.0.1,localhost"
        return {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(self.home),
            "HF_HUB_CACHE": str(self.home / "hub"),
            "HF_XET_CACHE": str(self.home / "xet"),
            "HF_DATASETS_CACHE": str(self.home / "datasets"),
            "HF_TOKEN_PATH": str(self.home / "token"),
            "HF_HUB_DISABLE_XET": str(int(self.transport == "lfs")),
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "0",
            "HF_DATASETS_OFFLINE": "0",
            "NO_PROXY": direct,
            "no_proxy": direct,
        }

    @contextlib.contextmanager
    def running(self) -> Iterator[HubServer]:
        """Serve in a thread."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def redirect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Send the huggingface_hub and datasets of this process here, though both are imported."""
        from .clients import redirect

        redirect(self, monkeypatch)

    def sent(self, kind: Kind | None = None) -> int:
        """How many bytes clients sent in bodies; of kind "upload", to the storage alone."""
        return sum(record.sent for record in self.records(kind))

    def received(self, kind: Kind | None = None) -> int:
        """How many bytes clients received in bodies."""
        return sum(record.received for record in self.records(kind))

    def records(self, kind: Kind | None = None) -> list[Record]:
        """The requests of a kind, in the order of their arrival; None is all."""
        return [record for record in self.requests if kind in (None, record.kind)]

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Serve a request; `settle` waits for its end."""
        with self.idle:
            self.pending += 1
        try:
            yield
        finally:
            with self.idle:
                self.pending -= 1
                self.idle.notify_all()

    def settle(self) -> None:
        """Wait for the end of requests whose clients may have left long ago."""
        with self.idle:
            assert self.idle.wait_for(lambda: not self.pending, timeout=60), self.requests

    def forget(self) -> None:
        """Empty the log."""
        self.requests.clear()

    def create(self, repo: str, private: bool = False) -> Repository:
        """Create a repository, in any namespace."""
        with self.lock:
            created = self.repositories[repo] = Repository(repo, private)
            blob = self.store(".gitattributes", api.GITATTRIBUTES, {}, created)
            files = {".gitattributes": blob}
            created.commit("refs/heads/main", None, files, "initial commit")
            self.save(created)
            return created

    def commit(
        self,
        repo: str,
        changes: Mapping[str, bytes | None],
        message: str = "Commit by somebody else",
        revision: str = "main",
    ) -> str:
        """Commit as a second writer; None deletes. Large files come to lie in LFS, without Xet."""
        with self.lock:
            repository = self.repositories[repo]
            parent = repository.resolve(revision)
            files = dict(parent.files)
            for path, content in changes.items():
                if content is None:
                    del files[path]
                else:
                    files[path] = self.store(path, content, files, repository)
            ref = repository.writable_ref(revision)
            commit = repository.commit(ref, parent, files, message)
            self.save(repository)
            return commit.oid

    def commits(self, repo: str, revision: str = "main") -> list[Commit]:
        """The commits up to a revision, newest first."""
        with self.lock:
            return list(self.repositories[repo].history(revision))

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        """All files of a revision."""
        with self.lock:
            files = self.repositories[repo].resolve(revision).files
            return {path: self.content(blob) for path, blob in files.items()}

    def before(
        self,
        method: str,
        pattern: str,
        action: Callable[[], object],
        *,
        skip: int = 0,
        times: int | None = 1,
    ) -> None:
        """Run code when such a request arrives, before its body is read."""
        self.hooks.append(Hook(method, pattern, action, skip=skip, times=times))

    def answer(self, request: Request, found: tuple[Route, dict[str, str]] | None) -> Answer:
        """Do what is asked."""
        try:
            if found is None:
                raise RefusedError(404, "Sorry, we can't find the page you are looking for.")
            route, arguments = found
            with self.lock:
                return route.function(self, request, **arguments)
        except RefusedError as refusal:
            return refusal.answer

    def store(
        self, path: str, content: bytes, files: Mapping[str, Blob], repository: Repository
    ) -> Blob:
        """Keep a file as the Hub would."""
        if not api.is_large(self, path, content[:512], len(content), files):
            oid = git_hash(content)
            self.storage.blobs[oid] = content
            return Blob(len(content), oid)
        sha256 = hashlib.sha256(content).hexdigest()
        self.storage.large[sha256] = content
        repository.large.add(sha256)
        return large_blob(sha256, len(content))

    def content(self, blob: Blob) -> bytes:
        """What a file holds, whichever way it came."""
        if blob.sha256 is None:
            return self.storage.blobs[blob.oid]
        return self.large_content(blob.sha256)

    def large_content(self, sha256: str) -> bytes:
        """What a large file holds."""
        if sha256 in self.storage.large:
            return self.storage.large[sha256]
        return self.cas.read(self.cas.by_sha256[sha256])

    def large_size(self, repository: Repository, sha256: str) -> int | None:
        """The size of a large file that a commit may point to; None if it was never uploaded."""
        if sha256 in self.cas.by_sha256:
            return self.cas.size(self.cas.by_sha256[sha256])
        return len(self.storage.large[sha256]) if sha256 in repository.large else None

    def save(self, repository: Repository) -> None:
        """Make a change outlive the server, where it has a folder."""
        if self.storage.root is None:
            return
        state = dataclasses.asdict(repository) | {"large": sorted(repository.large)}
        self.storage.repositories[repository.id] = json.dumps(state).encode()
