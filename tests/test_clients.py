"""Other versions of `datasets`, each in an environment of its own: the folder, and the Hub."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Literal

import pytest

from tests.building import PROGRAM, SMALL, build
from tests.hub import HubServer
from tests.kit import write_layers

REPOSITORY = Path(__file__).parents[1]
TRANSPORTS: tuple[Literal["lfs", "xet"], ...] = ("lfs", "xet")

READ = """
import sys, datasets
pairs = datasets.load_dataset(sys.argv[1])
assert pairs.num_rows == {"train": 24, "validation": 6}, pairs
assert pairs["train"][0]["mask"].mode == "L"
streamed = datasets.load_dataset(sys.argv[1], streaming=True)
assert [pair["id"] for pair in streamed["train"]] == pairs["train"]["id"]
"""

READ_FROM_HUB = """
import datasets, importlib.util
load, name = datasets.load_dataset, "me/pairs"
if __name__ == "__main__":
    pairs = load(name)
    assert pairs.num_rows == {"train": 24, "validation": 6}, pairs
    ids = pairs["train"]["id"]
    assert pairs["train"][0]["mask"].mode == "L"
    assert load(name, split="train[:10]").num_rows == 10
    assert load(name, split="train", revision="v1").num_rows == 24
    assert load(name, split="train", columns=["id"]).column_names == ["id"]
    stream = load(name, split="train", streaming=True)
    assert next(iter(stream))["mask"].mode == "L"
    assert [row["id"] for row in stream] == ids
    assert sorted(row["id"] for row in stream.shuffle(seed=0, buffer_size=8)) == sorted(ids)
    assert [row["id"] for row in stream.take(5)] == ids[:5]
    if hasattr(stream, "state_dict"):
        iterator = iter(stream)
        taken = [next(iterator)["id"] for _ in range(7)]
        later = load(name, split="train", streaming=True)
        later.load_state_dict(stream.state_dict())
        assert taken + [row["id"] for row in later] == ids
    if importlib.util.find_spec("torch"):
        from torch.utils.data import DataLoader
        batches = DataLoader(stream.select_columns(["id"]), batch_size=4, num_workers=2)
        assert sorted(row_id for batch in batches for row_id in batch["id"]) == sorted(ids)
"""

SCRIPT = """
import sys, datasets, pyarrow.parquet as parquet
script, layers, folder = sys.argv[1:]
knobs = dict(trust_remote_code=True, source=layers, size=128)
pairs = datasets.load_dataset(script, **knobs)
raw = pairs["train"].cast_column("image", datasets.Image(decode=False))
raw = raw.cast_column("mask", datasets.Image(mode="L", decode=False))
assert list(raw) == parquet.read_table(folder + "/data/train-00000.parquet").to_pylist()
streamed = datasets.load_dataset(script, streaming=True, **knobs)
assert next(iter(streamed["train"]))["mask"].mode == "L"
"""


def environment(folder: Path, *packages: str) -> Path:
    """Make a virtual environment with some packages, and return its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def run(python: Path, code: str, *arguments: str | Path, cache: Path) -> None:
    subprocess.run(
        [python, "-c", code, *map(str, arguments)],
        check=True,
        cwd=cache.parent,
        env={**os.environ, "HF_HOME": str(cache)},
    )


def read_from_hub(python: Path, folder: Path, place: Path) -> None:
    """Publish the folder over each transport, and read it back with that Python."""
    code = place / "read_from_hub.py"
    code.write_text(READ_FROM_HUB)
    for transport in TRANSPORTS:
        hub = HubServer(place / transport, transport=transport)
        with hub.running():
            environment = {**os.environ, **hub.environment}
            command = [PROGRAM, "publish", "me/pairs", "--from", folder, "--tag", "v1"]
            subprocess.run(command, check=True, env=environment)
            subprocess.run([python, code], check=True, env=environment)
        assert hub.errors == []


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="datasets 2.19 is older than this Python")
def test_datasets_2_19_reads_the_folder_and_the_hub(tmp_path: Path) -> None:
    folder = build(tmp_path / "folder", *SMALL)
    python = environment(tmp_path / "venv", "datasets==2.19.0", "pillow")
    run(python, READ, folder, cache=tmp_path / "cache")
    read_from_hub(python, folder, tmp_path)


@pytest.mark.slow
def test_datasets_3_6_reads_the_folder_and_the_hub_and_runs_the_script(tmp_path: Path) -> None:
    folder = build(tmp_path / "folder", *SMALL)
    python = environment(tmp_path / "venv", "datasets==3.6.0", str(REPOSITORY))
    run(python, READ, folder, cache=tmp_path / "cache")
    read_from_hub(python, folder, tmp_path)

    layers = write_layers(tmp_path / "layers", humans=6, backgrounds=5)
    built = build(tmp_path / "built", "--source", layers, "--size", "128")
    script = REPOSITORY / "human_segmentation.py"
    run(python, SCRIPT, script, layers, built, cache=tmp_path / "cache")


@pytest.mark.slow
def test_datasets_4_reads_the_folder_and_the_hub_into_a_data_loader(tmp_path: Path) -> None:
    folder = build(tmp_path / "folder", *SMALL)
    python = environment(tmp_path / "venv", "datasets>=4,<5", "pillow", "torch==2.13.0")
    run(python, READ, folder, cache=tmp_path / "cache")
    read_from_hub(python, folder, tmp_path)
