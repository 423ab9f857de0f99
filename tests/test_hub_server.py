"""The loopback Hub is a Hub, as far as unmodified clients can tell."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import requests
from datasets import Dataset, Features, Image, Value, load_dataset
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfFileSystem,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.drive_server import DriveServer
from tests.hub import TOKEN, HubServer
from tests.hub_case import REPO, UPLOADS, Client, lfs_alone, noise, xet_alone


def in_child(hub: HubServer, *command: str) -> str:
    """What a process of its own prints."""
    environment = {**os.environ, **hub.environment}
    done = subprocess.run(
        command, check=False, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def hf(hub: HubServer, *arguments: str) -> str:
    """What the `hf` command prints."""
    return in_child(hub, str(Path(sys.executable).with_name("hf")), *arguments)


def test_a_folder_comes_back_as_it_went(hub: HubServer, api: Client, tmp_path: Path) -> None:
    files = {
        "README.md": b"---\nlicense: mit\n---\nPairs",
        "data/train-0.parquet": noise(300_000),
        # Xet packs what repeats, and what repeats every four bytes in a way of its own.
        "data/train-1.parquet": bytes(200_000),
        "data/train-2.parquet": np.linspace(0, 1, 100_000, dtype=np.float32).tobytes(),
        "deep/er/notes.txt": "ümläut".encode(),
    }
    for name, content in files.items():
        path = tmp_path / "local" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    commit = api.upload_folder(repo_id=REPO, repo_type="dataset", folder_path=tmp_path / "local")
    attributes = hub.files(REPO).pop(".gitattributes")
    assert hub.files(REPO) == {**files, ".gitattributes": attributes}
    assert hub.commits(REPO)[0].oid == commit.oid

    folder = tmp_path / "copy"
    snapshot_download(REPO, repo_type="dataset", local_dir=folder)
    assert {name: (folder / name).read_bytes() for name in files} == files

    def verify() -> list[str]:
        found = api.verify_repo_checksums(REPO, repo_type="dataset", local_dir=folder)
        assert found.missing_paths == []
        return [mismatch["path"] for mismatch in found.mismatches]

    assert verify() == []
    (folder / "data/train-1.parquet").write_bytes(b"other")
    (folder / "deep/er/notes.txt").write_bytes(b"other")
    assert verify() == ["data/train-1.parquet", "deep/er/notes.txt"]


def test_what_is_there_is_not_sent_again(hub: HubServer, api: Client) -> None:
    content = noise(400_000)
    api.add({"data/a.parquet": content})
    # Xet sends a little more than the content: chunk headers and the list of chunks.
    extra = 5_000 if hub.transport == "xet" else 0
    assert len(content) <= hub.sent("upload") <= len(content) + extra
    assert len(hub.records("commit")) == 1
    hub.forget()
    api.add({"data/a.parquet": content})
    assert hub.sent("upload") <= extra
    assert hub.records("commit") == []
    assert not hub.records("unknown")


def test_a_commit_on_a_stale_parent_is_refused(hub: HubServer, api: Client) -> None:
    parent = api.repo_info(REPO, repo_type="dataset").sha
    addition = CommitOperationAdd("data/a.parquet", noise(200_000))
    api.preupload_lfs_files(REPO, [addition], repo_type="dataset", free_memory=False)
    assert len(hub.commits(REPO)) == 1
    hub.before("POST", "/commit/", lambda: hub.commit(REPO, {"theirs": b"1"}, "theirs"))
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as failure:
        api.do([addition], parent_commit=parent)
    assert failure.value.response.status_code == 412
    assert [commit.title for commit in hub.commits(REPO)] == ["theirs", "initial commit"]
    hub.forget()
    api.do([addition], "mine", parent_commit=hub.commits(REPO)[0].oid)
    assert hub.sent("upload") == 0
    assert {"theirs", "data/a.parquet"} < hub.files(REPO).keys()


def test_a_pull_request_leaves_the_branch_alone(
    hub: HubServer, api: Client, tmp_path: Path
) -> None:
    first = api.add({"a.parquet": noise(50_000)}, "Add a", create_pr=True)
    assert (first.pr_num, first.pr_revision) == (1, "refs/pr/1")
    (tmp_path / "local").mkdir()
    (tmp_path / "local/b.parquet").write_bytes(b"b")
    # Over Xet this opens the request first, then commits to it.
    second = api.upload_folder(
        repo_id=REPO, repo_type="dataset", folder_path=tmp_path / "local", create_pr=True
    )
    assert second.pr_num == 2
    assert hub.files(REPO).keys() == {".gitattributes"}
    assert hub.files(REPO, "refs/pr/1")["a.parquet"] == noise(50_000)
    api.add({"c": b"c"}, revision="refs/pr/2")
    refs = api.list_repo_refs(REPO, repo_type="dataset", include_pull_requests=True)
    assert [ref.ref for ref in refs.pull_requests or []] == ["refs/pr/1", "refs/pr/2"]
    assert hub.files(REPO, "refs/pr/2").keys() == {".gitattributes", "b.parquet", "c"}
    found = api.get_repo_discussions(REPO, repo_type="dataset")
    assert [(pull.num, pull.title) for pull in found] == [(1, "Add a"), (2, second.commit_message)]


@lfs_alone
def test_tags_and_branches(hub: HubServer, api: Client) -> None:
    old = api.add({"a": b"old"})
    api.create_tag(REPO, tag="v1", revision=old.oid, repo_type="dataset")
    api.create_branch(REPO, branch="side", repo_type="dataset")
    api.add({"a": b"new"})
    path = hf_hub_download(REPO, "a", revision="v1", repo_type="dataset")
    assert Path(path).read_bytes() == b"old"
    api.add({"a": b"aside"}, revision="side")
    assert [hub.files(REPO, name)["a"] for name in ("v1", "side", "main")] == [
        b"old",
        b"aside",
        b"new",
    ]
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag(REPO, tag="v1", repo_type="dataset")
    api.create_tag(REPO, tag="v1", repo_type="dataset", exist_ok=True)
    assert hub.repositories[REPO].names("tags") == {"v1": old.oid}
    for tag in ("v1", "refs/tags/v1"):
        with pytest.raises(RevisionNotFoundError):
            api.add({"a": b"on a tag"}, revision=tag)
    api.delete_tag(REPO, tag="v1", repo_type="dataset")
    api.delete_branch(REPO, branch="side", repo_type="dataset")
    for gone in ("v1", "side"):
        with pytest.raises(RevisionNotFoundError):
            api.repo_info(REPO, revision=gone, repo_type="dataset")
    assert api.repo_info(REPO, revision=old.oid[:8], repo_type="dataset").sha == old.oid


@lfs_alone
def test_deletions(hub: HubServer, api: Client) -> None:
    api.add({"a": b"1", "b/c": b"2", "b/d": b"3", "e": b"4"})
    api.do([CommitOperationDelete("a"), CommitOperationDelete("b/")])
    assert hub.files(REPO).keys() == {".gitattributes", "e"}
    with pytest.raises(EntryNotFoundError):
        api.do([CommitOperationDelete("a")])
    api.delete_repo(REPO, repo_type="dataset")
    with pytest.raises(RepositoryNotFoundError):
        api.repo_info(REPO, repo_type="dataset")


def test_copies_send_nothing(hub: HubServer, api: Client) -> None:
    api.add({"a.parquet": noise(300_000), "small": b"small"})
    hub.forget()
    api.do(
        [
            CommitOperationCopy("a.parquet", "b.parquet"),
            CommitOperationCopy("small", "copy"),
            CommitOperationDelete("a.parquet"),
        ]
    )
    assert hub.sent("upload") == 0
    files = hub.files(REPO)
    assert files.keys() == {".gitattributes", "b.parquet", "small", "copy"}
    assert (files["b.parquet"], files["copy"]) == (noise(300_000), b"small")


@lfs_alone
def test_listings_come_in_pages(hub: HubServer, api: Client) -> None:
    first = api.add({f"data/{number}": b"%d" % number for number in range(7)}, "first")
    api.add({"data/3": b"changed"}, "second")
    hub.page_size = 3
    hub.forget()
    entries = list(api.list_repo_tree(REPO, recursive=True, expand=True, repo_type="dataset"))
    assert len(hub.requests) == 3
    names = [".gitattributes", "data", *(f"data/{number}" for number in range(7))]
    assert [entry.path for entry in entries] == names
    last = {entry.path: entry.last_commit for entry in entries}
    assert (last["data/2"]["oid"], last["data/3"]["title"]) == (first.oid, "second")
    flat = api.list_repo_tree(REPO, repo_type="dataset")
    assert [entry.path for entry in flat] == names[:2]
    hub.page_size = 2
    commits = api.list_repo_commits(REPO, repo_type="dataset")
    assert [commit.title for commit in commits] == ["second", "first", "initial commit"]
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(REPO, "none", repo_type="dataset"))


def test_the_hf_command(hub: HubServer, api: Client, tmp_path: Path) -> None:
    assert "me" in hf(hub, "auth", "whoami")
    (tmp_path / "local").mkdir()
    (tmp_path / "local/a.parquet").write_bytes(noise(100_000))
    hf(hub, "upload", REPO, str(tmp_path / "local"), "--repo-type", "dataset")
    assert hub.files(REPO)["a.parquet"] == noise(100_000)
    arguments = ("--repo-type", "dataset", "--local-dir", str(tmp_path / "copy"))
    hf(hub, "download", REPO, *arguments)
    assert (tmp_path / "copy/a.parquet").read_bytes() == noise(100_000)


def test_a_dataset_is_pushed_and_loaded(hub: HubServer) -> None:
    pictures = [np.full((8, 8, 3), value, np.uint8) for value in range(5)]
    features = Features({"number": Value("int64"), "image": Image()})
    dataset = Dataset.from_dict({"number": range(5), "image": pictures}, features=features)
    dataset.push_to_hub("lab/pictures", private=True)
    assert hub.repositories["lab/pictures"].private
    for streaming in (False, True):
        loaded = load_dataset("lab/pictures", split="train", streaming=streaming)
        rows = list(loaded)
        assert [row["number"] for row in rows] == list(range(5))
        assert [np.array(row["image"]).tolist() for row in rows] == [p.tolist() for p in pictures]
    assert not hub.records("unknown")


def test_parts_of_files_are_read(hub: HubServer, api: Client) -> None:
    content = noise(500_000)
    api.add({"a.parquet": content, "small": b"0123456789"})
    with HfFileSystem().open(f"datasets/{REPO}/a.parquet", block_size=1000) as file:
        file.seek(250_000)
        hub.forget()
        assert file.read(100) == content[250_000:250_100]
    assert 100 <= hub.received("download") < 3000
    address = f"{hub.url}/datasets/{REPO}/resolve/main"
    for name, whole in (("a.parquet", content), ("small", b"0123456789")):
        tail = requests.get(f"{address}/{name}", headers={"Range": "bytes=-4"})
        assert (tail.status_code, tail.content) == (206, whole[-4:])
        beyond = {"Range": f"bytes={len(whole)}-"}
        answer = requests.get(f"{address}/{name}", headers=beyond)
        assert answer.status_code == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(whole)}"


@xet_alone
def test_parts_of_files_are_put_together_from_chunks(hub: HubServer, api: Client) -> None:
    content = noise(400_000) + bytes(100_000)
    api.add({"a.parquet": content})
    base = f"{hub.url}/api/datasets/{REPO}"
    authorization = {"Authorization": f"Bearer {TOKEN}"}
    known = requests.get(f"{base}/xet-read-token/main", headers=authorization).json()
    (entry,) = api.get_paths_info(REPO, "a.parquet", repo_type="dataset")
    headers = {"Authorization": f"Bearer {known['accessToken']}", "Range": "bytes=200000-200009"}
    address = f"{known['casUrl']}/v1/reconstructions/{entry.xet_hash}"
    part = requests.get(address, headers=headers).json()
    (term,) = part["terms"]
    assert part["offset_into_first_range"] + 10 <= term["unpacked_length"] < 150_000
    whole = requests.get(address, headers={"Authorization": headers["Authorization"]}).json()
    assert sum(term["unpacked_length"] for term in whole["terms"]) == len(content)
    (fetch,) = part["fetch_info"][term["hash"]]
    span = "bytes={start}-{end}".format(**fetch["url_range"])
    packed = requests.get(fetch["url"], headers={"Range": span}).content
    # Noise is stored as it is, behind the eight bytes of a chunk's header.
    start = 8 + part["offset_into_first_range"]
    assert packed[start : start + 10] == content[200_000:200_010]


@lfs_alone
def test_large_files_come_in_parts(hub: HubServer, api: Client) -> None:
    hub.part_size = 100_000
    api.add({"a.parquet": noise(250_000), "b.parquet": noise(50_000, 1)})
    assert sorted(record.sent for record in hub.records("upload")) == [
        50_000,
        50_000,
        *[100_000] * 2,
    ]
    assert hub.files(REPO)["a.parquet"] == noise(250_000)


def test_a_small_change_is_cheap_over_xet_alone(
    hub: HubServer, api: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = noise(3_000_000)
    api.add({"a.parquet": content})
    hub.forget()
    api.add({"a.parquet": content[:1_500_000] + b"inserted" + content[1_500_000:]})
    inserted = hub.sent("upload")
    # Another machine, which has never seen the content.
    hub.home = tmp_path / "elsewhere"
    hub.redirect(monkeypatch)
    hub.forget()
    Client().add({"b.parquet": content + b"appended"})
    appended = hub.sent("upload")
    if hub.transport == "lfs":
        assert (inserted, appended) == (3_000_008, 3_000_008)
    else:
        assert 0 < inserted < 300_000
        assert 0 < appended < 300_000
    assert hub.files(REPO)["b.parquet"] == content + b"appended"


def test_one_server_does_not_pass_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients remember connections, tokens, contents and listings by the address of a server."""
    port = 0
    for turn in range(2):
        hub = HubServer(tmp_path / "home", transport="xet", port=port)
        port = hub.port
        with hub.running():
            hub.redirect(monkeypatch)
            hub.create(REPO)
            Client().add({f"{turn}.parquet": noise(300_000)})
            listed = HfFileSystem().ls(f"datasets/{REPO}", detail=False)
            assert [Path(path).name for path in listed] == [".gitattributes", f"{turn}.parquet"]
            path = hf_hub_download(REPO, f"{turn}.parquet", repo_type="dataset")
            assert Path(path).read_bytes() == noise(300_000)
        assert hub.sent("upload") > 300_000


