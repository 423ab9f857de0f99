"""What publishing and updating send: bytes and requests, by LFS and by Xet, to a loopback Hub.

    python -m benchmarks.publish_traffic --humans 200

Drawn layers are written to files, built, published, changed and published again, each time by the
command line. Prints a table in Markdown: the bytes that went to the storage (LFS objects, or xorbs
and shards of Xet), all bytes that were sent, and the requests.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import datasets
import huggingface_hub

from builder.sources.sample import sample_candidates
from tests.hub import HubServer

REPO = "me/pairs"
PROGRAM = Path(sys.executable).with_name("human-segmentation")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--humans", type=int, default=200)
    parser.add_argument("--size", type=int, default=768)
    arguments = parser.parse_args()
    versions = f"huggingface_hub {huggingface_hub.__version__}, datasets {datasets.__version__}"
    print(f"{arguments.humans} drawn humans x 4 pairs, {arguments.size} px, {versions}\n")
    print("| transport | step | of the dataset | to the storage | sent in all | requests |")
    print("|---|---|--:|--:|--:|--:|")
    for transport in ("lfs", "xet"):
        with tempfile.TemporaryDirectory() as place:
            measure(Path(place), transport, arguments.humans, arguments.size)


def measure(place: Path, transport: str, humans: int, size: int) -> None:
    more = max(1, humans // 100)
    spare = write_layers(place / "layers", humans, more, size)
    hub = HubServer(place / "home", transport=transport)  # type: ignore[arg-type]
    folder = place / "folder"
    build = ["build", "--source", str(place / "layers"), "--output", str(folder)]

    def run(*command: str) -> None:
        subprocess.run(
            [PROGRAM, *command],
            env={**os.environ, **hub.environment},
            check=True,
            capture_output=True,
        )

    def step(name: str, change: Callable[[], object] | None = None) -> None:
        if change:
            change()
        hub.forget()
        run("publish", REPO, "--from", str(folder), "--yes")
        total = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
        stored, sent = hub.sent("upload"), hub.sent()
        print(
            f"| {transport} | {name} | {stored / total:.2%} of {total / 1e6:,.0f} MB "
            f"| {stored:,} | {sent:,} | {len(hub.requests)} |",
            flush=True,
        )

    def add() -> None:
        for path, data in spare.items():
            path.write_bytes(data)
        run(*build, "--update")

    def remove() -> None:
        next(iter(sorted((place / "layers" / "humans").iterdir()))).unlink()
        run(*build, "--update")

    def write_text() -> None:
        card = folder / "README.md"
        card.write_text(card.read_text() + "\n## Notes\n\nWritten by hand.\n")

    run(*build, "--size", str(size), "--set", "shard_megabytes=32")
    with hub.running():
        step("first publishing")
        step("again, nothing changed")
        step(f"{more} humans more (1 %)", add)
        step("one human removed", remove)
        step("new card text", write_text)


def write_layers(folder: Path, humans: int, more: int, size: int) -> dict[Path, bytes]:
    """Write drawn layers, and return those of the humans that come later."""
    spare = {}
    for number, candidate in enumerate(sample_candidates(humans + more, humans, longest=size)):
        path = folder / f"{candidate.role}s" / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if candidate.role == "human" and number >= humans:
            spare[path] = candidate.content.read()
        else:
            path.write_bytes(candidate.content.read())
    return spare


if __name__ == "__main__":
    main()
