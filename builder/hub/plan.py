"""What publishing would do: the folder and the branch compared, the cards merged."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from builder import card, examples
from builder import manifest as manifests
from builder.card import add_changelog_entry, make_card, merge_cards
from builder.errors import FolderError, HubError
from builder.hub.compare import Comparison, LocalFile, compare, refuse_mixing
from builder.hub.dataset import Dataset, digest, owned_files
from builder.hub.repository import DEFAULT_BRANCH, RemoteState, Repository
from builder.manifest import Manifest, parse_manifest


@dataclass(frozen=True)
class PublishPlan:
    """What publishing would do, found out without changing anything.

    Attributes:
        repo_id: `namespace/name`.
        branch: that would move, or that a pull request is for.
        state: what it holds now; its commit is None if the repository is to be created.
        creates_branch: whether the branch starts at the head of the default one.
        files: all that the repository is to hold of ours, by path, the card among them.
        comparison: file by file.
        published: the manifest in the repository, as text; None if there is none.
    """

    repo_id: str
    branch: str
    state: RemoteState
    creates_branch: bool
    files: dict[str, LocalFile]
    comparison: Comparison
    published: str | None

    def is_met_by(self, state: RemoteState) -> bool:
        """Tell whether a commit holds all that is planned, and nothing that was to go."""
        return all(
            path in state.files and file.equals(state.files[path])
            for path, file in self.files.items()
        ) and not any(change.path in state.files for change in self.comparison.of("deleted"))


@dataclass(frozen=True)
class Order:
    """What the caller of `publish` asked for; `user` is None in a rehearsal without a token."""

    dataset: Dataset
    repository: Repository
    user: str | None
    branch: str
    tag: str | None
    message: str | None
    create_pr: bool
    private: bool
    progress: bool


def make_publish_plan(order: Order) -> PublishPlan:
    """Compare the folder with the branch.

    Raises:
        HubError: the Hub cannot be reached, something must not be touched, or the tag is taken.
        FolderError: the cards here and there cannot be merged.
    """
    repository, dataset = order.repository, order.dataset
    state, creates_branch = _look(order)
    published = _read(repository, manifests.FILE_NAME, state)
    owned = _owned(order, published)
    refuse_mixing(state.files, owned, dataset.files)
    replaces = published is not None and digest(published) not in dataset.digests
    merged = _merged_card(order, state)

    def compared(text: str) -> tuple[dict[str, LocalFile], Comparison]:
        described = LocalFile.of_bytes(card.FILE_NAME, text.encode())
        files = {**dataset.files, card.FILE_NAME: described}
        return files, compare(files, state.files, owned, replaces=replaces)

    files, comparison = compared(merged)
    if _differs(comparison, manifests.FILE_NAME):
        title, lines = _changelog_entry(order, published, comparison)
        files, comparison = compared(add_changelog_entry(merged, title, lines))
    _refuse_taken_tag(order, state, comparison)
    return PublishPlan(
        repository.repo_id, order.branch, state, creates_branch, files, comparison, published
    )


def _look(order: Order) -> tuple[RemoteState, bool]:
    """Return what the branch holds, and whether it is yet to start from the default one."""
    if not order.repository.exists():
        return RemoteState(None, {}), False
    state = order.repository.state(order.branch)
    if state.commit is not None:
        return state, False
    return order.repository.state(DEFAULT_BRANCH), True


def _owned(order: Order, published: str | None) -> dict[str, str | None]:
    """Return what may be replaced or deleted, by path, with the SHA-256 where it is known."""
    if published is None:
        # The card, since merging keeps what is there.
        return {card.FILE_NAME: None}
    try:
        owned = owned_files(published, f"{manifests.FILE_NAME} of {order.repository.repo_id}")
    except FolderError as error:
        raise HubError(
            f"{error} Or publish to another repository, if this one is not of this tool."
        ) from error
    if order.dataset.is_part:
        # Examples come from all shards, of which most lie on the Hub: the old ones still show.
        owned.pop(examples.FILE_NAME, None)
    return owned


def _refuse_taken_tag(order: Order, state: RemoteState, comparison: Comparison) -> None:
    """Refuse a tag that names another commit than the one to come, before anything is sent."""
    if order.tag is None:
        return
    if order.create_pr:
        raise HubError("A pull request cannot be tagged: leave --tag out, and tag what is merged.")
    if state.commit is None:
        return
    there = order.repository.tags().get(order.tag)
    if there is not None and not (comparison.is_empty and there == state.commit):
        raise HubError(
            f"The tag {order.tag} of {order.repository.repo_id} is taken: it names {there[:12]}. "
            "Choose another --tag."
        )


def _read(repository: Repository, path: str, state: RemoteState) -> str | None:
    if path not in state.files or state.commit is None:
        return None
    return repository.read(path, state.commit)


def _merged_card(order: Order, state: RemoteState) -> str:
    repository, dataset = order.repository, order.dataset
    own = make_card(dataset.manifest, dataset.card(), repo_id=repository.repo_id)
    there = _read(repository, card.FILE_NAME, state)
    return merge_cards(own, there, dataset.published_card(repository.repo_id))


def _differs(comparison: Comparison, path: str) -> bool:
    return any(c.path == path and c.kind != "unchanged" for c in comparison.changes)


def _changelog_entry(
    order: Order, published: str | None, comparison: Comparison
) -> tuple[str, list[str]]:
    manifest = order.dataset.manifest
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    name = order.tag or f"manifest {order.dataset.digests[-1][:8]}"
    lines = [
        f"{split}: {manifest.rows(split):,} pairs of {manifest.count('human', split):,} humans on "
        f"{manifest.count('background', split):,} backgrounds"
        for split in manifest.splits
    ]
    if published is not None:
        before = parse_manifest(published, manifests.FILE_NAME)
        lines += [_difference(role, before, manifest) for role in ("human", "background")]
    counts = [
        f"{sum(c.path.startswith('data/') for c in comparison.of(kind)):,} {kind}"
        for kind in ("new", "changed", "renamed", "deleted", "unchanged")
    ]
    return f"{name}, {today}", [*lines, f"shards: {', '.join(counts)}"]


def _difference(role: str, before: Manifest, now: Manifest) -> str:
    old, new = ({lay.id for lay in m.layers if lay.role == role} for m in (before, now))
    return f"{role}s: {len(new - old):,} added, {len(old - new):,} removed"
