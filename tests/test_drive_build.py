"""From the imitated Drive to a data set: the command line and the builder class, end to end."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from human_segmentation import HumanSegmentation
from tests.building import build, rows, run
from tests.drive_case import zip_of
from tests.drive_server import DriveServer, RemoteFolder
from tests.kit import write_layers


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    return write_layers(tmp_path / "layers", humans=5, backgrounds=5)


@pytest.fixture
def served(
    drive: DriveServer, drive_folder: RemoteFolder, layers: Path, tmp_path: Path
) -> DriveServer:
    """A folder as the original may be: an archive, a tar in a sub-folder, a stray file."""
    humans = {path.name: path.read_bytes() for path in (layers / "humans").iterdir()}
    drive.add_file(drive_folder, "humans.zip", zip_of(humans)).confirm = True
    packed = tmp_path / "backgrounds.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(layers / "backgrounds", "pictures")
    more = drive.add_subfolder(drive_folder, "more")
    drive.add_file(more, packed.name, packed.read_bytes())
    drive.add_file(drive_folder, "create_dataset.sh", b"#!/bin/sh")
    return drive


def test_build_from_drive_gives_the_pairs_of_the_files(
    served: DriveServer, layers: Path, tmp_path: Path
) -> None:
    done = run("download")
    assert done.returncode == 0, done.stderr
    assert "2 files" in done.stdout
    transfers = len(served.transfers)
    built = build(tmp_path / "from-drive", "--size", "96")
    assert len(served.transfers) == transfers
    local = build(tmp_path / "from-files", "--source", layers, "--size", "96")
    pictures = [[(row["id"], row["image"], row["mask"]) for row in rows(f)] for f in (built, local)]
    assert pictures[0] == pictures[1]


def test_offline_uses_what_was_downloaded(
    served: DriveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("download").returncode == 0
    asked = len(served.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    build(tmp_path / "offline", "--size", "96")
    assert len(served.requests) == asked


def test_the_builder_class_tells_datasets_what_it_downloaded(
    served: DriveServer, tmp_path: Path
) -> None:
    builder = HumanSegmentation(size=96, cache_dir=str(tmp_path / "datasets"))
    builder.download_and_prepare()
    assert builder.info.download_size == sum(
        len(file.data) for file in served.files.values() if "create" not in file.name
    )
    assert builder.as_dataset("train").num_rows == 16