def test_a_client_killed_half_way_leaves_the_branch_alone(hub: HubServer, api: Client) -> None:
    script = (
        "import sys; from huggingface_hub import upload_file; upload_file("
        "path_or_fileobj=bytes(range(256)) * 4000, path_in_repo='a.parquet',"
        f"repo_id={REPO!r}, repo_type='dataset')"
    )
    child = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, **hub.environment})
    hub.before(*UPLOADS[hub.transport], lambda: child.send_signal(signal.SIGKILL))
    assert child.wait(60) == -signal.SIGKILL
    assert len(hub.commits(REPO)) == 1
    in_child(hub, sys.executable, "-c", script)
    assert hub.files(REPO)["a.parquet"] == bytes(range(256)) * 4000


@pytest.mark.parametrize("transport", ["lfs", "xet"])
def test_a_folder_outlives_the_server(
    transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = noise(100_000)
    for turn in range(2):
        hub = HubServer(tmp_path / f"home-{turn}", transport=transport, root=tmp_path / "root")
        with hub.running():
            hub.redirect(monkeypatch)
            if turn == 0:
                hub.create(REPO)
                commit = Client().add({"a.parquet": kept, "small": b"1"}, create_pr=True)
            else:
                path = hf_hub_download(
                    REPO, "a.parquet", revision=commit.pr_revision, repo_type="dataset"
                )
                assert Path(path).read_bytes() == kept
                assert hub.files(REPO, commit.oid)["small"] == b"1"
                assert Client().add({"b.parquet": kept}, create_pr=True).pr_num == 2
                assert hub.sent("upload") < 10_000


def test_started_by_hand() -> None:
    command = [sys.executable, "-m", "tests.hub", "--port", "0", "--transport", "lfs"]
    root = Path(__file__).parent.parent
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        variables = {}
        while (line := server.stdout.readline()).startswith("export "):
            name, _, value = shlex.split(line)[1].partition("=")
            variables[name] = value
        command = [str(Path(sys.executable).with_name("hf")), "auth", "whoami"]
        said = subprocess.check_output(command, env={**os.environ, **variables}, text=True)
        server.send_signal(signal.SIGINT)
    assert "me" in said
    assert server.returncode == 0


def test_beside_the_drive(hub: HubServer, drive: DriveServer, api: Client) -> None:
    """That one is a proxy for all that is not local."""
    api.add({"a.parquet": noise(10_000)})
    assert "me" in hf(hub, "auth", "whoami")
    assert hub.files(REPO)["a.parquet"] == noise(10_000)
    assert drive.requests == []
