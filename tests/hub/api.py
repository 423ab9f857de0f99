"""The Hub's API, large files aside."""

from __future__ import annotations

import base64
import fnmatch
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

import yaml

from . import access
from .repository import (
    Blob,
    Commit,
    Repository,
    git_hash,
    large_blob,
    lfs_pointer,
    tree_hash,
    tree_paths,
)
from .wire import Answer, RefusedError, Request, Routes, reply

if TYPE_CHECKING:
    from .server import HubServer

route = Routes()

_REPO = "/api/datasets/{repo}"
_LARGE = "7z arrow bin bz2 gz mp4 npy npz parquet tar wav zip zst gif jpg jpeg png webp tif tiff"
GITATTRIBUTES = "".join(
    f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in _LARGE.split()
).encode()


def is_large(
    hub: HubServer, path: str, sample: bytes, size: int, files: Mapping[str, Blob]
) -> bool:
    """Whether the Hub keeps a file out of git. Parquet must be, or `push_to_hub` fails."""
    known = hub.content(files[".gitattributes"]) if ".gitattributes" in files else GITATTRIBUTES
    for line in known.decode().splitlines():
        pattern, _, rest = line.partition(" ")
        if "filter=lfs" in rest and _matches(path, pattern):
            return True
    return size > hub.regular_limit or b"\0" in sample


def _matches(path: str, pattern: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for name in (path, path.rpartition("/")[2]))


def _page(hub: HubServer, request: Request, entries: Sequence[object]) -> Answer:
    """The page of a listing that the cursor names, with the address of the next."""
    start = int(request.query.get("cursor", ["0"])[0])
    end = start + hub.page_size
    headers = {}
    if end < len(entries):
        query = {name: values for name, values in request.query.items() if name != "cursor"}
        address = f"{hub.url}{request.path}?{urlencode({**query, 'cursor': end}, doseq=True)}"
        headers["Link"] = f'<{address}>; rel="next"'
    return reply(entries[start:end], headers=headers)


@route("GET", "/api/whoami-v2")
def whoami(hub: HubServer, request: Request) -> Answer:
    name = access.user(request)
    if name is None:
        raise RefusedError(401, "Invalid username or password.")
    role = "read" if request.token == access.READ_TOKEN else "write"
    organisation = {"type": "org", "name": access.ORGANISATION, "roleInOrg": "write"}
    token = {"displayName": "loopback", "role": role, "createdAt": "2024-01-01T00:00:00.000Z"}
    known = {"type": "user", "id": "0" * 24, "name": name, "fullname": name}
    auth = {"type": "access_token", "accessToken": token}
    return reply({**known, "orgs": [organisation], "auth": auth})


@route("GET", "/api/agent-harnesses")
def agent_harnesses(hub: HubServer, request: Request) -> Answer:
    return reply({"standardEnvVars": [], "harnesses": {}})


@route("POST", "/api/validate-yaml")
def validate_yaml(hub: HubServer, request: Request) -> Answer:
    match = re.match(r"---\s*\n(.*?)\n---", request.json()["content"], re.DOTALL)
    errors: list[dict[str, str]] = []
    warnings: list[dict[str, str]] = []
    if match is None:
        warnings = [{"message": "empty or missing yaml metadata in repo card"}]
    else:
        try:
            yaml.safe_load(match.group(1))
        except yaml.YAMLError as error:
            errors = [{"message": str(error)}]
    return reply({"errors": errors, "warnings": warnings}, 400 if errors else 200)


@route("POST", "/api/repos/create")
def create_repository(hub: HubServer, request: Request) -> Answer:
    name = access.writer(request)
    asked = request.json()
    namespace = asked.get("organization") or name
    repo = f"{namespace}/{asked['name']}"
    valid = re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?", asked["name"])
    if asked.get("type") != "dataset":
        raise RefusedError(400, "Only datasets are here")
    if valid is None or re.search(r"--|\.\.|\.git$", asked["name"]):
        raise RefusedError(400, f"Invalid repo name: {repo}")
    if not access.may_write(namespace):
        message = "You don't have the rights to create a dataset under the namespace"
        raise RefusedError(403, f'{message} "{namespace}"')
    if repo in hub.repositories:
        message = "You already created this dataset repo"
        raise RefusedError(409, message, url=f"{hub.url}/datasets/{repo}")
    hub.create(repo, asked.get("private") is True or asked.get("visibility") == "private")
    return reply({"url": f"{hub.url}/datasets/{repo}", "name": repo, "id": "0" * 24})


@route("DELETE", "/api/repos/delete")
def delete_repository(hub: HubServer, request: Request) -> Answer:
    asked = request.json()
    repo = f"{asked.get('organization') or access.USER}/{asked['name']}"
    access.repository(hub, request, repo, "write")
    del hub.repositories[repo]
    hub.storage.repositories.pop(repo, None)
    return reply({})


