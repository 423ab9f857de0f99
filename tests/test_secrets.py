"""Tokens and passwords, given in every way, searched for in all that was printed and written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.building import run
from tests.hub import TOKEN, Fault, HubServer
from tests.hub_case import lfs_alone
from tests.publishing import REPO, add_humans

UNKNOWN = "hf_somethingThatNobodyShouldSee"
PASSWORD = "swordfish-7c1d"
ECHOES = [
    None,
    Fault("GET", r"/whoami", status=401, body=f"Bearer {UNKNOWN} is bad".encode(), times=None),
    Fault("POST", r"/preupload/", status=422, body=f"{TOKEN} {UNKNOWN}".encode(), times=None),
]


@lfs_alone
@pytest.mark.parametrize("way", ["environment", "argument"])
@pytest.mark.parametrize("debug", [{}, {"HF_DEBUG": "1", "HF_HUB_VERBOSITY": "debug"}])
@pytest.mark.slow
def test_a_token_is_found_in_nothing(
    hub: HubServer, desk: Path, way: str, debug: dict[str, str]
) -> None:
    for number, fault in enumerate(ECHOES):
        hub.faults[:] = [fault] if fault else []
        add_humans(desk, 50 + number)
        for token in (TOKEN, UNKNOWN):
            environment = {"PATH": "/usr/bin:/bin", **hub.environment, **debug, "HF_TOKEN": token}
            given: tuple[str, ...] = ()
            if way == "argument":
                del environment["HF_TOKEN"]
                given = ("--token", token)
            for command in (
                ("publish", REPO, "--from", desk / "folder", "--yes", *given),
                ("verify", REPO, "--workers", "1", *given),
            ):
                done = run(*command, env=environment)
                said = done.stdout + done.stderr
                assert token not in said
                assert "Traceback" not in said
    for path in desk.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(token.encode() in data for token in (TOKEN, UNKNOWN)), path


@pytest.mark.slow
def test_a_password_in_the_address_of_a_proxy_is_found_in_nothing(tmp_path: Path) -> None:
    proxy = f"http://user:{PASSWORD}@127.0.0.1:9"
    names = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **dict.fromkeys(names, proxy)}
    done = run("download", "--cache-dir", tmp_path / "cache", env=environment)
    assert done.returncode == 1
    assert "no network" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(PASSWORD.encode() in path.read_bytes() for path in written)
    assert not any("cookie" in path.name.lower() for path in written)
