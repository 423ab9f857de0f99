"""What tests of whole builds share: a small sample build, and ways to look at a folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

PROGRAM = Path(sys.executable).with_name("human-segmentation")

SMALL = (
    *("--source", "sample", "--sample-humans", "10", "--sample-backgrounds", "7"),
    *("--sample-size", "256", "--size", "192", "--per-human", "3", "--validation", "0.2"),
    *("--set", "shard_megabytes=0.15", "--set", "row_group_rows=4"),
)
"""Options of a build that takes a second and has several shards in each split."""


def run(
    *arguments: str | Path, timeout: float = 120, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, and return its exit code and output."""
    return subprocess.run(
        [PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start the command line in a process group of its own."""
    return subprocess.Popen(
        [PROGRAM, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def workers(parent: int) -> list[int]:
    """Return the processes that a build has started, but for multiprocessing's resource tracker."""
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [int(child) for child in children if _is_worker(child)]


def _is_worker(pid: str) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def build(output: Path, *arguments: str | Path) -> Path:
    """Build with one worker unless told otherwise, and return the folder."""
    done = run("build", "--output", output, "--workers", "1", *arguments)
    assert done.returncode == 0, done.stderr
    return output


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, hidden ones included."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def flip(path: Path, place: float) -> None:
    """Change one bit of a file; `place` is 0 for its first byte, 1 for its end."""
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 1
    path.write_bytes(data)


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what changes when a file is written anew: its inode and its time."""
    return {
        path.name: (os.stat(path).st_ino, os.stat(path).st_mtime_ns)  # noqa: PTH116
        for path in sorted(folder.glob("*.parquet"))
    }


def rows(folder: Path) -> list[dict[str, Any]]:
    """Return all rows of all shards, in order."""
    return [
        {"split": path.name.split("-")[0], **row}
        for path in sorted((folder / "data").glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
