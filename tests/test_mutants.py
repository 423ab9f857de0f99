"""Builds with thousands of damaged and hostile pictures among good ones; see `tests.mutants`.

Two things are compared. Mutants that are all left out change no byte of any shard. Some mutants
are pictures nevertheless, and used: they take part in splits and pairs, so there each pair of a
good human is compared with the same pair made alone, of nothing but its two layers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from builder.layers import LeftOut, admit, admit_all
from builder.manifest import read_manifest
from builder.plan import Shard
from builder.recipe import load_recipe
from builder.render import Row, make_rows, shard_tasks
from builder.sources.files import find_pictures
from builder.sources.layer import Layer
from tests.building import digests, rows, run
from tests.kit import candidate, write, write_layers
from tests.mutants import Mutant, bases, mutants
from tests.pictures import any_png, png_chunks, png_of

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning")

# Companions would show mutants in the pairs of good humans, and rightly so.
KNOBS = {"size": 96, "per_human": 3, "validation": 0.3, "second_figure_probability": 0.0}
OPTIONS = [part for name, value in KNOBS.items() for part in ("--set", f"{name}={value}")]
RECIPE = load_recipe("realistic").replace(KNOBS)
COUNTS = [250, pytest.param(15_000, marks=pytest.mark.slow)]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_layers(tmp_path / "good", humans=8, backgrounds=8)


def mixed(good: Path, strangers: dict[str, Mutant]) -> Path:
    """Write mutants by their names, with the good layers among them."""
    folder = good.with_name("mixed")
    for path in good.rglob("*.*"):
        write(folder / path.relative_to(good), path.read_bytes())
    for name, mutant in strangers.items():
        write(folder / name, mutant.data)
    return folder


def named(count: int) -> dict[str, Mutant]:
    return {
        f"{mutant.role}s/m{number:05d}.{mutant.suffix}": mutant
        for number, mutant in enumerate(mutants(count))
    }


def built(source: Path, output: Path) -> Path:
    done = run("build", "--source", source, "--output", output, *OPTIONS, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    # Neither of ours nor of Python's: decoders warn of what they meet, in no picture's name.
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    return output


@pytest.mark.parametrize("count", COUNTS)
def test_mutants_that_are_left_out_are_listed_and_change_nothing(good: Path, count: int) -> None:
    unusable = {
        name: mutant
        for name, mutant in named(count).items()
        if isinstance(admit(candidate(mutant.role, mutant.data), RECIPE), LeftOut)
    }
    assert len(unusable) > count / 2
    without = built(good, good.with_name("without"))
    among = built(mixed(good, unusable), good.with_name("among"))
    assert digests(among / "data") == digests(without / "data")
    manifest = read_manifest(among)
    assert manifest.layers == read_manifest(without).layers
    reasons = {out["name"]: out["reason"] for out in manifest.left_out}
    assert reasons.keys() == unusable.keys()
    assert all(reason and reason.isprintable() for reason in reasons.values())
    text = (among / "manifest.json").read_text(encoding="utf-8")
    assert all(line.isprintable() for line in text.splitlines())


@pytest.mark.parametrize("count", COUNTS)
def test_mutants_that_are_used_leave_the_pairs_of_the_others_alone(good: Path, count: int) -> None:
    strangers = named(count)
    source = mixed(good, strangers)
    output = built(source, good.with_name("output"))
    manifest = read_manifest(output)
    out = {each["name"] for each in manifest.left_out}
    used = {layer.name for layer in manifest.layers}
    assert out | used == {*strangers, *(str(p.relative_to(good)) for p in good.rglob("*.*"))}
    assert len(used) > count / 50
    assert run("verify", output, timeout=600).returncode == 0
    candidates = find_pictures(source, source).candidates
    layers = {each.id: each for each in admit_all(candidates, RECIPE, progress=False).layers}
    pairs = [row for row in rows(output) if "human-" in layers[row["human"]].name]
    assert len(pairs) == 8 * RECIPE.per_human
    for row in pairs:
        del row["split"]
        assert row == made_alone(row, layers)


def made_alone(row: Row, layers: dict[str, Layer]) -> Row:
    """Make a pair in a shard that has nothing else."""
    number = int(row["id"].rpartition("-")[2])
    shard = Shard("train", 0, (row["human"],), (row["background"],), RECIPE.per_human)
    (task,) = shard_tasks(shard, layers, RECIPE, seed=0)
    return make_rows(task)[number]


def test_the_same_seed_gives_the_same_mutants() -> None:
    assert list(mutants(400)) == list(mutants(400))
    kinds = len(bases())
    assert kinds > 80
    assert {m.role for m in mutants(2 * kinds)} == {"human", "background"}


@pytest.mark.parametrize("colour", [2, 6])
def test_interlaced_pngs_are_decoded_alike_and_silently(
    colour: int, capfd: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (66, 71, 4), dtype=np.uint8)
    plain, interlaced = (any_png(pixels, colour, 8, interlaced=way) for way in (False, True))
    hashes = set()
    for data in (plain, interlaced):
        layer = admit(candidate("background", data), RECIPE)
        assert isinstance(layer, Layer)
        hashes.add(layer.perceptual_hash)
    assert len(hashes) == 1
    header, *rest = png_chunks(plain)
    for width in (0, 71):
        empty = png_of([(b"IHDR", width.to_bytes(4, "big") + bytes(4) + header[1][8:]), *rest])
        assert isinstance(admit(candidate("background", empty), RECIPE), LeftOut)
    assert capfd.readouterr() == ("", "")
