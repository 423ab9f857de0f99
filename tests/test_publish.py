"""Publishing to the loopback Hub, over both transports: what travels, what moves, what stays."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard

from builder.errors import FolderError, HubError
from builder.hub import publish
from tests.building import build, digests, rows
from tests.hub import HubServer
from tests.publishing import (
    KNOBS,
    REPO,
    add_humans,
    assert_published,
    manifest,
    remove_human,
    send,
    shards,
)


def test_the_first_publishing_brings_all_of_it_in_one_commit(hub: HubServer, desk: Path) -> None:
    result = send(desk)
    assert_published(hub, desk)
    assert hub.commits(REPO)[0].oid == result.commit
    assert len(hub.commits(REPO)) == 2
    assert result.url == f"{hub.url}/datasets/{REPO}"
    assert result.verified == ("train", "validation")
    assert {change.kind for change in result.plan.comparison.changes} == {"new"}


def test_what_was_published_is_what_was_built(hub: HubServer, desk: Path) -> None:
    revision = send(desk).revision
    local = {row["id"]: row for row in rows(desk / "folder")}
    for split in ("train", "validation"):
        for row in load_dataset(REPO, split=split, streaming=True, revision=revision):
            assert json.loads(row["provenance"]) == json.loads(local[row["id"]]["provenance"])
            del local[row["id"]]
    assert not local


def test_rows_of_each_split_are_read_back_after_the_commit(hub: HubServer, desk: Path) -> None:
    send(desk)
    kinds = [(record.kind, record.path) for record in hub.requests]
    committed = max(place for place, (kind, _) in enumerate(kinds) if kind == "commit")
    read = [path for kind, path in kinds[committed:] if kind == "download"]
    for split in ("train", "validation"):
        assert any(f"data/{split}-00000.parquet" in path for path in read) or hub.transport == "xet"
    assert read


def test_an_interrupted_build_is_finished_before_it_is_published(
    hub: HubServer, desk: Path
) -> None:
    staging = desk / "folder" / ".build"
    staging.mkdir()
    shutil.copy(desk / "folder" / "manifest.json", staging)
    with pytest.raises(FolderError, match="its last build was interrupted"):
        send(desk)
    assert REPO not in hub.repositories


def test_nothing_changed_is_no_commit_and_no_bytes(hub: HubServer, desk: Path) -> None:
    first = send(desk)
    before = digests(desk / "folder")
    hub.forget()
    again = send(desk)
    assert again.plan.comparison.is_empty
    assert again.commit == first.commit
    assert hub.sent("upload") == 0
    assert not hub.records("commit")
    assert digests(desk / "folder") == before


def test_an_update_sends_only_new_shards(hub: HubServer, desk: Path) -> None:
    send(desk)
    before = shards(desk / "folder")
    add_humans(desk, 50, 51)
    new = {path: data for path, data in shards(desk / "folder").items() if path not in before}
    hub.forget()
    result = send(desk)
    assert_published(hub, desk)
    assert {change.path for change in result.plan.comparison.of("new")} == set(new)
    pictures = (desk / "folder" / "assets" / "examples.jpg").stat().st_size
    assert 0 < hub.sent("upload") < 1.05 * (sum(map(len, new.values())) + pictures) + 4000
    assert len(hub.records("commit")) == 1


def test_a_shard_that_went_is_deleted_and_its_name_not_reused_in_vain(
    hub: HubServer, desk: Path
) -> None:
    add_humans(desk, *range(50, 56))
    send(desk)
    before = set(hub.files(REPO))
    for path in (desk / "layers" / "humans").glob("new-*.png"):
        path.unlink()
    remove_human(desk)
    result = send(desk)
    assert result.plan.comparison.of("deleted")
    assert set(hub.files(REPO)) < before
    assert_published(hub, desk)


def test_deleting_needs_consent(hub: HubServer, desk: Path) -> None:
    add_humans(desk, *range(50, 56))
    send(desk)
    for path in (desk / "layers" / "humans").glob("new-*.png"):
        path.unlink()
    remove_human(desk)
    before = hub.commits(REPO)[0].oid
    with pytest.raises(HubError, match="nobody was asked"):
        send(desk, confirm=None)
    with pytest.raises(HubError, match="left as it is"):
        send(desk, confirm=lambda plan: not plan.comparison.needs_consent)
    assert hub.commits(REPO)[0].oid == before


def test_another_dataset_is_replaced_only_with_consent(
    hub: HubServer, desk: Path, tmp_path: Path
) -> None:
    send(desk)
    before = hub.commits(REPO)[0].oid
    other = tmp_path / "other"
    build(other / "folder", "--source", desk / "layers", *KNOBS, "--seed", "9")
    with pytest.raises(HubError, match="replace the dataset"):
        send(other, confirm=None)
    assert hub.commits(REPO)[0].oid == before
    assert send(other).plan.comparison.replaces
    assert_published(hub, other)


def test_what_others_wrote_stays(hub: HubServer, desk: Path) -> None:
    hub.create(REPO)
    theirs = {
        "LICENSE": b"mine",
        "data/notes.csv": b"a,b\n1,2\n",
        "README.md": b"---\nlicense: cc-by-4.0\nlanguage: [de]\n---\n# My words\n\nRead them.\n",
    }
    hub.commit(REPO, dict(theirs))
    send(desk)
    add_humans(desk, 50)
    send(desk)
    there = hub.files(REPO)
    for name in ("LICENSE", "data/notes.csv"):
        assert there[name] == theirs[name]
    card = there["README.md"].decode()
    assert "# My words\n\nRead them." in card
    data = DatasetCard(card).data.to_dict()
    assert (data["license"], data["language"]) == ("cc-by-4.0", ["de"])
    assert data["task_categories"] == ["image-segmentation"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("data/train-00000.parquet", "did not write it"),
        ("manifest.json", "cannot be used"),
        ("assets/examples.jpg", "did not write it"),
        ("data/train-00000-of-00002.parquet", "would mix it"),
        ("data/validation-00009.parquet", "would mix it"),
    ],
)
def test_a_file_of_somebody_else_is_never_overwritten_or_mixed_in(
    hub: HubServer, desk: Path, name: str, message: str
) -> None:
    hub.create(REPO)
    hub.commit(REPO, {name: b"theirs"})
    before = hub.files(REPO)
    with pytest.raises(HubError, match=message) as caught:
        send(desk)
    assert name in str(caught.value)
    assert hub.files(REPO) == before


def test_a_shard_that_somebody_changed_on_the_hub_is_not_overwritten(
    hub: HubServer, desk: Path
) -> None:
    send(desk)
    hub.commit(REPO, {"data/train-00000.parquet": b"theirs"})
    with pytest.raises(HubError, match=r"train-00000.parquet: was changed in the repository"):
        send(desk)
    assert hub.files(REPO)["data/train-00000.parquet"] == b"theirs"


def test_a_shard_that_somebody_changed_on_the_hub_is_not_deleted(
    hub: HubServer, desk: Path
) -> None:
    before = set(shards(desk / "folder"))
    add_humans(desk, *range(50, 56))
    (path, *_) = sorted(set(shards(desk / "folder")) - before)
    send(desk)
    hub.commit(REPO, {path: b"theirs"})
    for human in (desk / "layers" / "humans").glob("new-*.png"):
        human.unlink()
    remove_human(desk)
    assert path not in shards(desk / "folder")
    with pytest.raises(HubError, match="was changed in the repository"):
        send(desk)
    assert hub.files(REPO)[path] == b"theirs"


def test_a_shard_that_somebody_deleted_on_the_hub_comes_back(hub: HubServer, desk: Path) -> None:
    send(desk)
    hub.commit(REPO, {"data/train-00000.parquet": None})
    send(desk)
    assert_published(hub, desk)


def test_a_renamed_shard_is_copied_there_and_not_sent(hub: HubServer, desk: Path) -> None:
    send(desk)
    values = manifest(desk / "folder")
    shard = next(one for one in values["shards"] if one["name"] == "train-00000.parquet")
    shard |= {"name": "train-00077.parquet", "index": 77}
    (desk / "folder" / "manifest.json").write_text(json.dumps(values))
    data = desk / "folder" / "data"
    (data / "train-00000.parquet").rename(data / "train-00077.parquet")
    hub.forget()
    result = send(desk)
    renamed = result.plan.comparison.of("renamed")
    assert [(one.origin, one.path) for one in renamed] == [
        ("data/train-00000.parquet", "data/train-00077.parquet")
    ]
    assert hub.sent("upload") == 0
    assert set(shards(desk / "folder")) == {f for f in hub.files(REPO) if f.startswith("data/")}


def test_a_dry_run_changes_nothing(hub: HubServer, desk: Path) -> None:
    result = send(desk, dry_run=True)
    assert REPO not in hub.repositories
    assert result.commit is None
    assert len(result.plan.comparison.of("new")) == len(shards(desk / "folder")) + 3
    assert {record.method for record in hub.requests} <= {"GET", "HEAD"}


def test_a_pull_request_leaves_the_branch_and_is_opened_once(hub: HubServer, desk: Path) -> None:
    send(desk)
    main = hub.commits(REPO)[0].oid
    add_humans(desk, 50)
    result = send(desk, create_pr=True)
    assert hub.commits(REPO)[0].oid == main
    assert result.url.endswith("/discussions/1")
    there = hub.files(REPO, "refs/pr/1")
    assert {name: there[name] for name in shards(desk / "folder")} == shards(desk / "folder")
    again = send(desk, create_pr=True)
    assert again.url == result.url
    assert "refs/pr/2" not in hub.repositories[REPO].refs


def test_a_branch_of_its_own(hub: HubServer, desk: Path) -> None:
    send(desk)
    main = hub.commits(REPO)[0].oid
    add_humans(desk, 50)
    send(desk, branch="next")
    assert hub.commits(REPO)[0].oid == main
    assert_published(hub, desk, "next")


def test_versions_are_tagged_and_can_be_read_for_ever(hub: HubServer, desk: Path) -> None:
    first = send(desk, tag="v1")
    assert first.revision == "v1"
    counts = load_dataset(REPO, split="train", revision="v1").num_rows
    add_humans(desk, *range(50, 56))
    second = send(desk, tag="v2")
    names = hub.repositories[REPO].names("tags")
    assert names == {"v1": first.commit, "v2": second.commit}
    assert load_dataset(REPO, split="train", revision="v1").num_rows == counts
    assert load_dataset(REPO, split="train", revision="v2").num_rows > counts
    assert send(desk, tag="v2").commit == second.commit


def test_a_tag_that_is_taken_is_refused_before_anything_is_sent(hub: HubServer, desk: Path) -> None:
    send(desk, tag="v1")
    add_humans(desk, 50)
    hub.forget()
    # The tag names the branch's head, which this publishing would leave behind.
    with pytest.raises(HubError, match="v1"):
        send(desk, tag="v1")
    assert hub.sent("upload") == 0
    assert len(hub.commits(REPO)) == 2


def test_the_changelog_of_the_card_grows(hub: HubServer, desk: Path) -> None:
    send(desk, tag="v1")
    add_humans(desk, 50, 51)
    send(desk, tag="v2")
    card = hub.files(REPO)["README.md"].decode()
    assert card.index("v2, ") < card.index("v1, ")
    assert "humans: 2 added, 0 removed" in card
    assert card == (desk / "folder" / "README.md").read_text()


def test_new_card_text_alone_sends_no_shard(hub: HubServer, desk: Path) -> None:
    send(desk)
    path = desk / "folder" / "README.md"
    path.write_text(path.read_text() + "\n## Notes\n\nWritten by hand.\n")
    hub.forget()
    result = send(desk)
    assert [change.path for change in result.plan.comparison.of("changed")] == ["README.md"]
    assert hub.sent("upload") == 0
    assert "Written by hand." in hub.files(REPO)["README.md"].decode()


def test_text_written_on_the_hub_comes_back_to_the_folder(hub: HubServer, desk: Path) -> None:
    send(desk)
    there = hub.files(REPO)["README.md"].decode()
    hub.commit(REPO, {"README.md": f"{there}\n## Thanks\n\nTo all.\n".encode()})
    add_humans(desk, 50)
    send(desk)
    assert "To all." in hub.files(REPO)["README.md"].decode()
    assert "To all." in (desk / "folder" / "README.md").read_text()


def test_text_that_was_changed_on_both_sides_is_left_to_the_user(
    hub: HubServer, desk: Path
) -> None:
    send(desk)
    there = hub.files(REPO)["README.md"].decode()
    hub.commit(REPO, {"README.md": f"{there}\n## Thanks\n\nTo all.\n".encode()})
    path = desk / "folder" / "README.md"
    path.write_text(path.read_text() + "\n## Notes\n\nWritten by hand.\n")
    with pytest.raises(FolderError, match=r"README\.md"):
        send(desk)


def test_a_name_alone_is_one_of_the_users_own(hub: HubServer, desk: Path) -> None:
    assert send(desk, repo_id="pairs").plan.repo_id == "me/pairs"
    assert_published(hub, desk)


def test_a_new_repository_is_as_private_as_asked(hub: HubServer, desk: Path) -> None:
    send(desk, private=True)
    assert hub.repositories[REPO].private


@pytest.mark.parametrize("what", ["missing", "longer", "other bytes"])
def test_a_damaged_folder_is_not_published(hub: HubServer, desk: Path, what: str) -> None:
    path = desk / "folder" / "data" / "train-00000.parquet"
    content = bytearray(path.read_bytes())
    if what == "missing":
        path.unlink()
    elif what == "longer":
        path.write_bytes(bytes(content) + b"?")
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(FolderError, match=r"train-00000\.parquet"):
        send(desk)
    assert REPO not in hub.repositories or len(hub.commits(REPO)) == 1


def test_a_folder_that_is_no_dataset_is_not_published(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"manifest\.json"):
        publish(tmp_path, REPO, progress=False)
    assert hub.requests == []


def test_the_examples_are_pictures(hub: HubServer, desk: Path) -> None:
    from PIL import Image

    send(desk)
    assert Image.open(io.BytesIO(hub.files(REPO)["assets/examples.jpg"])).format == "JPEG"
