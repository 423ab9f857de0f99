"""`Compositor`: the pairs of a build before they are encoded, and new ones without end."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from builder.errors import PlanError, RecipeError, SourceError, StateError
from human_segmentation import Compositor
from tests.building import build, rows
from tests.figures import draw
from tests.kit import png, write, write_layers

KNOBS = {"size": 128, "per_human": 3, "second_figure_probability": 0.5}


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_layers(tmp_path_factory.mktemp("layers"), humans=8, backgrounds=6)


@pytest.fixture(scope="module")
def published(layers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = [f"--set={name}={value}" for name, value in KNOBS.items()]
    output = tmp_path_factory.mktemp("build") / "folder"
    labels = "--labels=mask,trimap,foreground,background"
    options = ("--image-format=png", "--set=shard_megabytes=0.3", "--seed=5", labels, *settings)
    return build(output, "--source", layers, *options)


def make(layers: Path, **options: Any) -> Compositor:
    chosen: dict[str, Any] = {"settings": KNOBS, "progress": False, **options}
    return Compositor(source=str(layers), **chosen)


def pixels(encoded: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(encoded)))


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_first_epoch_is_the_published_dataset(
    layers: Path, published: Path, split: str
) -> None:
    compositor = Compositor(
        layers / "humans", layers / "backgrounds", plan=published, split=split, progress=False
    )
    expected = [row for row in rows(published) if row.pop("split") == split]
    assert len(compositor) == len(expected) > 2
    for sample, row in zip(compositor.epoch(0), expected, strict=True):
        assert sample.keys() == row.keys()
        for name, value in row.items():
            if isinstance(value, dict):
                assert np.array_equal(sample[name], pixels(value["bytes"])), name
            else:
                assert sample[name] == value


def test_without_a_plan_it_plans_as_a_build_does(layers: Path, published: Path) -> None:
    labels = {"labels": ("mask", "trimap", "foreground", "background")}
    settings = {**KNOBS, **labels, "shard_megabytes": 0.3, "image_format": "png"}
    compositor = make(layers, seed=5, settings=settings)
    expected = [row["id"] for row in rows(published) if row["split"] == "train"]
    assert [sample["id"] for sample in compositor] == expected


def test_every_epoch_has_composites_of_its_own(layers: Path) -> None:
    compositor, again = make(layers), make(layers)
    epochs = [list(compositor.epoch(number)) for number in range(3)]
    ids = [sample["id"] for samples in epochs for sample in samples]
    assert len(set(ids)) == len(ids) == 3 * len(compositor)
    met = [[(s["human"], s["background"]) for s in samples] for samples in epochs]
    assert sorted(met[1]) != sorted(met[0]) != sorted(met[2])
    for samples in epochs:
        assert set(Counter(sample["human"] for sample in samples).values()) == {3}
        uses = Counter(sample["background"] for sample in samples).values()
        assert max(uses) - min(uses) <= 1
    again.set_epoch(2)
    assert all(same(again[n], epochs[2][n]) for n in (4, 0, len(again) - 1))
    with pytest.raises(IndexError):
        again[len(again)]


def test_no_layer_of_validation_is_in_train(layers: Path) -> None:
    seen = {
        split: {
            value
            for epoch in range(3)
            for sample in make(layers, split=split).epoch(epoch)
            for value in (sample["human"], sample["background"])
        }
        for split in ("train", "validation")
    }
    assert not seen["train"] & seen["validation"]
    assert len(make(layers, split=None)) == 3 * 8


def test_another_length_only_cuts_the_same_sequence(layers: Path) -> None:
    whole, part = make(layers), make(layers, epoch_length=5)
    assert len(part) == 5
    for number in (0, 1, 6):
        expected = [whole.make(5 * number + n)["id"] for n in range(5)]
        assert [sample["id"] for sample in part.epoch(number)] == expected


@pytest.mark.parametrize("size", [(96, 96), (80, 120), (200, 64)])
def test_samples_of_a_size(tmp_path: Path, size: tuple[int, int]) -> None:
    large = {"human_size": (192, 256), "background_size": (256, 192)}
    layers = write_layers(tmp_path, humans=5, backgrounds=4, **large)
    compositor = make(layers, size=size, settings={**KNOBS, "labels": ("mask", "trimap")})
    frames = []
    for sample in compositor:
        frames.append(tuple(json.loads(sample["provenance"])["geometry"]["frame"][::-1]))
        assert sample["image"].shape == (*size, 3)
        assert sample["mask"].shape == sample["trimap"].shape == size
        assert set(np.unique(sample["trimap"])) <= {0, 128, 255}
        assert sample["mask"].mean() / 255 > 0.01
    # Composed for the frame that was asked for, not cut out of another.
    assert frames.count(size) > len(frames) / 2


def test_a_frame_far_wider_than_a_human_keeps_the_head(tmp_path: Path) -> None:
    layers = write_layers(tmp_path, humans=0, backgrounds=4, background_size=(256, 192))
    for seed in range(4):
        person = draw(192, 256, frozenset({"left", "right", "bottom"}), 0, seed)
        write(layers / "humans" / f"{seed}.png", png(person.rgba))
    for sample in make(layers, size=(80, 200), settings={"size": 128}):
        assert (sample["mask"][0] > 128).mean() < 0.1
        assert sample["mask"][-1].max() == 255


def test_channels_first(layers: Path) -> None:
    last, first = make(layers)[0], make(layers, layout="CHW")[0]
    assert np.array_equal(first["image"], last["image"].transpose(2, 0, 1))
    assert np.array_equal(first["mask"], last["mask"][None])
    assert first["image"].flags.c_contiguous


def ids(samples: Any) -> list[str]:
    return [sample["id"] for sample in samples]


def test_consumers_share_out_every_pass(layers: Path) -> None:
    compositor = make(layers, recipe="plain", size=(64, 64))
    passes = [
        ids(itertools.islice(compositor.stream(rank=rank, world_size=2), len(compositor)))
        for rank in range(2)
    ]
    everything = [own for part in passes for own in part]
    assert len(set(everything)) == len(everything)
    assert set(everything) == {*ids(compositor.epoch(0)), *ids(compositor.epoch(1))}


def test_an_unshuffled_stream_is_the_plan(layers: Path) -> None:
    compositor = make(layers)
    assert ids(compositor.stream(epochs=2, shuffle=False)) == [
        *ids(compositor.epoch(0)),
        *ids(compositor.epoch(1)),
    ]
    shuffled = ids(compositor.stream(epochs=1))
    assert shuffled != ids(compositor)
    assert sorted(shuffled) == sorted(ids(compositor))


@pytest.mark.parametrize("taken", [0, 1, 9, 30])
def test_a_stream_goes_on_from_its_state(layers: Path, taken: int) -> None:
    whole = ids(make(layers).stream(epochs=3))
    stream = make(layers).stream(epochs=3)
    assert ids(itertools.islice(stream, taken)) == whole[:taken]
    state = json.loads(json.dumps(stream.state_dict()))
    later = make(layers).stream(epochs=3)
    later.load_state_dict(state)
    assert ids(later) == whole[taken:]


def test_an_epoch_of_a_stream_is_chosen(layers: Path) -> None:
    stream = make(layers).stream(epochs=1)
    first = ids(stream)
    stream.set_epoch(1)
    assert first + ids(stream) == ids(make(layers).stream(epochs=2))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_data_loader_go_on_from_the_middle(layers: Path, method: str) -> None:
    data = pytest.importorskip("torch.utils.data", reason="torch is not installed")
    compositor = make(layers, size=(64, 64), kind="torch", layout="CHW")

    def batches(state: dict[str, Any] | None) -> list[Any]:
        stream = compositor.stream(epochs=2)
        if state:
            stream.load_state_dict(state)
        return list(data.DataLoader(stream, 3, num_workers=2, multiprocessing_context=method))

    whole = batches(None)
    assert len({own for batch in whole for own in batch["id"]}) == 2 * len(compositor)
    assert whole[0]["image"].shape == (3, 3, 64, 64)
    state = compositor.stream(epochs=2).state_after(3, batch_size=3, workers=2)
    later = batches(state)
    assert [batch["id"] for batch in later] == [batch["id"] for batch in whole[3:]]
    assert all((a["image"] == b["image"]).all() for a, b in zip(later, whole[3:], strict=True))


def test_a_map_style_data_loader_needs_nothing_else(layers: Path) -> None:
    data = pytest.importorskip("torch.utils.data", reason="torch is not installed")
    compositor = make(layers, size=(64, 64))
    loader = data.DataLoader(compositor, 4, shuffle=True, num_workers=1)
    seen = []
    for epoch in range(2):
        compositor.set_epoch(epoch)
        seen += [own for batch in loader for own in batch["id"]]
    assert sorted(seen) == sorted(ids(compositor.epoch(0)) + ids(compositor.epoch(1)))


def test_a_stateful_data_loader_asks_the_workers(layers: Path) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="no torchdata")
    compositor = make(layers, size=(64, 64))

    def loader() -> Any:
        return stateful.StatefulDataLoader(compositor.stream(epochs=2), 3, num_workers=2)

    whole = [batch["id"] for batch in loader()]
    begun = loader()
    for _ in itertools.islice(begun, 5):
        pass
    later = loader()
    later.load_state_dict(begun.state_dict())
    assert [batch["id"] for batch in later] == whole[5:]


def table(layers: Path, role: str) -> datasets.Dataset:
    paths = sorted((layers / f"{role}s").iterdir())
    cells = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    names = [f"{role}s/{path.name}" for path in paths]
    features = datasets.Features({"image": datasets.Image(), "name": datasets.Value("string")})
    return datasets.Dataset.from_dict({"image": cells, "name": names}, features)


@pytest.mark.parametrize("streamed", [False, True])
def test_tables_and_streams_give_what_files_give(layers: Path, streamed: bool) -> None:
    tables = [table(layers, role) for role in ("human", "background")]
    if streamed:
        tables = [each.to_iterable_dataset() for each in tables]
    compositor = Compositor(*tables, settings=KNOBS, progress=False)
    from_files = make(layers)
    assert len(compositor) == len(from_files)
    assert all(same(compositor[n], from_files[n]) for n in range(3))
    mixed = Compositor(tables[0], layers / "backgrounds", settings=KNOBS, progress=False)
    assert [s["human"] for s in mixed] == [s["human"] for s in from_files]


def test_torch_is_not_imported_where_nobody_asks(layers: Path) -> None:
    script = (
        "import sys; from human_segmentation import Compositor\n"
        "for blocked in (False, True):\n"
        "    if blocked: sys.modules['torch'] = None\n"
        f"    made = Compositor(source={str(layers)!r}, size=(64, 64), progress=False)\n"
        "    print(made[0]['mask'].shape, sys.modules.get('torch'))\n"
        "print(next(iter(made.stream()))['mask'].shape)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["(64, 64) None", "(64, 64) None", "(64, 64)"], done.stderr


def test_what_does_not_fit_says_so(layers: Path, published: Path, tmp_path: Path) -> None:
    few = write_layers(tmp_path / "few", humans=3, backgrounds=6)
    with pytest.raises(SourceError, match=r"layers of the plan are not among those given: human"):
        make(few, plan=published, settings=None)
    with pytest.raises(RecipeError, match="A plan has a recipe and a seed"):
        make(layers, plan=published)
    with pytest.raises(SourceError, match="Give humans and backgrounds"):
        Compositor(layers / "humans")
    with pytest.raises(RecipeError, match="size = "):
        make(layers, size=(32, 32))
    with pytest.raises(RecipeError, match="split = 'test' is none of"):
        make(layers, split="test")
    with pytest.raises(RecipeError, match="ranks count from 0"):
        make(layers).stream(rank=2, world_size=2)
    with pytest.raises(PlanError, match="needs two unlike humans"):
        make(write_layers(tmp_path / "one", humans=1, backgrounds=3))
    with pytest.raises(SourceError, match="take one of them"):
        Compositor(datasets.DatasetDict(train=table(layers, "human")), layers / "backgrounds")
    stream = make(layers).stream()
    stream.load_state_dict(make(layers).stream().state_after(1, 4, workers=2))
    with pytest.raises(StateError, match="Use as many workers"):
        next(iter(stream))
