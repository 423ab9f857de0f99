"""The built folder in the hands of the programs that people read it with."""

from __future__ import annotations

from pathlib import Path

import datasets
import duckdb
import pandas
import polars
import pytest
import yaml
from datasets import load_dataset

from tests.building import SMALL, build, rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("read") / "human-segmentation", *SMALL)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def test_load_dataset_opens_the_folder_by_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    pairs = load_dataset("human-segmentation")
    assert pairs.num_rows == {"train": 24, "validation": 6}
    assert pairs["train"].features["mask"] == datasets.Image(mode="L")
    pair = pairs["train"][0]
    assert (pair["image"].mode, pair["mask"].mode) == ("RGB", "L")
    assert pair["image"].size == pair["mask"].size
    assert [row["id"] for row in rows(folder)] == [
        *pairs["train"]["id"],
        *pairs["validation"]["id"],
    ]


def test_a_shard_alone_says_what_its_columns_are(folder: Path) -> None:
    files = str(folder / "data" / "train-00000.parquet")
    pairs = load_dataset("parquet", data_files=files, split="train")
    assert pairs.features["image"] == datasets.Image()
    assert pairs.features["mask"] == datasets.Image(mode="L")


def test_streaming_gives_the_same_rows(folder: Path) -> None:
    streamed = load_dataset(str(folder), streaming=True)
    assert [pair["id"] for split in streamed.values() for pair in split] == [
        row["id"] for row in rows(folder)
    ]
    pair = next(iter(streamed["validation"]))
    assert (pair["image"].mode, pair["mask"].mode) == ("RGB", "L")
    assert streamed["train"].num_shards > 1


def test_the_card_describes_the_features_as_datasets_would(folder: Path) -> None:
    metadata = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    assert metadata["license"] == "apache-2.0"
    assert metadata["task_categories"] == ["image-segmentation"]
    info = metadata["dataset_info"]
    assert info["features"] == load_dataset(str(folder))["train"].features._to_yaml_list()
    shards = list((folder / "data").iterdir())
    assert info["download_size"] == sum(path.stat().st_size for path in shards)
    assert {split["name"]: split["num_examples"] for split in info["splits"]} == {
        "train": 24,
        "validation": 6,
    }
    assert info["dataset_size"] == sum(split["num_bytes"] for split in info["splits"])


def test_a_folder_that_lost_a_shard_does_not_load(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (copy / "data").mkdir(parents=True)
    (copy / "README.md").write_text((folder / "README.md").read_text())
    for path in sorted((folder / "data").iterdir())[1:]:
        (copy / "data" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(datasets.utils.info_utils.NonMatchingSplitsSizesError):
        load_dataset(str(copy))


def test_polars_duckdb_and_pandas_read_every_column(folder: Path) -> None:
    expected = {row["id"]: row for row in rows(folder)}
    for row in expected.values():
        del row["split"]
    files = folder / "data" / "*.parquet"
    table = duckdb.sql(f"select * from '{files}'")
    frames = [pandas.read_parquet(path) for path in (folder / "data").iterdir()]
    for read in (
        polars.read_parquet(files).to_dicts(),
        [dict(zip(table.columns, row, strict=True)) for row in table.fetchall()],
        pandas.concat(frames).to_dict("records"),
    ):
        assert {row["id"]: row for row in read} == expected
