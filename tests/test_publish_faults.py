"""Publishing when the network, the Hub, the token or somebody else gets in the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import types
from pathlib import Path

import huggingface_hub.utils._http
import pytest

from builder.errors import HubError
from builder.hub import faults as hub_faults
from tests.building import PROGRAM, run
from tests.hub import READ_TOKEN, TOKEN, Fault, HubServer
from tests.hub_case import lfs_alone
from tests.publishing import (
    REPO,
    add_humans,
    assert_published,
    send,
    shards,
)

pytestmark = pytest.mark.usefixtures("impatient")

STEPS = {
    "whoami": ("GET", r"/whoami-v2"),
    "repo": ("GET", r"/api/datasets/me/pairs(/revision/|$)"),
    "create": ("POST", r"/repos/create"),
    "tree": ("GET", r"/tree/"),
    "preupload": ("POST", r"/preupload/"),
    "commit": ("POST", r"/commit/"),
    "refs": ("GET", r"/refs"),
    "tag": ("POST", r"/tag/"),
    "download": ("GET", r"/resolve/"),
}
SENDING = {
    "lfs": {"batch": ("POST", r"/info/lfs/objects/batch"), "put": ("PUT", r"/storage/")},
    "xet": {"token": ("GET", r"/xet-write-token/"), "xorb": ("POST", r"/xorbs/")},
}
FAULTS = {
    "503 twice": {"status": 503, "times": 2},
    "429 asking for patience": {"status": 429, "retry_after": 0, "times": 2},
    "reset before": {"hang_up": "before"},
    "reset after": {"hang_up": "after"},
}
# The lost answer is the hardest to get right, and the commit what must not be lost.
MATRIX = [
    pytest.param(
        step, fault, marks=[] if "commit" in step or "after" in fault else pytest.mark.slow
    )
    for step in [*STEPS, "batch or token", "put or xorb"]
    for fault in FAULTS
]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails on purpose is not worth waiting for, here and in the client."""
    monkeypatch.setattr(hub_faults, "FIRST_WAIT", 0.01)
    hasty = types.SimpleNamespace(**{**vars(time), "sleep": lambda _: time.sleep(0.01)})
    monkeypatch.setattr(huggingface_hub.utils._http, "time", hasty)


@pytest.mark.parametrize(("step", "fault"), MATRIX)
def test_passing_faults_are_waited_out(hub: HubServer, desk: Path, step: str, fault: str) -> None:
    sending = list(SENDING[hub.transport].values())
    method, path = STEPS.get(step) or sending["put" in step]
    hub.faults.append(Fault(method, path, **FAULTS[fault]))
    result = send(desk, tag="v1")
    assert_published(hub, desk)
    assert len(hub.commits(REPO)) == 2
    assert hub.repositories[REPO].names("tags") == {"v1": result.commit}


@pytest.mark.parametrize("step", ["tree", "preupload", "commit", "put or xorb"])
def test_a_lasting_fault_leaves_the_branch_and_says_what_to_run(
    hub: HubServer, desk: Path, step: str
) -> None:
    sending = list(SENDING[hub.transport].values())
    method, path = STEPS.get(step) or sending[1]
    hub.faults.append(Fault(method, path, status=503, times=None))
    with pytest.raises(HubError, match="Run the same command again"):
        send(desk)
    assert REPO not in hub.repositories or len(hub.commits(REPO)) == 1
    hub.faults.clear()
    send(desk)
    assert_published(hub, desk)


def test_what_the_hub_holds_is_not_sent_again(hub: HubServer, desk: Path) -> None:
    hub.faults.append(Fault("POST", r"/commit/", status=503, times=None))
    with pytest.raises(HubError):
        send(desk)
    sent = hub.sent("upload")
    assert sent >= sum(map(len, shards(desk / "folder").values())) * 0.9
    hub.faults.clear()
    hub.forget()
    send(desk)
    assert hub.sent("upload") < 0.05 * sent
    assert_published(hub, desk)


