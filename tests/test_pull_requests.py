"""One pull request for one build, whatever becomes of the answers."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import CommitOperationAdd

from builder.hub import faults as hub_faults
from builder.hub import repository as hub_repository
from tests.hub import Fault, HubServer
from tests.hub_case import Client, lfs_alone
from tests.publishing import REPO, add_humans, send


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails on purpose is not worth waiting for."""
    monkeypatch.setattr(hub_faults, "FIRST_WAIT", 0.01)


def test_a_lost_answer_opens_no_second_pull_request(hub: HubServer, desk: Path) -> None:
    send(desk)
    add_humans(desk, 50)
    hub.faults.append(Fault("POST", r"/commit/|/discussions$", hang_up="after"))
    send(desk, create_pr=True)
    assert "refs/pr/1" in hub.repositories[REPO].refs
    assert "refs/pr/2" not in hub.repositories[REPO].refs


def requests_of(hub: HubServer, status: str) -> list[int]:
    pulls = hub.repositories[REPO].pull_requests.values()
    return [pull.number for pull in pulls if pull.status == status]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def late(hub: HubServer, desk: Path, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """What is to be published; its pull request opens once this is set, given up long before."""
    send(desk)
    add_humans(desk, 50)
    monkeypatch.setattr(hub_repository, "TIMEOUT", 0.2)
    monkeypatch.setattr(huggingface_hub.utils.get_session(), "timeout", 0.5)
    go_on = threading.Event()
    hub.before("POST", r"/commit/", lambda: go_on.wait(30))
    return go_on


@lfs_alone
def test_a_pull_request_that_opens_after_the_time_out_is_waited_for(
    hub: HubServer, desk: Path, late: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_repository, "TIMEOUT", 20)
    hub.before("GET", r"/discussions\?", late.set, skip=2)
    result = send(desk, create_pr=True)
    assert result.url.endswith("/discussions/1")
    assert list(hub.repositories[REPO].pull_requests) == [1]
    assert len([record for record in hub.requests if record.kind == "commit"]) == 2


@lfs_alone
def test_a_pull_request_that_opens_while_it_is_asked_for_again_is_the_one_to_keep(
    hub: HubServer, desk: Path, late: threading.Event
) -> None:
    def overtake() -> None:
        late.set()
        until(lambda: requests_of(hub, "open") == [1])

    hub.before("POST", r"/commit/", overtake, skip=1)
    result = send(desk, create_pr=True)
    assert result.url.endswith("/discussions/1")
    assert (requests_of(hub, "open"), requests_of(hub, "closed")) == ([1], [2])


@lfs_alone
def test_a_pull_request_that_opens_when_all_is_done_is_closed_by_the_next_run(
    hub: HubServer, desk: Path, late: threading.Event
) -> None:
    assert send(desk, create_pr=True).url.endswith("/discussions/1")
    late.set()
    until(lambda: requests_of(hub, "open") == [1, 2])
    assert send(desk, create_pr=True).url.endswith("/discussions/1")
    assert (requests_of(hub, "open"), requests_of(hub, "closed")) == ([1], [2])
    assert hub.files(REPO, "refs/pr/1") == hub.files(REPO, "refs/pr/2")


@lfs_alone
def test_an_open_pull_request_gets_what_was_changed_in_the_card(hub: HubServer, desk: Path) -> None:
    send(desk)
    add_humans(desk, 50)
    first = send(desk, create_pr=True)
    card = desk / "folder" / "README.md"
    card.write_text(card.read_text() + "\n## Thanks\n\nTo all.\n")
    hub.forget()
    second = send(desk, create_pr=True)
    assert second.url == first.url
    assert requests_of(hub, "open") == [1]
    assert b"To all." in hub.files(REPO, "refs/pr/1")["README.md"]
    assert len(hub.commits(REPO, "refs/pr/1")) == len(hub.commits(REPO)) + 2
    assert hub.sent("upload") == 0


@lfs_alone
def test_an_open_pull_request_of_another_day_is_gone_on_with(hub: HubServer, desk: Path) -> None:
    send(desk)
    add_humans(desk, 50)
    first = send(desk, create_pr=True)
    card = hub.files(REPO, "refs/pr/1")["README.md"].decode()
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    assert f", {today}" in card
    older = card.replace(f", {today}", ", 2001-01-01").encode()
    hub.commit(REPO, {"README.md": older}, revision="refs/pr/1")
    assert send(desk, create_pr=True).url == first.url
    assert requests_of(hub, "open") == [1]


@lfs_alone
def test_pull_requests_for_other_branches_and_of_other_content_are_left_alone(
    hub: HubServer, desk: Path
) -> None:
    send(desk)
    card = hub.files(REPO)["README.md"]
    operations = [CommitOperationAdd("README.md", card + b"\nMy own words.\n")]
    Client().do(operations, create_pr=True)
    send(desk, branch="side")
    add_humans(desk, 50)
    assert send(desk, branch="side", create_pr=True).url.endswith("/discussions/2")
    assert send(desk, create_pr=True).url.endswith("/discussions/3")
    assert send(desk, branch="side", create_pr=True).url.endswith("/discussions/2")
    assert requests_of(hub, "open") == [1, 2, 3]
    assert len(hub.commits(REPO, "refs/pr/1")) == len(hub.commits(REPO)) + 1
