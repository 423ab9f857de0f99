"""Who may do what; the refusals are worded as the Hub words them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .repository import Repository
from .wire import RefusedError, Request

if TYPE_CHECKING:
    from .server import HubServer

TOKEN = "hf_loopbackmaywrite"
READ_TOKEN = "hf_loopbackmayread"
USER = "me"
ORGANISATION = "lab"

Right = Literal["read", "write", "contribute"]


def user(request: Request) -> str | None:
    """The name behind a token; None for the anonymous."""
    if request.token is None:
        return None
    if request.token not in (TOKEN, READ_TOKEN):
        raise RefusedError(401, "Invalid credentials in Authorization header")
    return USER


def writer(request: Request, code: str | None = None) -> str:
    """The name behind a token that may write; `code` is the refusal's for the anonymous."""
    name = user(request)
    if name is None:
        raise RefusedError(401, "Invalid username or password.", code)
    if request.token == READ_TOKEN:
        raise RefusedError(403, "Forbidden: you must use a write token to upload to a repository.")
    return name


def may_write(namespace: str) -> bool:
    """Whether a namespace belongs to the user."""
    return namespace in (USER, ORGANISATION)


def repository(hub: HubServer, request: Request, repo: str, right: Right = "read") -> Repository:
    """The repository, if the request may have it so; to contribute is to write to a pull request,
    which everyone with a token may."""
    name = user(request)
    found = hub.repositories.get(repo)
    own = may_write(repo.partition("/")[0])
    if found is None or (found.private and not (own and name)):
        if name is None:
            raise RefusedError(401, "Invalid username or password.", "RepoNotFound")
        raise RefusedError(404, "Repository not found", "RepoNotFound")
    if right != "read":
        writer(request, "RepoNotFound")
    if right == "write" and not own:
        message = "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request"
        raise RefusedError(403, message)
    return found


def right_to(request: Request, revision: str) -> Right:
    """What committing to a revision takes."""
    on_pull_request = request.flag("create_pr") or revision.startswith("refs/pr/")
    return "contribute" if on_pull_request else "write"