@route("GET", _REPO)
@route("GET", _REPO + "/revision/{revision}")
def describe(hub: HubServer, request: Request, repo: str, revision: str = "main") -> Answer:
    repository = access.repository(hub, request, repo)
    commit = repository.resolve(revision)
    siblings: list[dict[str, Any]] = [{"rfilename": path} for path in sorted(commit.files)]
    if request.flag("blobs"):
        for sibling in siblings:
            blob = commit.files[sibling["rfilename"]]
            sibling |= {"size": blob.size, "blobId": blob.oid}
            if blob.sha256 is not None:
                sibling["lfs"] = {**_large(blob), "sha256": blob.sha256}
    constants = {"gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": []}
    dates = {"createdAt": repository.created, "lastModified": commit.date}
    author = repo.partition("/")[0]
    known = {"_id": "0" * 24, "id": repo, "author": author, "sha": commit.oid}
    private = {"private": repository.private}
    return reply({**known, **private, **constants, **dates, "siblings": siblings})


def _large(blob: Blob) -> dict[str, object]:
    assert blob.sha256 is not None
    pointer_size = len(lfs_pointer(blob.sha256, blob.size))
    return {"oid": blob.sha256, "size": blob.size, "pointerSize": pointer_size}


def _entry(
    hub: HubServer, repository: Repository, commit: Commit, path: str, expand: bool
) -> dict[str, object]:
    """A file or folder as listings show it."""
    blob = commit.files.get(path)
    entry: dict[str, object] = {"type": "directory", "path": path, "size": 0}
    if blob is None:
        entry["oid"] = tree_hash(commit.files, f"{path}/")
    else:
        entry |= {"type": "file", "oid": blob.oid, "size": blob.size}
        if blob.sha256 is not None:
            entry["lfs"] = _large(blob)
            if blob.sha256 in hub.cas.by_sha256:
                entry["xetHash"] = hub.cas.by_sha256[blob.sha256]
    if expand:
        last = _last_change(repository, commit, path)
        entry["lastCommit"] = {"id": last.oid, "title": last.title, "date": last.date}
    return entry


def _last_change(repository: Repository, commit: Commit, path: str) -> Commit:
    def state(at: Commit) -> object:
        return at.files.get(path) or tree_hash(at.files, f"{path}/")

    last = commit
    for older in repository.history(commit.oid):
        if state(older) != state(commit):
            break
        last = older
    return last


@route("GET", _REPO + "/tree/{revision}")
@route("GET", _REPO + "/tree/{revision}/{path}")
def list_tree(hub: HubServer, request: Request, repo: str, revision: str, path: str = "") -> Answer:
    repository = access.repository(hub, request, repo)
    commit = repository.resolve(revision)
    paths = tree_paths(commit.files, path.strip("/"), request.flag("recursive"))
    expand = request.flag("expand")
    return _page(hub, request, [_entry(hub, repository, commit, p, expand) for p in paths])


@route("POST", _REPO + "/paths-info/{revision}")
def describe_paths(hub: HubServer, request: Request, repo: str, revision: str) -> Answer:
    repository = access.repository(hub, request, repo)
    commit = repository.resolve(revision)
    form = parse_qs(request.body.decode())
    expand = form.get("expand", [""])[0].lower() in ("1", "true")
    known = {*commit.files, *tree_paths(commit.files, "", recursive=True)}
    wanted = [path for path in form.get("paths", []) if path in known]
    return reply([_entry(hub, repository, commit, path, expand) for path in wanted])


@route("GET", _REPO + "/commits/{revision}")
def list_commits(hub: HubServer, request: Request, repo: str, revision: str) -> Answer:
    repository = access.repository(hub, request, repo)
    commits = [
        {
            "id": commit.oid,
            "title": commit.title,
            "message": commit.description,
            "authors": [{"user": access.USER}],
            "date": commit.date,
        }
        for commit in repository.history(revision)
    ]
    return _page(hub, request, commits)


@route("GET", _REPO + "/refs")
def list_refs(hub: HubServer, request: Request, repo: str) -> Answer:
    repository = access.repository(hub, request, repo)

    def listed(folder: str) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": oid}
            for name, oid in repository.names(folder).items()
        ]

    refs = {"branches": listed("heads"), "converts": [], "tags": listed("tags")}
    if request.flag("include_prs"):
        refs["pullRequests"] = listed("pr")
    return reply(refs)


@route("POST", _REPO + "/branch/{name}")
def create_branch(hub: HubServer, request: Request, repo: str, name: str) -> Answer:
    start = request.json().get("startingPoint") or "main"
    return _create_ref(hub, request, repo, f"refs/heads/{name}", start)


