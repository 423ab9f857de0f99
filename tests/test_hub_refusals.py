"""What the loopback Hub refuses, and how it fails where it is told to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
import requests
from huggingface_hub import (
    CommitOperationAdd,
    HfApi,
    hf_hub_download,
    login,
    whoami,
)
from huggingface_hub.errors import (
    HfHubHTTPError,
    RepositoryNotFoundError,
)

from tests.hub import READ_TOKEN, TOKEN, Fault, HubServer
from tests.hub_case import REPO, UPLOADS, Client, lfs_alone, noise, xet_alone


@lfs_alone
def test_a_server_without_xet_has_no_token_for_it(hub: HubServer, api: Client) -> None:
    authorization = {"Authorization": f"Bearer {TOKEN}"}
    address = f"{hub.url}/api/datasets/{REPO}/xet-write-token/main"
    assert requests.get(address, headers=authorization).status_code == 404


@lfs_alone
def test_tokens(hub: HubServer) -> None:
    hub.create("lab/open")
    hub.create("lab/secret", private=True)
    hub.create("stranger/secret", private=True)
    hub.create("stranger/open")
    reader, nobody, wrong = HfApi(token=READ_TOKEN), HfApi(token=False), HfApi(token="hf_wrong")
    assert reader.whoami()["auth"]["accessToken"]["role"] == "read"
    assert whoami()["orgs"][0]["name"] == "lab"
    login(READ_TOKEN)
    assert (hub.home / "token").read_text() == READ_TOKEN

    def refused(expected: type[Exception], status: int, call: Callable[[], object]) -> str:
        with pytest.raises(expected) as failure:
            call()
        assert isinstance(failure.value, HfHubHTTPError)
        assert type(failure.value) is expected
        assert failure.value.response.status_code == status
        return str(failure.value)

    def look(api: HfApi, repo: str) -> Callable[[], object]:
        return lambda: api.repo_info(repo, repo_type="dataset")

    def write(api: HfApi, repo: str, **arguments: object) -> Callable[[], object]:
        operations = [CommitOperationAdd("a", b"a")]
        return lambda: api.create_commit(
            repo, operations, commit_message="a", repo_type="dataset", **arguments
        )

    for api in (HfApi(), reader):
        look(api, "lab/secret")()
        refused(RepositoryNotFoundError, 404, look(api, "stranger/secret"))
        refused(RepositoryNotFoundError, 404, look(api, "me/none"))
    look(nobody, "lab/open")()
    refused(RepositoryNotFoundError, 401, look(nobody, "lab/secret"))
    refused(RepositoryNotFoundError, 401, look(nobody, "me/none"))
    refused(RepositoryNotFoundError, 401, write(nobody, "lab/open"))
    assert "Invalid credentials" in refused(HfHubHTTPError, 401, look(wrong, "lab/open"))
    assert "Invalid user token" in refused(HfHubHTTPError, 401, wrong.whoami)
    assert "you must use a write token" in refused(HfHubHTTPError, 403, write(reader, "lab/open"))
    assert "pass `create_pr=1`" in refused(HfHubHTTPError, 403, write(HfApi(), "stranger/open"))
    write(HfApi(), "stranger/open", create_pr=True)()
    for api, repo in ((reader, "me/new"), (HfApi(), "stranger/new")):
        refused(HfHubHTTPError, 403, lambda: api.create_repo(repo, repo_type="dataset"))  # noqa: B023
    assert set(hub.repositories) == {"lab/open", "lab/secret", "stranger/secret", "stranger/open"}


@lfs_alone
def test_names_of_repositories(hub: HubServer, api: Client) -> None:
    assert api.create_repo("lab/other", repo_type="dataset", private=True).repo_id == "lab/other"
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(REPO, repo_type="dataset")
    assert api.create_repo(REPO, repo_type="dataset", exist_ok=True).repo_id == REPO
    # Clients refuse these themselves, in words of their own.
    for name in ("a--b", "a..b", ".a", "a.git", "a" * 97):
        body = {"name": name, "type": "dataset"}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = requests.post(f"{hub.url}/api/repos/create", json=body, headers=headers)
        assert answer.status_code == 400, name


@lfs_alone
def test_metadata_is_validated(hub: HubServer, api: Client) -> None:
    with pytest.raises(ValueError, match="Invalid metadata"):
        api.add({"README.md": b"---\nlicense: [mit\n---\n"})
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        api.add({"README.md": b"No metadata"})
    assert hub.files(REPO)["README.md"] == b"No metadata"


@lfs_alone
def test_what_git_ignores_is_not_committed(hub: HubServer, api: Client) -> None:
    api.add({".gitignore": b"# temporary\n*.tmp\n", "a.tmp": b"a", "b": b"b"})
    assert hub.files(REPO).keys() == {".gitattributes", ".gitignore", "b"}


@lfs_alone
def test_a_commit_points_to_stored_files_only(hub: HubServer, api: Client) -> None:
    header = {"key": "header", "value": {"summary": "lie"}}
    pointer = {"key": "lfsFile", "value": {"path": "a", "algo": "sha256", "oid": "0" * 64}}
    lines = f"{json.dumps(header)}\n{json.dumps(pointer)}\n"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    address = f"{hub.url}/api/datasets/{REPO}/commit/main"
    answer = requests.post(address, data=lines, headers=headers)
    assert answer.status_code == 400
    assert "LFS pointer pointed to a file that does not exist" in answer.json()["error"]
    assert len(hub.commits(REPO)) == 1


@xet_alone
def test_the_storage_takes_no_rubbish(hub: HubServer, api: Client) -> None:
    authorization = {"Authorization": f"Bearer {TOKEN}"}
    base = f"{hub.url}/api/datasets/{REPO}"
    known = requests.get(f"{base}/xet-write-token/main", headers=authorization).json()
    headers = {"Authorization": f"Bearer {known['accessToken']}"}
    for path in (f"v1/xorbs/default/{'0' * 64}", "v1/shards"):
        address = f"{known['casUrl']}/{path}"
        assert requests.post(address, b"\0" * 9 + b"\1", headers=headers).status_code == 400
        assert requests.post(address, b"", headers=authorization).status_code == 401
    reading = {"Authorization": "Bearer read-token"}
    assert requests.post(address, b"", headers=reading).status_code == 403

    # Of several chunks: the hash of a lone one is that of its xorb as well.
    content = noise(300_000)
    api.add({"a.parquet": content})
    (shard,) = hub.storage.shards.values()
    digest = hashlib.sha256(content).digest()
    # Hashes are four numbers, of which shards hold the last byte first.
    stored = b"".join(digest[start : start + 8][::-1] for start in range(0, 32, 8))
    assert requests.post(address, shard, headers=headers).status_code == 200
    (xorb,) = hub.storage.xorbs
    named = b"".join(bytes.fromhex(xorb[start : start + 16])[::-1] for start in range(0, 64, 16))
    for known in (stored, named):
        forged = bytes(32).join(shard.rsplit(known, 1))
        assert forged != shard
        assert requests.post(address, forged, headers=headers).status_code == 400


@lfs_alone
def test_uploads_are_signed_and_checked(hub: HubServer, api: Client) -> None:
    address = f"{hub.storage_url}/upload/{REPO}/{hashlib.sha256(b'content').hexdigest()}"
    authorization = {"Authorization": f"Bearer {TOKEN}"}
    assert requests.put(address, b"other content").status_code == 400
    assert requests.put(address, b"content", headers=authorization).status_code == 400
    assert requests.put(address.replace(hub.secret, "guessed"), b"content").status_code == 403
    assert hub.storage.large == {}
    assert requests.put(address, b"content").status_code == 200


class TestFaults:
    """Each way to go wrong, as a client sees it that does not try again."""

    @lfs_alone
    def test_an_error(self, hub: HubServer, api: Client) -> None:
        hub.faults.append(Fault("GET", "/whoami", status=503, retry_after=7))
        with pytest.raises(HfHubHTTPError, match="503") as failure:
            api.whoami()
        assert failure.value.response.headers["Retry-After"] == "7"
        assert api.whoami()["name"] == "me"

    @lfs_alone
    def test_skipped_and_repeated(self, hub: HubServer, api: Client) -> None:
        hub.faults.append(Fault("GET", "/whoami", skip=1, times=2, status=500))
        hub.faults.append(Fault("POST", "/whoami", times=None, status=500))
        statuses = [requests.get(f"{hub.url}/api/whoami-v2").status_code for _ in range(4)]
        assert statuses == [401, 500, 500, 401]

    @lfs_alone
    def test_a_stall(self, hub: HubServer, api: Client) -> None:
        hub.faults.append(Fault("GET", f"/datasets/{REPO}", delay=5))
        with pytest.raises(httpx2.ReadTimeout):
            api.repo_info(REPO, repo_type="dataset", timeout=0.2)

    @lfs_alone
    def test_a_reset(self, hub: HubServer, api: Client) -> None:
        hub.faults.append(Fault("POST", "/commit/", hang_up="before"))
        # Which of its kinds it is depends on whether the client was still writing.
        with pytest.raises(httpx2.TransportError):
            api.add({"a": b"a"})
        assert len(hub.commits(REPO)) == 1
        assert (hub.requests[-1].status, hub.requests[-1].sent) == (0, 0)

    @lfs_alone
    def test_a_lost_answer(self, hub: HubServer, api: Client) -> None:
        hub.faults.append(Fault("POST", "/commit/", hang_up="after"))
        with pytest.raises(httpx2.RemoteProtocolError):
            api.add({"a": b"a"})
        assert hub.files(REPO)["a"] == b"a"
        assert hub.requests[-1].status == 0

    @lfs_alone
    def test_a_cut_answer(self, hub: HubServer, api: Client) -> None:
        hub.faults.append(Fault("GET", "/whoami", truncate=10))
        with pytest.raises(httpx2.RemoteProtocolError, match="received 10 bytes"):
            api.whoami()
        assert hub.requests[-1].received == 10

    @lfs_alone
    def test_a_garbled_answer(self, hub: HubServer, api: Client) -> None:
        hub.faults.append(Fault("POST", "/commit/", body=b"<html>"))
        with pytest.raises(json.JSONDecodeError):
            api.add({"a": b"a"})
        assert hub.files(REPO)["a"] == b"a"

    def test_uploads_are_tried_again(
        self, hub: HubServer, api: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_XET_CLIENT_RETRY_MAX_ATTEMPTS", "2")
        method, pattern = UPLOADS[hub.transport]
        hub.faults.append(Fault(method, pattern, status=503))
        hub.faults.append(Fault(method, pattern, hang_up="before", hang_up_after=1000))
        api.add({"a.parquet": noise(200_000)})
        tries = [record for record in hub.records("upload") if pattern in record.path]
        assert [record.status for record in tries] == [503, 0, 200]
        assert tries[0].sent == tries[2].sent >= 200_000
        assert tries[1].sent == 1000
        assert hub.files(REPO)["a.parquet"] == noise(200_000)

    def test_downloads_are_tried_again(self, hub: HubServer, api: Client) -> None:
        api.add({"a.parquet": noise(200_000)})
        hub.forget()
        hub.faults.append(Fault("GET", "/storage/", truncate=100_000))
        path = hf_hub_download(REPO, "a.parquet", repo_type="dataset")
        assert Path(path).read_bytes() == noise(200_000)
        tries = [record for record in hub.records("download") if "/storage/" in record.path]
        assert tries[0].received == 100_000
        assert len(tries) == 2
        assert ("/xorb/" in tries[0].path) == (hub.transport == "xet")
