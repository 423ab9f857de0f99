"""The Hub: compare, upload, commit, tag, verify."""

from __future__ import annotations

from builder import manifest as manifests
from builder.errors import FolderError, HubError
from builder.hub.place import open_place
from builder.hub.plan import PublishPlan
from builder.hub.publish import PublishResult, publish
from builder.hub.repository import DEFAULT_BRANCH, Repository
from builder.manifest import Manifest, parse_manifest

__all__ = ["PublishPlan", "PublishResult", "open_place", "publish", "read_published_manifest"]


def read_published_manifest(
    repo_id: str, *, branch: str = DEFAULT_BRANCH, token: str | None = None
) -> Manifest:
    """Return the manifest of a dataset that is on the Hub.

    Raises:
        HubError: there is none, or it cannot be read.
    """
    repository = Repository(repo_id, token=token, tell=lambda _: None)
    if "/" not in repo_id:
        repository.log_in()
    state = repository.state(branch)
    if state.commit is None or manifests.FILE_NAME not in state.files:
        raise HubError(
            f"{repo_id}: the Hub holds no dataset of this tool under that name, or the token may "
            "not see it. Check the name, and `hf auth whoami`."
        )
    text = repository.read(manifests.FILE_NAME, state.commit)
    assert text is not None
    try:
        return parse_manifest(text, f"{manifests.FILE_NAME} of {repo_id}")
    except FolderError as error:
        raise HubError(str(error)) from error