@route("POST", _REPO + "/tag/{revision}")
def create_tag(hub: HubServer, request: Request, repo: str, revision: str) -> Answer:
    return _create_ref(hub, request, repo, f"refs/tags/{request.json()['tag']}", revision)


def _create_ref(hub: HubServer, request: Request, repo: str, ref: str, revision: str) -> Answer:
    repository = access.repository(hub, request, repo, "write")
    if ref in repository.refs:
        raise RefusedError(409, f"Reference already exists: {ref}")
    repository.refs[ref] = repository.resolve(revision).oid
    hub.save(repository)
    return reply({})


@route("DELETE", _REPO + "/{kind}/{name}")
def delete_ref(hub: HubServer, request: Request, repo: str, kind: str, name: str) -> Answer:
    repository = access.repository(hub, request, repo, "write")
    ref = f"refs/{'tags' if kind == 'tag' else 'heads'}/{name}"
    if ref == "refs/heads/main":
        raise RefusedError(403, "Cannot delete the default branch")
    if ref not in repository.refs:
        raise RefusedError(404, f"Invalid rev id: {name}", "RevisionNotFound")
    del repository.refs[ref]
    hub.save(repository)
    return reply({})


@route("POST", _REPO + "/preupload/{revision}")
def preupload(hub: HubServer, request: Request, repo: str, revision: str) -> Answer:
    right = access.right_to(request, revision)
    files = access.repository(hub, request, repo, right).resolve(revision).files
    asked = request.json()
    ignored = asked.get("gitIgnore")
    if ignored is None and ".gitignore" in files:
        ignored = hub.content(files[".gitignore"]).decode()
    patterns = [line for line in (ignored or "").split() if not line.startswith("#")]

    def judged(file: dict[str, Any]) -> dict[str, object]:
        path, sample = file["path"], base64.b64decode(file["sample"])
        large = is_large(hub, path, sample, file["size"], files)
        verdict: dict[str, object] = {"path": path, "uploadMode": "lfs" if large else "regular"}
        verdict["shouldIgnore"] = any(_matches(path, pattern) for pattern in patterns)
        if path in files:
            verdict["oid"] = files[path].sha256 or files[path].oid
        return verdict

    return reply({"files": [judged(file) for file in asked["files"]]})


@route("POST", _REPO + "/commit/{revision}", kind="commit")
def commit(hub: HubServer, request: Request, repo: str, revision: str) -> Answer:
    repository = access.repository(hub, request, repo, access.right_to(request, revision))
    lines = [json.loads(line) for line in request.body.splitlines()]
    header = lines[0]["value"]
    head = parent = repository.resolve(revision)
    expected = header.get("parentCommit")
    if request.flag("create_pr"):
        # A pull request may start anywhere.
        parent = head if expected is None else repository.resolve(expected)
    elif expected not in (None, head.oid):
        raise RefusedError(412, "A commit has happened since. Please refresh and try again.")
    files = dict(parent.files)
    for line in lines[1:]:
        _apply(hub, repository, files, line["key"], line["value"])
    title, description = header["summary"], header.get("description", "")
    answer = {}
    if request.flag("create_pr"):
        pull = repository.open_pull_request(title, description, revision)
        ref = f"refs/pr/{pull.number}"
        answer["pullRequestUrl"] = f"{hub.url}/datasets/{repo}/discussions/{pull.number}"
    else:
        ref = repository.writable_ref(revision)
    made = repository.commit(ref, parent, files, title, description)
    hub.save(repository)
    address = f"{hub.url}/datasets/{repo}/commit/{made.oid}"
    return reply({**answer, "success": True, "commitOid": made.oid, "commitUrl": address})


def _apply(
    hub: HubServer, repository: Repository, files: dict[str, Blob], key: str, value: dict[str, Any]
) -> None:
    """One line of a commit."""
    path = value["path"].strip("/")
    if key == "file":
        content = base64.b64decode(value["content"])
        oid = git_hash(content)
        hub.storage.blobs[oid] = content
        files[path] = Blob(len(content), oid)
    elif key == "lfsFile":
        size = hub.large_size(repository, value["oid"])
        if size is None or size != value.get("size", size):
            message = "Your push was rejected because an LFS pointer pointed to a file that does"
            raise RefusedError(400, f"{message} not exist. Offending file: {path}")
        files[path] = large_blob(value["oid"], size)
    elif key in ("deletedFile", "deletedFolder"):
        gone = [p for p in files if p == path or p.startswith(f"{path}/")]
        if not gone or (key == "deletedFile") != (path in files):
            message = f"A file with this name doesn't exist: {path}"
            raise RefusedError(404, message, "EntryNotFound")
        for name in gone:
            del files[name]
    else:
        raise RefusedError(400, f"Unknown operation: {key}")
