"""Publishing: plan, send, move the branch in one commit, tag, verify."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationCopy, CommitOperationDelete
from tqdm import tqdm

from builder import card
from builder.errors import HubError
from builder.hub.dataset import read_dataset, refuse_damage
from builder.hub.faults import (
    ATTEMPTS,
    CLIENT_ERRORS,
    cause_of,
    explained,
    is_passing,
    status_of,
    wait_for,
)
from builder.hub.plan import Order, PublishPlan, make_publish_plan
from builder.hub.progress import CountedFile, SendingBar
from builder.hub.pull_request import await_pull_request, find_pull_request
from builder.hub.repository import DEFAULT_BRANCH, PULL_REQUESTS, PullRequest, Repository
from builder.hub.verify import verify
from builder.version import __version__

# A branch that moves more often than this while we look is somebody's machine.
_CONFLICTS = 5


@dataclass(frozen=True)
class PublishResult:
    """What publishing did.

    Attributes:
        plan: what was to be done.
        url: of the repository, or of the pull request.
        revision: to read it at: the tag, else the commit, else the pull request's reference; None
            after a dry run.
        commit: that holds all of it; None after a dry run.
        verified: the splits whose first rows were read back; none where nothing changed.
    """

    plan: PublishPlan
    url: str
    revision: str | None
    commit: str | None
    verified: tuple[str, ...]


def publish(
    folder: str | Path,
    repo_id: str,
    *,
    branch: str = DEFAULT_BRANCH,
    tag: str | None = None,
    message: str | None = None,
    create_pr: bool = False,
    private: bool = False,
    token: str | None = None,
    dry_run: bool = False,
    confirm: Callable[[PublishPlan], bool] | None = None,
    progress: bool = True,
) -> PublishResult:
    """Bring a dataset folder to the Hub: what changed is sent, then the branch moves in one commit.

    Killed at any moment, the same call goes on with what the Hub does not hold yet. Nothing that
    somebody else wrote is deleted or replaced.

    Args:
        folder: what `build` or `update` wrote.
        repo_id: `namespace/name`, or a name in the user's own namespace; created if need be.
        branch: to move; created at the head of the default one if need be.
        tag: to put on the commit.
        message: of the commit; says what changed if it is None.
        create_pr: whether to open a pull request instead of moving the branch; an open one of the
            same build is gone on with.
        private: whether a repository that has to be created is private.
        token: None for the one of `hf auth login` or HF_TOKEN.
        dry_run: whether to stop once it is known what would be done.
        confirm: is given the plan before anything is sent; False stops. None goes on, unless
            something in the repository would be gone.
        progress: whether to show bars and waits.

    Raises:
        FolderError: the folder holds no finished dataset, or was changed since it was built.
        HubError: the Hub refused or cannot be reached, or something must not be touched; the branch
            is then where it was.
    """
    repository = Repository(repo_id, token=token, tell=_teller(progress))
    dataset = read_dataset(Path(folder))
    # A rehearsal of a public repository needs no token.
    user = None if dry_run and "/" in repo_id else repository.log_in()
    order = Order(dataset, repository, user, branch, tag, message, create_pr, private, progress)
    plan = make_publish_plan(order)
    if dry_run:
        return PublishResult(plan, repository.url, None, None, ())
    _ask(plan, confirm)
    if plan.comparison.is_empty:
        return _finish(order, plan, plan.state.commit, None)
    request = find_pull_request(order, plan) if create_pr else None
    if request:
        return _go_on_with(request, order, plan)
    return _send_and_commit(order, plan)


def _go_on_with(request: PullRequest, order: Order, plan: PublishPlan) -> PublishResult:
    """Bring an open pull request up to what is to be published."""
    order = replace(order, branch=request.revision, create_pr=False)
    missing = make_publish_plan(order)
    if missing.comparison.is_empty:
        plan = replace(plan, files=missing.files)
        return _finish(order, plan, missing.state.commit, request.revision)
    return _send_and_commit(order, missing)


def _teller(progress: bool) -> Callable[[str], None]:
    def tell(line: str) -> None:
        if progress:
            tqdm.write(line, file=sys.stderr)

    return tell


def _ask(plan: PublishPlan, confirm: Callable[[PublishPlan], bool] | None) -> None:
    if confirm is not None and not confirm(plan):
        raise HubError(f"{plan.repo_id}: left as it is.")
    if confirm is None and plan.comparison.needs_consent:
        what = "replace the dataset that it holds" if plan.comparison.replaces else "delete files"
        raise HubError(
            f"{plan.repo_id}: publishing would {what}, and nobody was asked. Look with --dry-run; "
            "then give --yes, or confirm= from Python."
        )


def _send_and_commit(order: Order, plan: PublishPlan) -> PublishResult:
    repository = order.repository
    first = plan
    for _ in range(_CONFLICTS):
        if plan.state.commit is None:
            repository.create(private=order.private)
            plan = make_publish_plan(order)
            if plan.published is not None:
                raise HubError(
                    f"{repository.repo_id}: has a dataset after all, which the Hub did not show at "
                    "first. Run the same command again: it then compares with that one."
                )
        if plan.creates_branch:
            repository.create_branch(plan.branch)
        operations = _operations(plan)
        _send(order, plan, operations)
        done = _commit(order, plan, operations)
        if done:
            return _finish(order, plan, *done)
        plan = make_publish_plan(order)
        if plan.comparison.is_empty:
            # The commit of before, which the Hub made after its answer was given up.
            return _finish(order, plan, plan.state.commit, None)
        if plan.published != first.published:
            raise HubError(
                f"{repository.repo_id}: somebody else published to it at the same time. Look "
                "at what is there; then run `human-segmentation build --update-from`, or publish "
                "anew."
            )
    raise HubError(
        f"{repository.repo_id}: its branch {order.branch} moved {_CONFLICTS} times meanwhile. "
        "Run the same command again when it is quiet; nothing is sent twice."
    )


def _operations(plan: PublishPlan) -> list[Any]:
    comparison = plan.comparison
    operations: list[Any] = []
    for change in (*comparison.of("new"), *comparison.of("changed")):
        content = plan.files[change.path].content
        source = content if isinstance(content, bytes) else str(content)
        operations.append(CountedFile(change.path, source))
    for change in comparison.of("renamed"):
        operations.append(CommitOperationCopy(str(change.origin), change.path))
        operations.append(CommitOperationDelete(str(change.origin), is_folder=False))
    operations += [
        CommitOperationDelete(change.path, is_folder=False) for change in comparison.of("deleted")
    ]
    return operations


def _send(order: Order, plan: PublishPlan, operations: list[Any]) -> None:
    """Send the files, one after the other; what the Hub holds is skipped by its client."""
    additions = [operation for operation in operations if isinstance(operation, CountedFile)]
    total = sum(plan.files[addition.path_in_repo].size for addition in additions)
    with closing(SendingBar(total, shown=order.progress and bool(additions))) as bar:
        for addition in additions:
            file = plan.files[addition.path_in_repo]
            refuse_damage(file)
            addition.bar = bar
            with bar.file(file.path, file.size):
                order.repository.upload(addition, order.branch, create_pr=order.create_pr)


def _commit(
    order: Order, plan: PublishPlan, operations: list[Any]
) -> tuple[str, str | None] | None:
    """Move the branch, or open a pull request.

    Returns:
        The commit and the pull request's reference; None if the branch moved since it was looked
        at.
    """
    repository, what = order.repository, f"commit to {plan.repo_id}"
    for attempt in range(1, ATTEMPTS + 1):
        try:
            info = repository.commit(
                operations,
                order.message or _message(order, plan),
                description=f"human-segmentation {__version__}",
                revision=plan.branch,
                parent=str(plan.state.commit or repository.state(plan.branch).commit),
                create_pr=order.create_pr,
            )
        except CLIENT_ERRORS as raised:
            error = cause_of(raised)
            if status_of(error) in (409, 412):
                return None
            if attempt == ATTEMPTS or not is_passing(error):
                raise explained(error, what) from None
            wait_for(error, attempt, tell=_teller(order.progress))
        else:
            # An earlier attempt may have opened one after all, which is then the one to keep.
            first = find_pull_request(order, plan) if order.create_pr and attempt > 1 else None
            if first:
                return str(first.state.commit), first.revision
            return str(info.oid), info.pr_revision
        # The answer may have been lost, and not the request.
        if order.create_pr:
            request = await_pull_request(order, plan, error)
            if request:
                return str(request.state.commit), request.revision
        else:
            now = repository.state(plan.branch)
            if plan.is_met_by(now):
                return str(now.commit), None
            if now.commit != plan.state.commit:
                return None
    raise AssertionError("unreachable")


def _message(order: Order, plan: PublishPlan) -> str:
    counts = [
        f"{len(plan.comparison.of(kind))} {kind}"
        for kind in ("new", "changed", "renamed", "deleted")
        if plan.comparison.of(kind)
    ]
    rows = sum(shard.rows for shard in order.dataset.manifest.shards)
    name = f"{order.tag}: " if order.tag else ""
    return f"{name}{rows:,} pairs ({', '.join(counts)} files)"


def _finish(
    order: Order, plan: PublishPlan, commit: str | None, pull_request: str | None
) -> PublishResult:
    """Tag, verify, and remember what is there now."""
    repository = order.repository
    assert commit is not None
    if pull_request is None and order.branch.startswith(PULL_REQUESTS):
        pull_request = order.branch
    if order.tag:
        repository.tag(order.tag, commit)
    revision = order.tag or pull_request or commit
    verified: tuple[str, ...] = ()
    if not plan.comparison.is_empty:
        verified = verify(repository, plan.files, commit, pull_request or commit)
    if not pull_request:
        content = plan.files[card.FILE_NAME].content
        assert isinstance(content, bytes)
        if not order.dataset.is_part:
            order.dataset.remember_card(plan.repo_id, content.decode())
    url = repository.url
    if pull_request:
        url = f"{url}/discussions/{pull_request.rpartition('/')[2]}"
    return PublishResult(plan, url, revision, commit, verified)