def test_a_killed_publishing_goes_on_where_it_was(hub: HubServer, desk: Path) -> None:
    method, path = list(SENDING[hub.transport].values())[1]
    before = hub.create(REPO) and hub.commits(REPO)[0].oid
    arguments = [PROGRAM, "publish", REPO, "--from", desk / "folder"]
    environment = {"PATH": "/usr/bin:/bin", **hub.environment}
    process = subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    hub.before(method, path, lambda: os.kill(process.pid, signal.SIGKILL), skip=2)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert hub.commits(REPO)[0].oid == before
    first = hub.sent("upload")
    total = sum(map(len, shards(desk / "folder").values()))
    assert 0 < first < total
    done = run("publish", REPO, "--from", desk / "folder", env=environment)
    assert done.returncode == 0, done.stderr
    assert_published(hub, desk)
    pictures = (desk / "folder" / "assets" / "examples.jpg").stat().st_size
    assert hub.sent("upload") < 1.2 * (total + pictures)


def test_interrupting_leaves_the_branch_and_no_traceback(hub: HubServer, desk: Path) -> None:
    method, path = list(SENDING[hub.transport].values())[1]
    environment = {"PATH": "/usr/bin:/bin", **hub.environment}
    process = subprocess.Popen(
        [PROGRAM, "publish", REPO, "--from", desk / "folder"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    hub.faults.append(Fault(method, path, delay=3))
    hub.before(method, path, lambda: os.kill(process.pid, signal.SIGINT))
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Run the same command again" in messages
    assert "Traceback" not in messages
    assert len(hub.commits(REPO)) == 1


def test_a_commit_of_somebody_else_meanwhile_is_kept(hub: HubServer, desk: Path) -> None:
    send(desk)
    add_humans(desk, 50)
    hub.before("POST", r"/commit/", lambda: hub.commit(REPO, {"notes.md": b"theirs"}))
    send(desk)
    assert hub.files(REPO)["notes.md"] == b"theirs"
    assert_published(hub, desk)


def test_card_text_written_meanwhile_is_kept(hub: HubServer, desk: Path) -> None:
    send(desk)
    add_humans(desk, 50)
    card = hub.files(REPO)["README.md"] + b"\n## Thanks\n\nTo all.\n"
    hub.before("POST", r"/commit/", lambda: hub.commit(REPO, {"README.md": card}))
    send(desk)
    assert b"To all." in hub.files(REPO)["README.md"]


@lfs_alone
@pytest.mark.parametrize("status", [500, 503, 403])
def test_card_text_that_cannot_be_read_at_first_is_kept(
    hub: HubServer, desk: Path, status: int
) -> None:
    send(desk)
    add_humans(desk, 50)
    hub.commit(REPO, {"README.md": hub.files(REPO)["README.md"] + b"\n## Thanks\n\nTo all.\n"})
    passing = status != 403
    hub.faults.append(
        Fault("HEAD", r"/resolve/.*/README", status=status, times=1 if passing else None)
    )
    if passing:
        send(desk)
    else:
        with pytest.raises(HubError, match=r"read README\.md of .*the token may not"):
            send(desk)
    assert b"To all." in hub.files(REPO)["README.md"]


def test_an_update_published_by_somebody_else_meanwhile_is_not_undone(
    hub: HubServer, desk: Path, tmp_path: Path
) -> None:
    send(desk)
    other = shutil.copytree(desk, tmp_path / "other")
    add_humans(other, 60)
    add_humans(desk, 50)
    hub.before("POST", r"/commit/", lambda: commit_folder(hub, other))
    with pytest.raises(HubError, match="somebody else published"):
        send(desk)
    assert_published(hub, other)


def commit_folder(hub: HubServer, desk: Path) -> None:
    folder = desk / "folder"
    paths = [p for p in folder.rglob("*") if p.is_file() and ".published" not in p.parts]
    hub.commit(REPO, {str(path.relative_to(folder)): path.read_bytes() for path in paths})


def test_a_branch_that_never_rests_is_given_up(hub: HubServer, desk: Path) -> None:
    send(desk)
    add_humans(desk, 50)
    numbers = iter(range(100))
    hub.before(
        "POST",
        r"/commit/",
        lambda: hub.commit(REPO, {"counter": str(next(numbers)).encode()}),
        times=None,
    )
    with pytest.raises(HubError, match="moved 5 times"):
        send(desk)


@pytest.mark.parametrize(
    ("token", "repo", "message"),
    [
        ("hf_unknownToEverybody", REPO, "does not know the token"),
        (READ_TOKEN, REPO, "may not do that"),
        (TOKEN, "somebody/pairs", "may not do that"),
        (TOKEN, "me/two words", "no name of a repository"),
        (TOKEN, "me/..", "no name of a repository"),
        (TOKEN, "a/b/c", "no name of a repository"),
    ],
)
def test_tokens_and_names_are_refused_plainly(
    hub: HubServer, desk: Path, token: str, repo: str, message: str
) -> None:
    with pytest.raises(HubError, match=message) as caught:
        send(desk, repo_id=repo, token=token)
    assert token not in str(caught.value)
    assert hub.sent("upload") == 0


def test_what_is_refused_is_not_asked_again(hub: HubServer, desk: Path) -> None:
    with pytest.raises(HubError, match="does not know the token"):
        send(desk, token="hf_unknownToEverybody")
    assert len([record for record in hub.requests if "whoami" in record.path]) == 1


def test_a_tag_that_somebody_made_meanwhile_is_not_moved(hub: HubServer, desk: Path) -> None:
    send(desk)
    first = hub.commits(REPO)[0].oid
    add_humans(desk, 50)
    tags = hub.repositories[REPO].refs
    hub.before("POST", r"/tag/", lambda: tags.update({"refs/tags/v1": first}))
    with pytest.raises(HubError, match="The tag v1 of me/pairs names another commit"):
        send(desk, tag="v1")
    assert hub.repositories[REPO].names("tags") == {"v1": first}


def test_without_a_token_it_says_how_to_get_one(
    hub: HubServer, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(HubError, match=r"there is no token\..*hf auth login"):
        send(desk)


def test_a_token_is_never_shown(hub: HubServer, desk: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", **hub.environment, "HF_DEBUG": "1"}
    shown = []
    for fault in (
        None,
        Fault("POST", r"/commit/", status=400, body=f"token {TOKEN} is bad".encode()),
        Fault("POST", r"/preupload/", status=422, body=TOKEN.encode(), times=None),
    ):
        hub.faults[:] = [fault] if fault else []
        add_humans(desk, 50 + len(shown))
        done = run("publish", REPO, "--from", desk / "folder", "--token", TOKEN, env=environment)
        shown.append(done.stdout + done.stderr)
        assert (done.returncode == 0) is (fault is None)
    kept = [path.read_bytes() for path in (desk / "folder").rglob("*") if path.is_file()]
    assert not any(TOKEN in text for text in shown)
    assert not any(TOKEN.encode() in content for content in kept)


def test_a_part_of_an_update_is_published_without_the_rest(
    hub: HubServer, desk: Path, tmp_path: Path
) -> None:
    send(desk)
    before = shards(desk / "folder")
    card = hub.files(REPO)["README.md"] + b"\n## Thanks\n\nTo all.\n"
    hub.commit(REPO, {"README.md": card})
    other = shutil.copytree(desk, tmp_path / "other")
    add_humans(other, 50, 51)
    environment = {"PATH": "/usr/bin:/bin", **hub.environment}
    part = tmp_path / "part"
    options = ("--source", other / "layers", "--output", part)
    hub.forget()
    done = run("build", "--update-from", REPO, *options, env=environment)
    assert done.returncode == 0, done.stderr
    assert hub.received() < 0.5 * sum(map(len, before.values()))
    assert f"human-segmentation publish {REPO} --from" in done.stdout
    assert [path.name for path in part.iterdir()] == [".update"]
    sent = run("publish", REPO, "--from", part, env=environment)
    assert sent.returncode == 0, sent.stderr
    there = hub.files(REPO)
    assert {name: there[name] for name in shards(other / "folder")} == shards(other / "folder")
    assert there["manifest.json"] == (other / "folder" / "manifest.json").read_bytes()
    assert b"To all." in there["README.md"]


def test_a_part_that_does_not_fit_any_more_is_refused(
    hub: HubServer, desk: Path, tmp_path: Path
) -> None:
    send(desk)
    environment = {"PATH": "/usr/bin:/bin", **hub.environment}
    part = tmp_path / "part"
    options = ("--source", desk / "layers", "--output", part)
    assert run("build", "--update-from", REPO, *options, env=environment).returncode == 0
    hub.commit(REPO, {"data/train-00000.parquet": None})
    refused = run("publish", REPO, "--from", part, env=environment)
    assert refused.returncode == 1
    assert "build --update-from" in refused.stderr


def test_updating_from_nothing_is_an_error(hub: HubServer, desk: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", **hub.environment}
    options = ("--source", desk / "layers", "--output", desk / "part")
    done = run("build", "--update-from", "me/none", *options, env=environment)
    assert done.returncode == 1
    assert "holds no dataset of this tool" in done.stderr
