"""Pull requests. Discussions without commits are not here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import access
from .repository import PullRequest, Repository
from .wire import Answer, RefusedError, Request, Routes, reply

if TYPE_CHECKING:
    from .server import HubServer

route = Routes()

_DISCUSSIONS = "/api/datasets/{repo}/discussions"


def _described(repository: Repository, pull: PullRequest) -> dict[str, object]:
    return {
        "num": pull.number,
        "title": pull.title,
        "author": {"name": access.USER},
        "createdAt": pull.date,
        "status": pull.status,
        "repo": {"name": repository.id, "type": "dataset"},
        "isPullRequest": True,
    }


def _found(repository: Repository, number: str) -> PullRequest:
    if not number.isdecimal() or int(number) not in repository.pull_requests:
        raise RefusedError(404, "Discussion not found")
    return repository.pull_requests[int(number)]


@route("GET", _DISCUSSIONS)
def list_discussions(hub: HubServer, request: Request, repo: str) -> Answer:
    repository = access.repository(hub, request, repo)
    wanted = {name: values[-1] for name, values in request.query.items()}
    found = [
        _described(repository, pull)
        for pull in repository.pull_requests.values()
        if wanted.get("type", "pull_request") in ("all", "pull_request")
        and wanted.get("author", access.USER) == access.USER
        and wanted.get("status", "all") in ("all", "closed" if pull.status == "closed" else "open")
    ]
    return reply({"discussions": found, "count": len(found), "start": 0})


@route("POST", _DISCUSSIONS)
def open_discussion(hub: HubServer, request: Request, repo: str) -> Answer:
    repository = access.repository(hub, request, repo, "contribute")
    asked = request.json()
    if not asked.get("pullRequest"):
        raise RefusedError(400, "Only pull requests are here")
    pull = repository.open_pull_request(asked["title"], asked.get("description", ""), "main")
    pull.status = "draft"
    hub.save(repository)
    return reply({"num": pull.number, "pullRequest": True, "repo": {"name": repo}})


@route("GET", _DISCUSSIONS + "/{number}")
def show_discussion(hub: HubServer, request: Request, repo: str, number: str) -> Answer:
    repository = access.repository(hub, request, repo)
    pull = _found(repository, number)
    comment = {
        "id": f"{number}-0",
        "type": "comment",
        "createdAt": pull.date,
        "author": {"name": access.USER},
        "data": {"edited": False, "hidden": False, "latest": {"raw": pull.description}},
    }
    changes = {"base": f"refs/heads/{pull.base}"}
    details = {"events": [comment], "changes": changes, "filesWithConflicts": [], "diff": ""}
    return reply({**_described(repository, pull), **details})


@route("POST", _DISCUSSIONS + "/{number}/status")
def change_status(hub: HubServer, request: Request, repo: str, number: str) -> Answer:
    repository = access.repository(hub, request, repo, "contribute")
    pull = _found(repository, number)
    pull.status = request.json()["status"]
    hub.save(repository)
    event = {
        "id": f"{number}-1",
        "type": "status-change",
        "createdAt": pull.date,
        "author": {"name": access.USER},
        "data": {"status": pull.status},
    }
    return reply({"newStatus": event})
