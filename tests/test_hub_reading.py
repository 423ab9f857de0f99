"""A published dataset in the hands of those who read it from the Hub, over both transports."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import duckdb
import pandas
import pytest
from datasets import load_dataset
from huggingface_hub import HfFileSystem

from tests.building import SMALL, build, rows
from tests.hub import HubServer
from tests.publishing import REPO, send


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("reading") / "folder", *SMALL)


@pytest.fixture
def published(hub: HubServer, built: Path, tmp_path: Path) -> HubServer:
    """The Hub, with a dataset of several shards on it that is tagged v1."""
    shutil.copytree(built, tmp_path / "desk" / "folder")
    send(tmp_path / "desk", tag="v1")
    hub.forget()
    return hub


@pytest.fixture(scope="module")
def ids(built: Path) -> list[str]:
    """Of the rows of train, in order."""
    return [row["id"] for row in rows(built) if row["split"] == "train"]


def test_whole_splits_slices_columns_and_revisions(
    published: HubServer, ids: list[str], built: Path
) -> None:
    pairs = load_dataset(REPO)
    assert {split: part.num_rows for split, part in pairs.items()} == {
        "train": len(ids),
        "validation": len(rows(built)) - len(ids),
    }
    assert pairs["train"]["id"] == ids
    assert load_dataset(REPO, split="train[:10]")["id"] == ids[:10]
    assert load_dataset(REPO, split="train", revision="v1")["id"] == ids
    assert load_dataset(REPO, split="train", columns=["id", "human"]).column_names == [
        "id",
        "human",
    ]


def test_streaming_slices_columns_and_revisions(published: HubServer, ids: list[str]) -> None:
    stream = load_dataset(REPO, split="train", streaming=True)
    assert [row["id"] for row in stream] == ids
    assert [row["id"] for row in stream.take(10)] == ids[:10]
    tagged = load_dataset(REPO, split="train", streaming=True, revision="v1")
    assert [row["id"] for row in tagged.skip(10)] == ids[10:]
    narrow = load_dataset(REPO, split="train", streaming=True, columns=["id"])
    assert list(narrow) == [{"id": row_id} for row_id in ids]


def test_shuffling_with_a_buffer_gives_each_row_once(published: HubServer, ids: list[str]) -> None:
    stream = load_dataset(REPO, split="train", streaming=True).select_columns(["id"])
    # The second is what the card advises where several workers share a stream.
    for shuffled in (
        stream.shuffle(seed=0, buffer_size=8),
        stream.reshard().shuffle(seed=0, buffer_size=8, max_buffer_input_shards=1),
    ):
        given = [row["id"] for row in shuffled]
        assert given != ids
        assert sorted(given) == sorted(ids)


@pytest.mark.parametrize("taken", [1, 7, 20])
def test_a_stream_goes_on_from_its_state(published: HubServer, ids: list[str], taken: int) -> None:
    stream = load_dataset(REPO, split="train", streaming=True).select_columns(["id"])
    first = [row["id"] for row in itertools.islice(stream, taken)]
    iterator = iter(stream)
    for _ in range(taken):
        next(iterator)
    state = stream.state_dict()
    later = load_dataset(REPO, split="train", streaming=True).select_columns(["id"])
    later.load_state_dict(state)
    assert first + [row["id"] for row in later] == ids


def test_two_workers_of_a_data_loader_give_each_row_once(
    published: HubServer, ids: list[str]
) -> None:
    data = pytest.importorskip("torch.utils.data", reason="torch is not installed")
    stream = load_dataset(REPO, split="train", streaming=True).select_columns(["id"])
    # As the card says: `shuffle` alone would share these few files out to one worker.
    shuffled = stream.reshard().shuffle(seed=0, buffer_size=4, max_buffer_input_shards=1)
    assert shuffled.num_shards > stream.num_shards
    for each in (stream, shuffled):
        batches = data.DataLoader(each, batch_size=4, num_workers=2)
        assert sorted(row_id for batch in batches for row_id in batch["id"]) == sorted(ids)


def test_pandas_and_duckdb_read_through_the_hub_file_system(
    published: HubServer, ids: list[str]
) -> None:
    files = HfFileSystem(endpoint=published.url)
    paths = files.glob(f"datasets/{REPO}/data/train-*.parquet")
    frames = []
    for path in sorted(paths):
        with files.open(path) as file:
            frames.append(pandas.read_parquet(file, columns=["id"]))
    assert pandas.concat(frames)["id"].tolist() == ids
    connection = duckdb.connect()
    connection.register_filesystem(files)
    query = f"select id from 'hf://datasets/{REPO}/data/train-*.parquet'"
    assert sorted(row[0] for row in connection.sql(query).fetchall()) == sorted(ids)


def test_the_first_streamed_row_takes_few_requests(published: HubServer) -> None:
    row = next(iter(load_dataset(REPO, split="train", streaming=True)))
    assert (row["image"].mode, row["mask"].mode) == ("RGB", "L")
    assert len(published.requests) <= 14
