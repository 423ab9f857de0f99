"""Other versions of `datasets`, each in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.building import SMALL, build
from tests.kit import write_layers

REPOSITORY = Path(__file__).parents[1]

READ = """
import sys, datasets
pairs = datasets.load_dataset(sys.argv[1])
assert pairs.num_rows == {"train": 24, "validation": 6}, pairs
assert pairs["train"][0]["mask"].mode == "L"
streamed = datasets.load_dataset(sys.argv[1], streaming=True)
assert [pair["id"] for pair in streamed["train"]] == pairs["train"]["id"]
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


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="datasets 2.19 is older than this Python")
def test_datasets_2_19_reads_the_folder(tmp_path: Path) -> None:
    folder = build(tmp_path / "folder", *SMALL)
    python = environment(tmp_path / "venv", "datasets==2.19.0", "pillow")
    run(python, READ, folder, cache=tmp_path / "cache")


@pytest.mark.slow
def test_datasets_3_6_reads_the_folder_and_runs_the_script(tmp_path: Path) -> None:
    folder = build(tmp_path / "folder", *SMALL)
    python = environment(tmp_path / "venv", "datasets==3.6.0", str(REPOSITORY))
    run(python, READ, folder, cache=tmp_path / "cache")

    layers = write_layers(tmp_path / "layers", humans=6, backgrounds=5)
    built = build(tmp_path / "built", "--source", layers, "--size", "128")
    script = REPOSITORY / "human_segmentation.py"
    run(python, SCRIPT, script, layers, built, cache=tmp_path / "cache")
