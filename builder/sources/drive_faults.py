"""What went wrong between gdown, the network and Google Drive, in words.

The words are our own: the texts of `requests` hold addresses with one-time tokens in them.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator

import gdown
import requests
import urllib3.exceptions

from builder.errors import DownloadError
from builder.sources.layer import printable

_STATUS_REASONS = {
    401: "Google refuses to list it: it is not shared with everyone",
    403: "Google refuses to list it: it is not shared with everyone",
    404: "there is no such folder: it was removed, or the address is wrong",
    429: "Google refuses to list it for now: too many requests",
}


_CUT = "the connection was cut"
_NETWORK_FAULTS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    (
        (ssl.SSLCertVerificationError,),
        "the server's certificate is not Google's: a proxy or a sign-in page is in between",
    ),
    (
        (requests.exceptions.ProxyError,),
        "no network: the proxy in HTTPS_PROXY cannot be reached, or refuses",
    ),
    (
        (requests.ConnectTimeout, socket.gaierror, urllib3.exceptions.NewConnectionError),
        "no network: Google Drive cannot be reached",
    ),
    (
        (requests.Timeout, urllib3.exceptions.TimeoutError),
        "the connection stalled: nothing more arrived",
    ),
    ((requests.RequestException,), _CUT),
)


class PartRefusedError(DownloadError):
    """The server would not go on from the bytes at hand; they may have to go."""


def is_temporary(error: Exception) -> bool:
    """Tell whether a folder that could not be listed may well be there: no network, or overload."""
    status = _listing_status(error)
    if status is not None:
        return status == 429 or status >= 500
    return _network_fault(error) is not None


def is_part_refused(error: Exception) -> bool:
    """Tell whether gdown gave up because of the `.part` that it should go on from."""
    return (
        isinstance(error, gdown.DownloadError)
        and not isinstance(error, gdown.FileURLRetrievalError)
        and _network_fault(error) is None
    )


def explain_listing(error: Exception) -> str:
    """Say why a folder could not be listed."""
    status = _listing_status(error)
    if status is not None:
        reason = _STATUS_REASONS.get(status, "Google could not list it")
        return f"{reason} (HTTP {status})"
    if isinstance(error, RecursionError):
        return "it contains itself"
    if isinstance(error, gdown.FileURLRetrievalError):
        page = _explain_page(" ".join(str(error).split()))
        return f"a Google document in it spoils the listing ({page})"
    fault = _network_fault(error)
    return fault or "Google answered with a page that does not list a folder"


def explain_file(error: Exception) -> str:
    """Say why a file could not be downloaded."""
    fault = _network_fault(error)
    if fault:
        return fault
    if isinstance(error, gdown.FileURLRetrievalError):
        return _explain_page(" ".join(str(error).split()))
    if isinstance(error, KeyError) and "content-type" in str(error).lower():
        return "the answer lacks a Content-Type, so it is not Google Drive's own"
    if not isinstance(error, gdown.DownloadError):
        return f"the answer is not of Google Drive's form ({type(error).__name__})"
    return "the server would not send the rest of it, nor the whole"


def _explain_page(text: str) -> str:
    lowered = text.lower()
    if "too many users" in lowered or "quota" in lowered:
        return "Google refuses it for now: too many people downloaded it in the last 24 hours"
    if "cannot retrieve the public link" in lowered:
        return (
            "Google gives no public link to it: it is not shared with everyone, it was removed, "
            "or the server is overloaded"
        )
    match = re.search(r"file url: (.*) You may still", text)
    said = printable(match[1] if match else text)[:200]
    return f'Google refuses it, saying "{said}"'


def _listing_status(error: Exception) -> int | None:
    match = re.search(r"status code (\d{3})", str(error))
    return int(match[1]) if match and isinstance(error, gdown.DownloadError) else None


def _network_fault(error: Exception) -> str | None:
    """Name what the network did, or return None if it is not to blame."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, requests.HTTPError) and cause.response is not None:
            return f"the server answered with HTTP {cause.response.status_code}"
    for types, fault in _NETWORK_FAULTS:
        if any(isinstance(cause, types) for cause in causes):
            return fault
    return _CUT if str(error).startswith("Download is incomplete") else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all those it was raised for; `requests` hides some in the arguments."""
    seen: set[int] = set()
    pending: list[object] = [error]
    while pending:
        cause = pending.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            pending += [cause.__cause__, *cause.args, getattr(cause, "reason", None)]
