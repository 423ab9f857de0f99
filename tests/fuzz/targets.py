"""What is fuzzed: each target takes bytes, and fails only if something other than an error of ours
comes of them."""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from builder.errors import HumanSegmentationError, SourceError
from builder.layers import admit
from builder.manifest import manifest_text, parse_manifest, was_edited
from builder.recipe import REALISTIC, load_recipe, parse_settings
from builder.sources.files import find_pictures
from builder.sources.layer import Candidate, Role
from builder.verify import Verification, verify

_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".zip", ".tar", ".zip")
_ROLES: tuple[Role, Role] = ("human", "background")
# Larger layers are left out: what is fuzzed is the decoding, not the filling of memory.
_RECIPE = REALISTIC.replace({"max_pixels": 1_000_000})
_READ = 8


def archive(data: bytes) -> None:
    """Index an archive, whose first byte says of which kind it is, and read some of it."""
    if not data:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"humans{_SUFFIXES[data[0] % len(_SUFFIXES)]}"
        path.write_bytes(data[1:])
        cache = Path(folder) / "cache"
        try:
            candidates = find_pictures(path, cache).candidates
        except SourceError as error:
            assert str(error).isprintable()
            return
        for candidate in candidates[:_READ]:
            assert candidate.name.isprintable()
            try:
                candidate.content.read()
            except SourceError as error:
                assert str(error).isprintable()
        written = {file.parent for file in Path(folder).rglob("*") if file.is_file()}
        assert written <= {Path(folder), cache / "converted"}


def recipe(data: bytes) -> None:
    """Read a recipe file, and a setting of `--set`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "my.toml"
        path.write_bytes(data)
        try:
            made = load_recipe(path)
        except HumanSegmentationError:
            return
        again = path.with_name("again.toml")
        again.write_text(made.to_toml(), encoding="utf-8")
        assert load_recipe(again) == made
    try:
        REALISTIC.replace(parse_settings([data.decode("utf-8", "replace")]))
    except HumanSegmentationError:
        return


class _Text:
    """A place that holds a manifest, and no shard."""

    name = "fuzzed"

    def __init__(self, text: str) -> None:
        self.text = text

    def manifest(self) -> str:
        return self.text

    def shards(self) -> list[str]:
        return []


def manifest(data: bytes) -> None:
    """Read a manifest as from a repository of a stranger, and look for leaks between its splits."""
    text = data.decode("utf-8", "replace")
    try:
        read = parse_manifest(text, "fuzzed")
    except HumanSegmentationError:
        return
    was_edited(text)
    assert parse_manifest(manifest_text(read), "again") == read
    done: Verification = verify(_Text(text), progress=False)  # type: ignore[arg-type]
    assert all(str(fault).isprintable() for fault in done.faults)


def layer(data: bytes) -> None:
    """Check a picture, whose first byte gives its role."""
    if not data:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        admit(Candidate(_ROLES[data[0] % 2], "fuzzed", _Held(data[1:])), _RECIPE)


class _Held(io.BytesIO):
    """Bytes that can be read again, as a layer is."""

    def read(self, size: int | None = -1) -> bytes:
        del size
        return self.getvalue()


TARGETS: dict[str, Callable[[bytes], None]] = {
    "archive": archive,
    "recipe": recipe,
    "manifest": manifest,
    "layer": layer,
}
