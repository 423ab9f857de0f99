"""README.md of a built folder: what the Hub, `datasets` and a reader find in it, and what stays."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard
from PIL import Image

from builder.card import make_card, write_card
from builder.card.parts import END, START
from builder.errors import FolderError
from builder.manifest import Manifest, read_manifest
from tests.building import SMALL, build, rows, run
from tests.cards import CARD, HOSTILE, LARGER, MANIFEST, body, edited, metadata
from tests.kit import png, portrait, write, write_layers

SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("card") / "human-segmentation", *SMALL)


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def table(card: str, heading: str) -> list[list[str]]:
    """Return the rows of the table whose first head is `heading`."""
    found = re.search(rf"^\| {heading} \|.*\n\|---.*\n((?:\|.*\n)+)", card, re.MULTILINE)
    assert found, heading
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in found[1].splitlines()]


def test_the_hub_reads_its_metadata(folder: Path) -> None:
    data = DatasetCard.load(folder / "README.md").data.to_dict()
    assert data["license"] == "apache-2.0"
    assert data["task_categories"] == ["image-segmentation"]
    assert data["size_categories"] == ["n<1K"]
    assert {"image-matting", "background-removal"} <= set(data["tags"])
    assert data["configs"] == [
        {
            "config_name": "default",
            "data_files": [
                {"split": "train", "path": "data/train-*.parquet"},
                {"split": "validation", "path": "data/validation-*.parquet"},
            ],
        }
    ]


def test_datasets_finds_its_metadata_true(folder: Path) -> None:
    info = datasets.load_dataset_builder(str(folder)).info
    assert {name: split.num_examples for name, split in info.splits.items()} == {
        "train": 24,
        "validation": 6,
    }
    assert info.download_size == sum(path.stat().st_size for path in (folder / "data").iterdir())
    for name, split in info.splits.items():
        files = [pq.read_metadata(path) for path in (folder / "data").glob(f"{name}-*")]
        groups = [file.row_group(n) for file in files for n in range(file.num_row_groups)]
        assert split.num_bytes == sum(group.total_byte_size for group in groups)
    # Loading compares the counts, and would refuse others.
    assert datasets.load_dataset(str(folder))["train"].features == info.features


def test_the_example_grid_is_there(folder: Path, text: str) -> None:
    [path] = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert Image.open(folder / path).size > (500, 300)


def test_its_counts_are_those_of_the_shards(folder: Path, text: str) -> None:
    made = rows(folder)
    for split, pairs, humans, backgrounds, shards, size in table(text, "split"):
        own = [row for row in made if split in (row["split"], "all")]
        files = list((folder / "data").glob("*" if split == "all" else f"{split}-*"))
        assert (int(pairs), int(shards)) == (len(own), len(files))
        assert int(humans) == len({row["human"] for row in own})
        assert int(backgrounds) == len({row["background"] for row in own})
        assert size == f"{sum(path.stat().st_size for path in files) / 1e6:.1f} MB"


def test_its_plot_counts_masks_by_what_they_cover(folder: Path, text: str) -> None:
    counted: Counter[tuple[str, int]] = Counter()
    for row in rows(folder):
        mask = np.asarray(Image.open(io.BytesIO(row["mask"]["bytes"])))
        counted[row["split"], int(mask.mean() / 25.5)] += 1
    lines = re.findall(r"^ ?(\d+) to .*? %\s+(\d+)\s+(\d+) *(\S*)$", text, re.MULTILINE)
    assert [int(first) for first, *_ in lines] == list(range(0, 100, 10))
    for first, train, validation, _ in lines:
        tenth = int(first) // 10
        assert int(train) == counted["train", tenth]
        assert int(validation) == counted["validation", tenth]
    bars = {int(train) + int(validation): len(bar) for _, train, validation, bar in lines}
    assert bars[0] == 0
    assert bars[max(bars)] == 32
    assert sorted(bars.values()) == [bars[total] for total in sorted(bars)]


def test_it_holds_the_recipe_in_full(folder: Path, text: str) -> None:
    [recipe] = re.findall(r"^```toml\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)
    assert recipe.strip() == read_manifest(folder).recipe.to_toml().strip()


def test_its_snippets_run_as_written(
    folder: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    results = []
    for snippet in SNIPPET.findall(text):
        names: dict[str, object] = {}
        exec(snippet, names)
        results.append(names)
    arrays, stream, parts, _ = results
    assert arrays["image"].shape == (*arrays["alpha"].shape, 3)  # type: ignore[attr-defined]
    assert stream["pair"]["mask"].mode == "L"  # type: ignore[index]
    assert parts["some"].num_rows == 2  # type: ignore[attr-defined]
    covered = [json.loads(row["provenance"])["coverage"] for row in rows(folder)[:24]]
    assert len(parts["large"]) == sum(value > 0.3 for value in covered)  # type: ignore[arg-type]


def test_snippets_for_a_repository_name_it_and_its_revision() -> None:
    card = make_card(MANIFEST, repo_id="me/portraits_1")
    snippets = SNIPPET.findall(card)
    for snippet in snippets:
        compile(snippet, "snippet", "exec")
        assert '"me/portraits_1"' in snippet
    assert any("revision=revision" in snippet for snippet in snippets)
    assert any("streaming=True" in snippet for snippet in snippets)
    with pytest.raises(FolderError, match="not the id of a repository"):
        make_card(MANIFEST, repo_id='me/x", trust_remote_code=True, data_dir="')


def test_left_out_pictures_are_counted_by_reason_and_not_named(tmp_path: Path) -> None:
    layers = write_layers(tmp_path / "layers", humans=5, backgrounds=5)
    name = HOSTILE.replace("/", "_")
    for number in range(2):
        write(layers / "humans" / f"{name}{number}.png", b"<html>")
    write(layers / "humans" / f"{name}.png", png(portrait(0)))
    write(layers / "backgrounds" / "tiny.png", png(np.zeros((9, 9, 3), np.uint8)))
    card = (build(tmp_path / "out", "--source", layers, "--size", "128") / "README.md").read_text()
    assert table(card, "reason") == [
        ["not a picture", "2"],
        ["byte-identical duplicate", "1"],
        ["too small", "1"],
    ]
    assert "onerror" not in card
    assert metadata(card)["license"] == "unknown"
    assert "human-segmentation card DIR --license" in card


def test_hostile_names_stay_plain() -> None:
    def manifest(name: str) -> Manifest:
        return replace(
            MANIFEST,
            version=name,
            libraries={name: name},
            recipe=MANIFEST.recipe.replace({"name": name}),
            left_out=({"name": name, "role": "human", "reason": name},),
        )

    harmless_name = re.sub(r"[^ ]", "x", HOSTILE)
    hostile, harmless = (make_card(manifest(name)) for name in (HOSTILE, harmless_name))
    acted_upon = "`<>[]()|!&\\\"'{}#*\n"
    assert [char for char in hostile if char in acted_upon] == [
        char for char in harmless if char in acted_upon
    ]
    assert metadata(hostile) == metadata(harmless)


@pytest.mark.parametrize(
    ("sources", "license_id", "known"),
    [
        (("sample",), "apache-2.0", True),
        (("drive",), "unknown", False),
        (("files",), "unknown", False),
        (("files", "sample"), "unknown", False),
        ((), "unknown", False),
    ],
)
def test_the_licence_is_claimed_only_for_what_was_drawn(
    sources: tuple[str, ...], license_id: str, known: bool
) -> None:
    card = make_card(replace(MANIFEST, sources=sources))
    assert metadata(card)["license"] == license_id
    assert ("**Licence of this dataset:** not known" not in card) is known
    assert ("LayerDiffuse" in card) is ("drive" in sources)
    assert ("Layers from a folder on Google Drive" in card) is ("drive" in sources)
    assert ("Layers from files" in card) is ("files" in sources)
    assert ("Layers drawn by" in card) is ("sample" in sources)


def test_a_licence_that_nobody_set_follows_the_sources() -> None:
    drawn = make_card(replace(MANIFEST, sources=("sample",)))
    assert metadata(make_card(MANIFEST, drawn))["license"] == "unknown"
    chosen = make_card(MANIFEST, license_id="apache-2.0")
    assert metadata(make_card(MANIFEST, chosen))["license"] == "apache-2.0"
    assert "**Licence of this dataset:** `apache-2.0`" in chosen
    weird = make_card(MANIFEST, edited(CARD, license=["mit", HOSTILE]))
    assert metadata(weird)["license"] == ["mit", HOSTILE]
    assert "onerror" not in body(weird).replace("_img src_x onerror_alert_1__", "")


def test_the_command_writes_the_card_anew(copy: Path, text: str) -> None:
    path = copy / "README.md"
    path.write_text(text.replace("| train | 24 |", "| train | 99 |"), encoding="utf-8")
    assert f"Wrote {path}" in run("card", copy).stdout
    assert path.read_text(encoding="utf-8") == text
    path.unlink()
    assert write_card(read_manifest(copy), copy) == path
    assert path.read_text(encoding="utf-8") == text


def test_the_command_explains_itself(tmp_path: Path) -> None:
    assert "  human-segmentation card" in run("card", "--help").stdout.partition("Example")[2]
    assert "  card " in run("--help").stdout
    done = run("card", tmp_path)
    assert (done.returncode, "human-segmentation build" in done.stderr) == (1, True)


def test_a_licence_is_set_by_the_command_and_stays(copy: Path) -> None:
    assert run("card", copy, "--license", "cc-by-4.0").returncode == 0
    write_card(replace(read_manifest(copy), seed=1), copy)
    card = (copy / "README.md").read_text(encoding="utf-8")
    assert metadata(card)["license"] == "cc-by-4.0"
    assert "**Licence of this dataset:** `cc-by-4.0`" in card
    done = run("card", copy, "--license", "CC BY: 4")
    assert done.returncode == 1
    assert "'CC BY: 4' is not the id of a licence" in done.stderr
    assert (copy / "README.md").read_text(encoding="utf-8") == card


def test_what_the_user_wrote_survives(copy: Path, text: str) -> None:
    path = copy / "README.md"
    own = "# Ours\n\n  indented, [linked](x)\n"
    mine = text.replace(START, f"{own}\n{START}") + "\n## Thanks\n\nTo all.\n"
    mine = mine.replace("- synthetic\n", "- portraits\n").replace("task_categories:", "tasks: 1.10")
    mine = mine.replace("- image-segmentation\n", "# why not\nlanguage: [no]\n")
    mine = mine.replace("- config_name: default", "- config_name: extra\n  data_files: x.csv\n", 1)
    path.write_text(mine, encoding="utf-8")
    assert run("card", copy).returncode == 0
    card = path.read_text(encoding="utf-8")
    assert body(card).lstrip("\n").startswith(own)
    assert card.endswith(f"{END}\n\n## Thanks\n\nTo all.\n")
    # Numbers, comments and words that YAML reads as something else stay as they are written.
    assert "tasks: 1.10\n# why not\nlanguage: [no]\n" in card
    data = metadata(card)
    assert data["tags"] == [
        "background-removal",
        "human-segmentation",
        "image-matting",
        "portraits",
    ]
    assert "task_categories" not in data
    assert [config["config_name"] for config in data["configs"]] == ["extra", "default"]
    assert data["dataset_info"] == metadata(text)["dataset_info"]
    assert make_card(read_manifest(copy), card) == card


def test_what_is_measured_is_never_the_users() -> None:
    stale = edited(CARD, size_categories=["n>1T"], dataset_info=None, configs=None)
    new = make_card(LARGER, stale)
    assert metadata(new) == metadata(make_card(LARGER))


@pytest.mark.parametrize(
    ("pairs", "category"),
    [(999, "n<1K"), (1000, "1K<n<10K"), (10**8, "100M<n<1B"), (10**12, "n>1T")],
)
def test_size_categories_are_those_of_the_hub(pairs: int, category: str) -> None:
    shard = replace(MANIFEST.shards[0], rows=pairs)
    assert metadata(make_card(replace(MANIFEST, shards=(shard,))))["size_categories"] == [category]


def test_the_file_keeps_its_line_ends(copy: Path, text: str) -> None:
    (copy / "README.md").write_bytes(text.replace("\n", "\r\n").encode())
    write_card(read_manifest(copy), copy)
    assert (copy / "README.md").read_bytes() == text.replace("\n", "\r\n").encode()


@pytest.mark.parametrize("content", [b"---\na: [\n---\n", b"\xff\xfe\x00"])
def test_a_broken_card_is_named_and_left_alone(copy: Path, content: bytes) -> None:
    path = copy / "README.md"
    path.write_bytes(content)
    done = run("card", copy)
    assert done.returncode == 1
    assert f"error: {path}: " in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == content


def test_an_updated_dataset_does_not_claim_to_be_made_at_once() -> None:
    assert "give the same bytes" in CARD
    card = make_card(replace(MANIFEST, history=("0" * 64, "1" * 64)))
    assert "give the same bytes" not in card
    assert "updated 2 times" in card
