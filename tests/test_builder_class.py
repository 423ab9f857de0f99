"""`HumanSegmentation` in each of its ways, beside the folder that `build` writes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import pytest

import human_segmentation
from builder.errors import RecipeError, SourceError
from human_segmentation import HumanSegmentation
from tests.building import build, rows
from tests.kit import write_layers


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_layers(tmp_path_factory.mktemp("layers"), humans=6, backgrounds=5)


@pytest.fixture(scope="module")
def expected(layers: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    output = tmp_path_factory.mktemp("build") / "folder"
    build(output, "--source", layers, "--size", "128", "--per-human", "2", "--seed", "3")
    return [row for row in rows(output) if row.pop("split") == "train"]


@pytest.fixture
def builder(layers: Path, tmp_path: Path) -> HumanSegmentation:
    return make(layers, tmp_path)


def make(layers: Path, cache: Path, **knobs: Any) -> HumanSegmentation:
    own: dict[str, Any] = {"size": 128, "per_human": 2, "seed": 3, **knobs}
    return HumanSegmentation(source=str(layers), cache_dir=str(cache), **own)


def raw(pairs: Any) -> list[dict[str, Any]]:
    """Return the rows with their pictures as they are encoded."""
    undecoded: Iterable[dict[str, Any]] = pairs.cast_column(
        "image", datasets.Image(decode=False)
    ).cast_column("mask", datasets.Image(mode="L", decode=False))
    return list(undecoded)


def test_prepared_rows_are_those_of_build(
    builder: HumanSegmentation, expected: list[dict[str, Any]]
) -> None:
    builder.download_and_prepare()
    pairs = builder.as_dataset("train")
    assert raw(pairs) == expected
    assert (pairs[0]["image"].mode, pairs[0]["mask"].mode) == ("RGB", "L")
    assert builder.as_dataset("validation").num_rows == 2


def test_several_processes_give_the_same_rows(
    builder: HumanSegmentation, expected: list[dict[str, Any]]
) -> None:
    builder.download_and_prepare(num_proc=2)
    assert raw(builder.as_dataset("train")) == expected


def test_parquet_can_be_written_and_read_back(
    builder: HumanSegmentation, expected: list[dict[str, Any]], layers: Path, tmp_path: Path
) -> None:
    builder.download_and_prepare(file_format="parquet")
    assert raw(builder.as_dataset("train")) == expected
    assert raw(make(layers, tmp_path).as_dataset("train")) == expected
    assert make(layers, tmp_path).as_dataset("train[:3]").num_rows == 3


def test_parquet_in_a_folder_of_choice(
    builder: HumanSegmentation, expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    builder.download_and_prepare(str(tmp_path / "out"), file_format="parquet")
    files = str(tmp_path / "out" / "*train*.parquet")
    pairs = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert raw(pairs["train"]) == expected


def test_streamed_rows_are_made_on_the_fly(
    builder: HumanSegmentation, expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    pairs = builder.as_streaming_dataset("train")
    assert raw(pairs) == expected
    # One part a human, so that shuffling and workers have something to share out.
    assert pairs.num_shards == 5
    assert raw(pairs.shard(2, 0)) + raw(pairs.shard(2, 1)) == expected
    pair = next(iter(pairs))
    assert (pair["image"].mode, pair["mask"].mode) == ("RGB", "L")
    assert not list(tmp_path.rglob("*.arrow"))


def test_the_drawn_sample_needs_no_file(tmp_path: Path) -> None:
    pairs = HumanSegmentation(
        source="sample", sample_humans=4, sample_backgrounds=4, sample_size=128, recipe="plain"
    ).as_streaming_dataset("train")
    assert len(list(pairs.take(5))) == 5


@pytest.mark.parametrize(
    "knobs",
    [{"seed": 4}, {"per_human": 1}, {"recipe": "plain"}, {"settings": {"rotation": (0, 0)}}],
)
def test_other_knobs_have_another_cache(
    builder: HumanSegmentation, layers: Path, tmp_path: Path, knobs: dict[str, Any]
) -> None:
    assert make(layers, tmp_path).cache_dir == builder.cache_dir
    assert make(layers, tmp_path, **knobs).cache_dir != builder.cache_dir


def test_another_rendering_has_another_cache(
    layers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = make(layers, tmp_path).cache_dir
    monkeypatch.setattr(human_segmentation, "RENDERING", 0)
    assert make(layers, tmp_path).cache_dir != before


def test_changed_layers_have_another_cache(tmp_path: Path) -> None:
    layers = write_layers(tmp_path / "layers", humans=3, backgrounds=3)
    before = make(layers, tmp_path).cache_dir
    next((layers / "humans").iterdir()).unlink()
    assert make(layers, tmp_path).cache_dir != before


def test_wrong_knobs_and_sources_say_so(layers: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="Valid: name, per_human"):
        make(layers, tmp_path, settings={"sise": 3})
    with pytest.raises(RecipeError, match="give source="):
        HumanSegmentation(data_dir=str(layers))
    with pytest.raises(SourceError, match="no such file or folder"):
        make(layers / "nowhere", tmp_path).as_streaming_dataset("train")
