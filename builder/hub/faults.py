"""What can go wrong between here and the Hub: what is tried again, and what is said of the rest."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from builder.errors import HubError

Result = TypeVar("Result")

ATTEMPTS = 5
FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
# The server asks for more patience than this only when the quota of an hour is used up.
LONGEST_ASKED_WAIT = 300.0
_RETRIED = (408, 425, 429, 500, 502, 503, 504)
_TOKEN = re.compile(r"hf_[A-Za-z0-9]{4,}|Bearer\s+\S+")
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*")
_LOGIN = (
    "Make a token that may write at https://huggingface.co/settings/tokens, then run "
    "`hf auth login` or set HF_TOKEN."
)

# `huggingface_hub` 1 and 2 use two generations of one HTTP library; its base class is among these.
TRANSPORT_ERRORS: tuple[type[Exception], ...] = (
    *(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError"),
    ConnectionError,
    TimeoutError,
    LocalTokenNotFoundError,
)
# The client wraps some of those, and complains of answers that it does not understand.
CLIENT_ERRORS: tuple[type[Exception], ...] = (
    *TRANSPORT_ERRORS,
    LocalEntryNotFoundError,
    RuntimeError,
    ValueError,
    KeyError,
)


def patiently(
    action: Callable[[], Result],
    what: str,
    *,
    tell: Callable[[str], None],
    attempts: int = ATTEMPTS,
) -> Result:
    """Do something that the network may spoil, again and again for some minutes.

    Args:
        action: can be repeated without harm.
        what: what it does, as in "list the files of me/pairs".
        tell: is given a line whenever there is a wait.
        attempts: how often to try.

    Raises:
        HubError: the Hub refused, or every attempt failed.
    """
    for attempt in range(1, attempts + 1):
        try:
            return action()
        except CLIENT_ERRORS as raised:
            error = cause_of(raised)
            if attempt == attempts or not is_passing(error):
                raise explained(error, what) from None
            wait_for(error, attempt, tell=tell)
    raise AssertionError("unreachable")


def cause_of(error: BaseException) -> BaseException:
    """Return the error of the network that another one was raised from, if there is one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TRANSPORT_ERRORS):
            return cause
        cause = cause.__cause__
    return error


def is_passing(error: BaseException) -> bool:
    """Tell whether the same request may succeed later."""
    if isinstance(error, (OfflineModeIsEnabled, LocalTokenNotFoundError)):
        return False
    status = status_of(error)
    if status is not None:
        return status in _RETRIED
    return isinstance(error, (*TRANSPORT_ERRORS, json.JSONDecodeError))


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that an error stands for, None if no answer came."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return int(status) if status is not None else None


def wait_for(error: BaseException, attempt: int, *, tell: Callable[[str], None]) -> None:
    """Wait before the next attempt, longer each time, or as long as the Hub asks."""
    wait = _wait(error, attempt)
    tell(f"{_reason(error)}; trying again in {wait:.0f} s")
    time.sleep(wait)


def _wait(error: BaseException, attempt: int) -> float:
    asked = _asked_wait(error)
    if asked is not None:
        return min(asked, LONGEST_ASKED_WAIT)
    return min(FIRST_WAIT * float(2 ** (attempt - 1)), LONGEST_WAIT)


def _asked_wait(error: BaseException) -> float | None:
    headers: Any = getattr(getattr(error, "response", None), "headers", {})
    try:
        asked = float(str(headers.get("Retry-After", "")))
    except ValueError:
        return None
    return max(0.0, asked)


def explained(error: BaseException, what: str) -> HubError:
    """Return what to tell the user, without tokens and signed addresses."""
    return HubError(f"Cannot {what}: {_explanation(error)}")


def _explanation(error: BaseException) -> str:
    status = status_of(error)
    if isinstance(error, LocalTokenNotFoundError):
        text = f"there is no token. {_LOGIN}"
    elif isinstance(error, OfflineModeIsEnabled):
        text = "HF_HUB_OFFLINE is set. Unset it and run this again."
    elif status == 401 and not isinstance(error, RepositoryNotFoundError):
        text = f"the Hub does not know the token. {_LOGIN}"
    elif status == 403:
        text = (
            f"the token may not do that ({_said(error)}). {_LOGIN} In a namespace that is not "
            "yours, its owner has to let you."
        )
    elif isinstance(error, RepositoryNotFoundError) or status == 404:
        text = (
            "there is no such thing on the Hub, or the token may not see it. Check the name, and "
            "`hf auth whoami`."
        )
    else:
        text = (
            f"{_reason(error)}. Run the same command again: whatever the Hub holds by now is not "
            "sent twice."
        )
    return text


def _reason(error: BaseException) -> str:
    status = status_of(error)
    if not isinstance(error, TRANSPORT_ERRORS):
        return f"the client gave up ({clean(str(error))})"
    if status is None:
        return f"no answer from the Hub ({clean(str(error)) or type(error).__name__})"
    if status == 429:
        return "the Hub asks for fewer requests (429)"
    return f"the Hub answered {status} ({_said(error)})"


def _said(error: BaseException) -> str:
    message = getattr(error, "server_message", None) or str(error)
    return clean(str(message))


def clean(text: str) -> str:
    """Return the first line of a message, without tokens and signed addresses."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = _TOKEN.sub("[token]", _QUERY.sub(r"\1", lines[0] if lines else ""))
    printable = "".join(char if char.isprintable() else "?" for char in first)
    return printable[:300].rstrip(".")
