"""Every kind of request that publishing makes, failing in every way once, and then not any more.

However it ends: the branch is where it was or at the new commit, what is raised says what to do,
the same command ends right, no second pull request opens, and little is sent twice.
"""

from __future__ import annotations

import os
import random
import re
import secrets
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
from builder.hub import repository as hub_repository
from tests.building import PROGRAM, build, digests, run
from tests.hub import TOKEN, Fault, HubServer
from tests.kit import write_layers
from tests.publishing import (
    KNOBS,
    REPO,
    add_humans,
    assert_published,
    make_desk,
    send,
    shards,
)

STEPS = {
    "log in": ("GET", r"/whoami-v2"),
    "look": ("GET", r"/api/datasets/me/pairs$"),
    "branch": ("GET", r"/revision/(side|main)"),
    "list": ("GET", r"/tree/\w+\?recursive=true"),
    "tags": ("GET", r"/refs"),
    "ask for the manifest": ("HEAD", r"/resolve/.*manifest"),
    "read the manifest": ("GET", r"/resolve/.*manifest"),
    "ask for the card": ("HEAD", r"/resolve/.*README"),
    "read the card": ("GET", r"/resolve/.*README"),
    "create the branch": ("POST", r"/branch/"),
    "announce": ("POST", r"/preupload/"),
    "check the card": ("POST", r"/validate-yaml"),
    "commit": ("POST", r"/commit/"),
    "tag": ("POST", r"/tag/"),
    "look at the commit": ("GET", r"/revision/\w{40}"),
    "look for other files": ("HEAD", r"/resolve/.*(\.py|yaml|json)$"),
    "list the shards": ("GET", r"/tree/.*recursive=false"),
    "ask for a shard": ("GET", r"/resolve/.*parquet"),
    "read a shard": ("GET", r"/storage/(?!.*upload)"),
}
TRANSPORT = {
    "lfs": {
        "batch": ("POST", r"/info/lfs/objects/batch"),
        "put": ("PUT", r"/storage/"),
        "verify": ("POST", r"/lfs/verify"),
    },
    "xet": {
        "token": ("GET", r"/xet-write-token/"),
        "chunks": ("GET", r"/v1/chunks/"),
        "grants": ("POST", r"/xorb-grants/"),
        "xorb": ("POST", r"/xorbs/"),
        "shard": ("POST", r"/v\d/shards"),
    },
}
PASSING = {
    "429": {"status": 429, "retry_after": 0},
    "500": {"status": 500},
    "502": {"status": 502, "body": b"<html>Bad Gateway</html>"},
    "503": {"status": 503},
    "no answer in time": {"delay": 0.6},
    "reset before": {"hang_up": "before"},
    "reset in the middle": {"hang_up": "before", "hang_up_after": 1000},
    "reset after": {"hang_up": "after"},
    "cut answer": {"truncate": 5},
}
REFUSING = {str(status): {"status": status} for status in (401, 403, 404, 409, 412)}
FAULTS = PASSING | REFUSING
CASES = [
    pytest.param(
        transport, step, id=f"{transport}: {step}", marks=[] if step == "commit" else [SLOW]
    )
    for SLOW in [pytest.mark.slow]
    for transport, steps in (("lfs", STEPS | TRANSPORT["lfs"]), ("xet", TRANSPORT["xet"]))
    for step in steps
]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails on purpose is not worth waiting for, here and in the client."""
    monkeypatch.setattr(hub_faults, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(hub_repository, "TIMEOUT", 0.5)
    for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
        monkeypatch.setattr(huggingface_hub.constants, name, 0.5)
    hasty = types.SimpleNamespace(**{**vars(time), "sleep": lambda _: time.sleep(0.01)})
    monkeypatch.setattr(huggingface_hub.utils._http, "time", hasty)


@pytest.fixture(scope="module")
def updated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A desk as it was published, and brought up to more humans."""
    before = make_desk(tmp_path_factory.mktemp("before"))
    after = tmp_path_factory.mktemp("after") / "desk"
    shutil.copytree(before, after)
    add_humans(after, 50)
    return before, after


