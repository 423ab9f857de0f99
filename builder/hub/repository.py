"""One dataset repository on the Hub, through `huggingface_hub`; every call is patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import CommitOperationAdd, HfApi, RepoFile
from huggingface_hub.errors import (
    HFValidationError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import disable_progress_bars, get_session, validate_repo_id

from builder.errors import HubError
from builder.hub.compare import RemoteFile
from builder.hub.faults import ATTEMPTS, clean, patiently, status_of

Result = TypeVar("Result")
TYPE = "dataset"
DEFAULT_BRANCH = "main"
PULL_REQUESTS = "refs/pr/"
# Without one the client waits for ever; a commit of many files may take the Hub a minute.
TIMEOUT = 120.0
# The Xet client itself is patient with a storage that fails, for four minutes each time.
_UPLOAD_ATTEMPTS = 3


@dataclass(frozen=True)
class RemoteState:
    """What a branch holds: the commit it is at and its files by path; None before it exists."""

    commit: str | None
    files: dict[str, RemoteFile]


@dataclass(frozen=True)
class PullRequest:
    """An open pull request of the user, and what it holds."""

    number: int
    revision: str
    state: RemoteState


class Repository:
    """A dataset repository, named once.

    Args:
        repo_id: `namespace/name`, or a name alone in the user's own namespace.
        token: None for the one that `hf auth login` or HF_TOKEN left.
        tell: is given a line whenever there is something to wait for.

    Raises:
        HubError: the name is not allowed, or there is no valid token.
    """

    def __init__(self, repo_id: str, *, token: str | None, tell: Callable[[str], None]) -> None:
        try:
            validate_repo_id(repo_id)
        except HFValidationError as error:
            raise HubError(
                f"{clean(repo_id)}: no name of a repository ({clean(str(error))}). "
                "Use NAMESPACE/NAME, of letters, digits, and single - _ . between them."
            ) from error
        if get_session().timeout.read is None:
            get_session().timeout = TIMEOUT
        self.tell = tell
        self._api = HfApi(token=token)
        self.token = token
        self.repo_id = repo_id

    @property
    def url(self) -> str:
        """The address of the repository's page."""
        return f"{self._api.endpoint}/datasets/{self.repo_id}"

    def log_in(self) -> str:
        """Return the user's name, and complete the repository's with it.

        Raises:
            HubError: there is no token, or the Hub does not know it.
        """
        who = self._do(self._api.whoami, "log in to the Hub")
        name = str(who["name"])
        if "/" not in self.repo_id:
            self.repo_id = f"{name}/{self.repo_id}"
        return name

    def state(self, revision: str) -> RemoteState:
        """Return what a branch, tag or commit holds.

        Raises:
            HubError: the Hub cannot be reached, or may not be asked.
        """

        def read() -> RemoteState:
            try:
                info = self._api.repo_info(self.repo_id, repo_type=TYPE, revision=revision)
            except (RepositoryNotFoundError, RevisionNotFoundError):
                return RemoteState(None, {})
            items = self._api.list_repo_tree(
                self.repo_id, recursive=True, revision=info.sha, repo_type=TYPE
            )
            files = [_remote_file(item) for item in items if isinstance(item, RepoFile)]
            return RemoteState(info.sha, {file.path: file for file in files})

        return self._do(read, f"list the files of {self.repo_id}")

    def exists(self) -> bool:
        """Tell whether there is such a repository that the token may see."""
        return self._do(
            lambda: self._api.repo_exists(self.repo_id, repo_type=TYPE), f"look for {self.repo_id}"
        )

    def create(self, *, private: bool) -> None:
        """Create the repository if there is none."""
        self._do(
            lambda: self._api.create_repo(
                self.repo_id, repo_type=TYPE, private=private or None, exist_ok=True
            ),
            f"create the dataset {self.repo_id}",
        )

    def create_branch(self, branch: str) -> None:
        """Create a branch at the head of the default one."""
        self._do(
            lambda: self._api.create_branch(
                self.repo_id, branch=branch, repo_type=TYPE, exist_ok=True
            ),
            f"create the branch {branch} of {self.repo_id}",
        )

    def read(self, path: str, revision: str) -> str | None:
        """Return a text file at a commit; None if there is none.

        Raises:
            HubError: it cannot be read, or is no UTF-8 text.
        """

        def fetch() -> bytes | None:
            try:
                with disable_progress_bars():
                    place = self._api.hf_hub_download(
                        self.repo_id, path, repo_type=TYPE, revision=revision
                    )
            except RemoteEntryNotFoundError:
                # Not its base class, which also means that nobody could be asked.
                return None
            return Path(place).read_bytes()

        content = self._do(fetch, f"read {path} of {self.repo_id}")
        try:
            # Newlines are kept as they are: they count when texts are compared.
            return None if content is None else content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise HubError(
                f"{path} of {self.repo_id}: is no UTF-8 text. Correct it there first."
            ) from error

    def fetch(self, path: str, revision: str, folder: Path) -> Path:
        """Bring a file of a commit into a folder, past every cache, and return its path there.

        Raises:
            HubError: it is not there, or cannot be had.
        """

        def download() -> Path:
            with disable_progress_bars():
                place = self._api.hf_hub_download(
                    self.repo_id, path, repo_type=TYPE, revision=revision, local_dir=folder
                )
            return Path(place)

        return self._do(download, f"read {path} of {self.repo_id}")

    def upload(self, operation: CommitOperationAdd, revision: str, *, create_pr: bool) -> None:
        """Send the content of a file, unless the Hub has it, without any commit."""
        self._do(
            lambda: self._api.preupload_lfs_files(
                self.repo_id,
                [operation],
                repo_type=TYPE,
                revision=revision,
                create_pr=create_pr or None,
                free_memory=False,
                gitignore_content="",
            ),
            f"send {operation.path_in_repo} to {self.repo_id}",
            attempts=_UPLOAD_ATTEMPTS,
        )

    def commit(
        self,
        operations: Sequence[Any],
        message: str,
        *,
        description: str,
        revision: str,
        parent: str,
        create_pr: bool,
    ) -> Any:
        """Commit once, without any patience: who calls it has to find out what an error meant."""
        return self._api.create_commit(
            self.repo_id,
            operations,
            commit_message=message,
            commit_description=description,
            repo_type=TYPE,
            revision=revision,
            parent_commit=parent,
            create_pr=create_pr,
        )

    def tags(self) -> dict[str, str]:
        """Return the commit that each tag names."""
        refs = self._do(
            lambda: self._api.list_repo_refs(self.repo_id, repo_type=TYPE),
            f"list the tags of {self.repo_id}",
        )
        return {ref.name: ref.target_commit for ref in refs.tags}

    def tag(self, name: str, commit: str) -> None:
        """Create a tag; one that is there and names the same commit is fine.

        Raises:
            HubError: the tag names another commit.
        """

        def create() -> None:
            try:
                self._api.create_tag(self.repo_id, tag=name, revision=commit, repo_type=TYPE)
            except Exception as error:
                if status_of(error) != 409:
                    raise

        self._do(create, f"tag {self.repo_id} as {name}")
        there = self.tags().get(name)
        if there != commit:
            raise HubError(
                f"The tag {name} of {self.repo_id} names another commit ({there}). Choose another "
                "--tag, or delete that one there."
            )

    def open_pull_requests(self, author: str) -> list[PullRequest]:
        """Return the user's open pull requests, oldest first."""
        found = self._do(
            lambda: list(
                self._api.get_repo_discussions(
                    self.repo_id,
                    repo_type=TYPE,
                    author=author,
                    discussion_type="pull_request",
                    discussion_status="open",
                )
            ),
            f"list the pull requests of {self.repo_id}",
        )
        return [
            PullRequest(one.num, str(one.git_reference), self.state(str(one.git_reference)))
            for one in sorted(found, key=lambda one: one.num)
        ]

    def base_of(self, request: PullRequest) -> str:
        """Return the branch that a pull request is for."""
        details = self._do(
            lambda: self._api.get_discussion_details(self.repo_id, request.number, repo_type=TYPE),
            f"read the pull request {request.number} of {self.repo_id}",
        )
        return str(details.target_branch).removeprefix("refs/heads/")

    def close(self, request: PullRequest, comment: str) -> None:
        """Close a pull request, saying why."""
        self._do(
            lambda: self._api.change_discussion_status(
                self.repo_id, request.number, "closed", comment=comment, repo_type=TYPE
            ),
            f"close the pull request {request.number} of {self.repo_id}",
        )

    def _do(self, action: Callable[[], Result], what: str, attempts: int = ATTEMPTS) -> Result:
        return patiently(action, what, tell=self.tell, attempts=attempts)


def _remote_file(item: RepoFile) -> RemoteFile:
    return RemoteFile(
        path=item.path,
        size=item.size,
        sha256=item.lfs.sha256 if item.lfs else None,
        blob_id=item.blob_id,
    )
