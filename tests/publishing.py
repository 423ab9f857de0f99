"""What tests of publishing share: a folder to publish, and ways to look at both sides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from builder.folder import update as update_folder
from builder.hub import PublishResult, publish
from builder.sources import Sources
from tests.building import build, digests
from tests.hub import HubServer
from tests.kit import png, portrait, write, write_layers

REPO = "me/pairs"
KNOBS = (
    *("--size", "128", "--per-human", "3", "--validation", "0.2"),
    *("--set", "shard_megabytes=0.1"),
)
OURS = ("README.md", "assets/examples.jpg", "manifest.json")


def make_desk(base: Path) -> Path:
    """Write `layers` and build a `folder` of four shards from them."""
    write_layers(base / "layers", humans=10, backgrounds=8)
    build(base / "folder", "--source", base / "layers", *KNOBS)
    return base


def add_humans(desk: Path, *numbers: int) -> None:
    """Add humans, and bring the folder up to them."""
    for number in numbers:
        write(desk / "layers" / "humans" / f"new-{number}.png", png(portrait(number)))
    update(desk)


def remove_human(desk: Path, name: str = "human-03.png") -> None:
    """Remove a human, and bring the folder up to that."""
    (desk / "layers" / "humans" / name).unlink()
    update(desk)


def update(desk: Path) -> None:
    """Bring the folder up to its layers."""
    sources = Sources(sources=(str(desk / "layers"),))
    update_folder(sources, desk / "folder", progress=False)


def send(desk: Path, **options: Any) -> PublishResult:
    """Publish the folder, with consent to whatever it takes."""
    options = {"confirm": lambda _: True, "progress": False, **options}
    return publish(desk / "folder", options.pop("repo_id", REPO), **options)


def shards(folder: Path) -> dict[str, bytes]:
    """Return the shards by their path in a repository."""
    return {f"data/{path.name}": path.read_bytes() for path in (folder / "data").glob("*.parquet")}


def assert_published(hub: HubServer, desk: Path, revision: str = "main", repo: str = REPO) -> None:
    """Both sides hold the same files, byte for byte."""
    there = hub.files(repo, revision)
    here = {
        name: (desk / "folder" / name).read_bytes()
        for name in digests(desk / "folder")
        if not name.startswith(".")
    }
    assert set(here) == {name for name in there if name in OURS or name.startswith("data/")}
    for name, content in here.items():
        assert there[name] == content, name


def manifest(folder: Path) -> dict[str, Any]:
    """Return the values of a folder's manifest."""
    values: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return values
