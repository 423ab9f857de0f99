"""Repositories as the Hub keeps them: commits that map every path to a blob, and names for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal

from .wire import RefusedError


@dataclass(frozen=True)
class Blob:
    """A file: its content has the git hash `oid`, or, with `sha256` set, its LFS pointer has."""

    size: int
    oid: str
    sha256: str | None = None


def git_hash(content: bytes) -> str:
    """The hash that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    """What git keeps in place of a large file."""
    lines = ("version https://git-lfs.github.com/spec/v1", f"oid sha256:{sha256}", f"size {size}")
    return "".join(f"{line}\n" for line in lines).encode()


def large_blob(sha256: str, size: int) -> Blob:
    """The blob of a large file."""
    return Blob(size, git_hash(lfs_pointer(sha256, size)), sha256)


@dataclass(frozen=True)
class Commit:
    """A commit, with all files of its tree."""

    oid: str
    parent: str | None
    files: Mapping[str, Blob]
    title: str
    description: str
    date: str


@dataclass
class PullRequest:
    """A pull request; its commits are on `refs/pr/{number}`."""

    number: int
    title: str
    description: str
    base: str
    date: str
    status: Literal["draft", "open", "closed"] = "open"


def now() -> str:
    """The time, as the Hub writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Repository:
    """A dataset repository.

    Attributes:
        refs: full names, as `refs/heads/main`, with the commit that each stands for.
        large: the sha256 of every large file that was uploaded to it.
    """

    id: str
    private: bool
    created: str = field(default_factory=now)
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    pull_requests: dict[int, PullRequest] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)

    def names(self, folder: str) -> dict[str, str]:
        """The refs below `refs/{folder}/`, without that prefix: "heads", "tags", "pr"."""
        prefix = f"refs/{folder}/"
        return {
            ref.removeprefix(prefix): oid
            for ref, oid in self.refs.items()
            if ref.startswith(prefix)
        }

    def resolve(self, revision: str) -> Commit:
        """The commit of a branch, a tag, a full ref or a hash of seven digits or more."""
        for ref in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if ref in self.refs:
                return self.commits[self.refs[ref]]
        if len(revision) >= 7:
            for oid, commit in self.commits.items():
                if oid.startswith(revision):
                    return commit
        raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def writable_ref(self, revision: str) -> str:
        """The ref of a branch or a pull request; nothing else can be committed to."""
        for ref in (f"refs/heads/{revision}", revision):
            if ref in self.refs and not ref.startswith("refs/tags/"):
                return ref
        raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def history(self, revision: str) -> Iterator[Commit]:
        """The commits up to a revision, newest first."""
        commit = self.resolve(revision)
        while True:
            yield commit
            if commit.parent is None:
                return
            commit = self.commits[commit.parent]

    def commit(
        self,
        ref: str,
        parent: Commit | None,
        files: Mapping[str, Blob],
        title: str,
        description: str = "",
    ) -> Commit:
        """Add a commit and move the ref to it."""
        parent_oid = None if parent is None else parent.oid
        date = now()
        # The count keeps two like commits within a millisecond apart.
        identity = [parent_oid, tree_hash(files, ""), title, date, len(self.commits)]
        oid = hashlib.sha1(json.dumps(identity).encode()).hexdigest()
        commit = Commit(oid, parent_oid, dict(files), title, description, date)
        self.commits[oid] = commit
        self.refs[ref] = oid
        return commit

    def open_pull_request(self, title: str, description: str, base: str) -> PullRequest:
        """Open one on a branch; its ref starts there, without a commit of its own."""
        number = len(self.pull_requests) + 1
        pull = PullRequest(number, title, description, base, now())
        self.pull_requests[number] = pull
        self.refs[f"refs/pr/{number}"] = self.resolve(base).oid
        return pull


def tree_hash(files: Mapping[str, Blob], folder: str) -> str:
    """A name for what a folder holds; not git's, which clients do not compute."""
    lines = (f"{path} {blob.oid}" for path, blob in files.items() if path.startswith(folder))
    return hashlib.sha1("\n".join(sorted(lines)).encode()).hexdigest()


def tree_paths(files: Mapping[str, Blob], folder: str, recursive: bool) -> list[str]:
    """What lies in a folder ("" is the root), files and folders alike, sorted."""
    prefix = f"{folder}/" if folder else ""
    found = set()
    for path in files:
        if path.startswith(prefix):
            parts = path.removeprefix(prefix).split("/")
            depth = len(parts) if recursive else 1
            found |= {prefix + "/".join(parts[: end + 1]) for end in range(depth)}
    if not found and folder:
        raise RefusedError(404, f'{folder} does not exist on "main"', "EntryNotFound")
    return sorted(found)


def repository_from_json(state: dict[str, Any]) -> Repository:
    """The repository that `dataclasses.asdict` took apart."""
    commits = {
        oid: Commit(**{**commit, "files": {p: Blob(**b) for p, b in commit["files"].items()}})
        for oid, commit in state["commits"].items()
    }
    pulls = {int(n): PullRequest(**pull) for n, pull in state["pull_requests"].items()}
    known = {"commits": commits, "pull_requests": pulls, "large": set(state["large"])}
    return Repository(**{**state, **known})