def fresh(hub: HubServer, home: Path, updated: tuple[Path, Path], name: str) -> Path:
    """Make the repository hold the dataset of before, and return a desk of after.

    What the Hub keeps of earlier cases would be sent no more, so all of that goes.
    """
    before, after = updated
    # A request that its client gave up would change what comes now.
    hub.settle()
    hub.storage.large.clear()
    hub.storage.blobs.clear()
    hub.cas = type(hub.cas)(hub.storage)
    # Clients remember what a CAS holds, by its address.
    hub.secret = secrets.token_hex(8)
    shutil.rmtree(home / "hf-home", ignore_errors=True)
    hub.create(REPO)
    hub.commit(REPO, files(before / "folder"))
    desk = home / name
    shutil.copytree(after, desk)
    hub.forget()
    hub.faults.clear()
    return desk


def files(folder: Path) -> dict[str, bytes]:
    return {
        name: (folder / name).read_bytes() for name in digests(folder) if not name.startswith(".")
    }


def assert_new(hub: HubServer, desk: Path, revision: str = "main") -> None:
    """The branch has all of the new dataset; the folder's own card may have to follow yet."""
    there = hub.files(REPO, revision)
    here = files(desk / "folder")
    del here["README.md"]
    assert {name: there[name] for name in here} == here
    assert {name for name in there if name.startswith("data/")} <= here.keys()


@pytest.mark.parametrize(("hub", "step"), CASES, indirect=["hub"])
def test_whatever_fails_once_the_same_command_ends_right(
    hub: HubServer, tmp_path: Path, updated: tuple[Path, Path], step: str
) -> None:
    method, path = (STEPS | TRANSPORT[hub.transport])[step]
    met = 0
    for number, (name, fault) in enumerate(FAULTS.items()):
        desk = fresh(hub, tmp_path, updated, str(number))
        old = hub.files(REPO)
        hub.faults.append(Fault(method, path, **fault))
        told = f"{step}, {name}"
        try:
            send(desk, branch="side", tag="v1")
        except HubError as error:
            assert name in REFUSING or step in TRANSPORT["xet"], f"{told}: {error}"
            assert str(error).isprintable(), told
            assert TOKEN not in str(error), told
        met += any(re.search(path, r.path) and r.method == method for r in hub.requests)
        branches = hub.repositories[REPO].names("heads")
        if "side" in branches and hub.files(REPO, "side") != old:
            assert_new(hub, desk, "side")
        assert hub.files(REPO) == old, told
        hub.faults.clear()
        result = send(desk, branch="side", tag="v1")
        assert_published(hub, desk, "side")
        assert hub.repositories[REPO].names("tags") == {"v1": result.commit}, told
        assert len(hub.commits(REPO, "side")) == 3, told
        whole = sum(map(len, files(desk / "folder").values()))
        assert hub.sent("upload") <= 1.5 * whole, told
        shutil.rmtree(desk)
    # What its client sent before, or was denied, it does not ask for again within one process.
    assert met == len(FAULTS) or (step in ("grants", "xorb") and met)


CREATING = {
    "look": STEPS["look"],
    "create": ("POST", r"/repos/create"),
    "commit": STEPS["commit"],
}


@pytest.mark.slow
@pytest.mark.parametrize("hub", ["lfs"], indirect=True)
@pytest.mark.parametrize("step", CREATING)
def test_whatever_fails_once_a_repository_is_created_once(
    hub: HubServer, tmp_path: Path, updated: tuple[Path, Path], step: str
) -> None:
    method, path = CREATING[step]
    for number, (name, fault) in enumerate(FAULTS.items()):
        desk = fresh(hub, tmp_path, updated, str(number))
        hub.repositories.clear()
        hub.faults.append(Fault(method, path, **fault))
        try:
            send(desk)
        except HubError as error:
            assert name in REFUSING, f"{step}, {name}: {error}"
        hub.faults.clear()
        send(desk)
        assert_published(hub, desk)
        assert len(hub.commits(REPO)) == 2, name


