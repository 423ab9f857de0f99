"""Every command and every snippet of README, as written; .ci/run runs the first block."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.building import PROGRAM, SMALL, build
from tests.drive_server import DriveServer, RemoteFolder
from tests.hub import HubServer
from tests.kit import write_layers

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
LANGUAGES = ("sh", "python")


def blocks() -> list[tuple[str, str]]:
    """Return (language, text) of the code blocks, without the installation that opens them."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [block for block in found if block[0] in LANGUAGES][1:]


@pytest.fixture
def desk(
    tmp_path: Path,
    drive: DriveServer,
    drive_folder: RemoteFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """A folder with what README takes for granted, and the imitated Drive and Hub behind it."""
    desk = tmp_path / "desk"
    layers = write_layers(desk / "my-layers", humans=5, backgrounds=5)
    drive.add_tree(drive_folder, layers)
    shutil.make_archive(str(desk / "cutouts"), "zip", layers / "humans")
    shutil.copytree(layers / "backgrounds", desk / "photos")
    monkeypatch.setenv("PATH", f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}")
    hub = HubServer(tmp_path / "huggingface")
    for name, value in hub.environment.items():
        monkeypatch.setenv(name, value)
    # Or `datasets` counts each loading, elsewhere.
    monkeypatch.setenv("HF_UPDATE_DOWNLOAD_COUNTS", "0")
    with hub.running():
        yield desk
    assert hub.errors == []
    # Where `datasets` looks for what a viewer knows of a dataset: beside a Hub, but not this one.
    drive.refused[:] = [host for host in drive.refused if not host.startswith("datasets-server.")]
    assert hub.repositories["me/human-segmentation"].names("tags").keys() == {"v1.0.0", "v1.1.0"}


def test_commands_and_snippets_run_as_written(desk: Path) -> None:
    sample = build(desk.parent / "sample", *SMALL)
    shutil.copytree(sample, desk / "human-segmentation")
    for language, text in blocks():
        run(language, text, desk)
    for name in (
        "human-segmentation",
        "my-pairs",
        "other-pairs",
        "turned",
        "labelled",
        "chosen",
        "more",
    ):
        assert (desk / name / "manifest.json").exists(), name


def run(language: str, text: str, desk: Path) -> None:
    commands = {
        # A page in a browser would be seen by nobody.
        "sh": ["bash", "-euc", text.replace(".venv/bin/", "").replace(" --open", "")],
        "python": [sys.executable, "-c", text],
    }
    done = subprocess.run(
        commands[language], cwd=desk, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def test_the_picture_of_the_first_screen_is_there() -> None:
    path, *_ = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert (Path(__file__).parents[1] / path).stat().st_size < 1024**2
