"""One pull request for one build, whatever becomes of the Hub's answers."""

from __future__ import annotations

import time

from builder import manifest as manifests
from builder.hub import faults, repository
from builder.hub.plan import Order, PublishPlan
from builder.hub.repository import PullRequest, RemoteState

# After these, as after no answer at all, the Hub may still be at work.
_GIVEN_UP = (408, 502, 504)
_LONGEST_WAIT = 15.0


def find_pull_request(order: Order, plan: PublishPlan) -> PullRequest | None:
    """Return the open pull request that this build has on the branch, the oldest if there are more.

    Others that hold the very same files were opened by requests of which the answer was lost, and
    are closed.

    Raises:
        HubError: the Hub cannot be reached, or may not be asked.
    """
    if order.user is None or plan.state.commit is None:
        return None
    found = [
        request
        for request in order.repository.open_pull_requests(order.user)
        if _is_of(plan, request.state) and order.repository.base_of(request) == plan.branch
    ]
    for request in found[1:]:
        if request.state.files == found[0].state.files:
            order.repository.close(
                request, f"Opened twice by accident: the same as #{found[0].number}."
            )
    return found[0] if found else None


def await_pull_request(order: Order, plan: PublishPlan, error: BaseException) -> PullRequest | None:
    """Look for the pull request after an attempt to open it, as long as the Hub may be at it.

    Args:
        error: how that attempt ended.
    """
    patience = repository.TIMEOUT if faults.status_of(error) in (None, *_GIVEN_UP) else 0.0
    if patience:
        order.repository.tell("looking whether the Hub opens the pull request all the same")
    deadline = time.monotonic() + patience
    wait = faults.FIRST_WAIT
    while True:
        found = find_pull_request(order, plan)
        if found or time.monotonic() >= deadline:
            return found
        time.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT)


def _is_of(plan: PublishPlan, state: RemoteState) -> bool:
    """Tell whether this build wrote a pull request: the same manifest, and so the same pairs.

    Where the manifest is on the branch already, as after a change of the card alone, all has to be
    the same; else only cards differ, by their date or by what was written into them since.
    """
    if not any(change.path == manifests.FILE_NAME for change in plan.comparison.of("unchanged")):
        there = state.files.get(manifests.FILE_NAME)
        return there is not None and plan.files[manifests.FILE_NAME].equals(there)
    return plan.is_met_by(state)