ASKING = {
    "list pull requests": ("GET", r"/discussions\?"),
    "read the pull request": ("GET", r"/discussions/1"),
    "commit": ("POST", r"/commit/"),
    "look at the commit": ("GET", r"/revision/\w{40}"),
}


@pytest.mark.slow
@pytest.mark.parametrize("step", ASKING)
def test_whatever_fails_once_no_second_pull_request_opens(
    hub: HubServer, tmp_path: Path, updated: tuple[Path, Path], step: str
) -> None:
    method, path = ASKING[step]
    for number, (name, fault) in enumerate(FAULTS.items()):
        desk = fresh(hub, tmp_path, updated, str(number))
        if step == "read the pull request":
            send(desk, create_pr=True)
        hub.faults.append(Fault(method, path, **fault))
        try:
            send(desk, create_pr=True)
        except HubError as error:
            assert name in REFUSING, f"{step}, {name}: {error}"
        assert any(re.search(path, r.path) and r.method == method for r in hub.requests)
        hub.faults.clear()
        send(desk, create_pr=True)
        refs = hub.repositories[REPO].refs
        assert [ref for ref in refs if ref.startswith("refs/pr/")] == ["refs/pr/1"], name
        assert_new(hub, desk, "refs/pr/1")


@pytest.mark.parametrize("hub", ["lfs"], indirect=True)
def test_a_repository_that_is_denied_at_first_is_not_replaced_unasked(
    hub: HubServer, tmp_path: Path, updated: tuple[Path, Path]
) -> None:
    fresh(hub, tmp_path, updated, "desk")
    old = hub.files(REPO)
    other = tmp_path / "other"
    write_layers(other / "layers", humans=6, backgrounds=5)
    build(other / "folder", "--source", other / "layers", *KNOBS)
    for times in (0, 1):
        hub.faults.append(Fault(*STEPS["look"], status=404, code="RepoNotFound", times=times))
        with pytest.raises(HubError, match=r"replace the dataset|has a dataset after all"):
            send(other, confirm=None)
        assert hub.files(REPO) == old


ROUNDS = [
    pytest.param(seed, marks=[] if seed == 0 else pytest.mark.slow, id=f"round {seed}")
    for seed in range(5)
]


@pytest.mark.parametrize("seed", ROUNDS)
def test_killed_before_any_request_publishing_goes_on(
    hub: HubServer, tmp_path: Path, updated: tuple[Path, Path], seed: int
) -> None:
    rng = random.Random(f"{hub.transport} {seed}")
    for number in range(1 if seed == 0 else 6):
        desk = fresh(hub, tmp_path, updated, str(number))
        old = hub.files(REPO)
        environment = {"PATH": "/usr/bin:/bin", **hub.environment}
        arguments = ("publish", REPO, "--from", desk / "folder", "--tag", "v1", "--yes")
        process = subprocess.Popen(
            [PROGRAM, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        moment = rng.randrange(45)
        hub.hooks.clear()
        left = [moment]

        def count(left: list[int] = left, process: subprocess.Popen[bytes] = process) -> None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(process.pid, signal.SIGKILL)

        for method in ("GET", "HEAD", "POST", "PUT"):
            hub.before(method, "", count, times=None)
        process.communicate(timeout=60)
        hub.hooks.clear()
        assert process.returncode in (0, -signal.SIGKILL)
        if hub.files(REPO) != old:
            assert_new(hub, desk)
        done = run(*arguments, env=environment)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert_published(hub, desk)
        assert len(hub.commits(REPO)) == 3
        sent = sum(map(len, shards(desk / "folder").values()))
        assert hub.sent("upload") <= 1.5 * sent + 200_000
        shutil.rmtree(desk)
