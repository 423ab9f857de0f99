"""Publishing from the command line: what it shows, and whom it asks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.building import build, run
from tests.hub import Fault, HubServer
from tests.kit import write_layers
from tests.publishing import REPO, add_humans, assert_published, remove_human, send, shards


def test_the_command_line_shows_the_plan_and_what_to_paste(hub: HubServer, desk: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", **hub.environment}
    done = run("publish", REPO, "--from", desk / "folder", "--tag", "v1", env=environment)
    assert done.returncode == 0, done.stderr
    size = sum(map(len, shards(desk / "folder").values()))
    assert "+ data/train-00000.parquet" in done.stdout
    assert "to send: " in done.stdout
    assert size > 0
    assert f"datasets.load_dataset('{REPO}', revision='v1')" in done.stdout
    assert f"{hub.url}/datasets/{REPO}" in done.stdout
    again = run("publish", REPO, "--from", desk / "folder", env=environment)
    assert "Nothing changed: no commit, no bytes" in again.stdout
    dry = run("publish", "me/other", "--from", desk / "folder", "--dry-run", env=environment)
    assert "this was a dry run" in dry.stdout
    assert "me/other" not in hub.repositories


def build_large(base: Path, *options: str) -> bytes:
    """Build a `folder` of one shard of megabytes, and return that."""
    sizes = {"human_size": (450, 600), "background_size": (800, 600)}
    layers = write_layers(base / "layers", humans=6, backgrounds=4, **sizes)
    png = ("--size", "768", "--image-format", "png", "--validation", "0")
    (shard,) = shards(build(base / "folder", "--source", layers, *png, *options)).values()
    return shard


@pytest.mark.slow
def test_the_bar_moves_while_a_file_is_sent(hub: HubServer, tmp_path: Path) -> None:
    shard = build_large(tmp_path)
    # Held up where the contents go, so that there is time to show something.
    hub.faults.append(Fault("POST", "/v1/(xorbs|shards)", delay=0.5, times=None))
    environment = {"PATH": "/usr/bin:/bin", "TQDM_MININTERVAL": "0", **hub.environment}
    done = run("publish", REPO, "--from", tmp_path / "folder", env=environment)
    assert done.returncode == 0, done.stderr
    shown = [int(part) for part in re.findall(r"Sending: +(\d+)%", done.stderr)]
    assert shown == sorted(shown)
    assert shown[-1] == 100
    assert len(shard) > 4e6
    assert any(10 < part < 95 for part in shown), shown
    # Nothing but the one bar.
    assert not re.search(r"Processing|Upload|Validating|it/s|\.parquet: ", done.stderr)


@pytest.mark.slow
def test_reading_back_takes_a_row_group_and_ends_before_the_command(
    hub: HubServer, tmp_path: Path
) -> None:
    options = ("--per-human", "6", "--set", "row_group_rows=2")
    shard = build_large(tmp_path, *options)
    # Held up, so that reads nobody waits for would still go on when the command ends.
    hub.faults.append(Fault("GET", r"/storage/(?!.*upload)", delay=0.7, times=None, skip=1))
    environment = {"PATH": "/usr/bin:/bin", **hub.environment}
    done = run("publish", REPO, "--from", tmp_path / "folder", env=environment)
    assert done.returncode == 0, done.stderr
    hub.settle()
    # A row group, and the 5 MiB that the client reads ahead.
    assert hub.received("download") < 7e6 < len(shard) / 2


def test_without_a_terminal_nothing_is_deleted_unasked(hub: HubServer, desk: Path) -> None:
    add_humans(desk, *range(50, 56))
    send(desk)
    for path in (desk / "layers" / "humans").glob("new-*.png"):
        path.unlink()
    remove_human(desk)
    environment = {"PATH": "/usr/bin:/bin", **hub.environment}
    before = hub.commits(REPO)[0].oid
    refused = run("publish", REPO, "--from", desk / "folder", env=environment)
    assert refused.returncode == 1
    assert "--yes" in refused.stderr
    assert hub.commits(REPO)[0].oid == before
    done = run("publish", REPO, "--from", desk / "folder", "--yes", env=environment)
    assert done.returncode == 0, done.stderr
    assert_published(hub, desk)
