"""One bar for all that is sent, instead of up to four of the client for each file."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from huggingface_hub import CommitOperationAdd
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars
from tqdm import tqdm

# Looked up by name where it is used, as it is no promise of the client's. Without it the bar of a
# Xet upload moves once a file.
_XET_REPORTING = "huggingface_hub.utils._xet_progress_reporting"
_XET_REPORTER = "XetUploadProgressReporter"


class SendingBar:
    """Bytes sent of all files, with their rate and the time that remains.

    Args:
        total: bytes of all files.
        shown: whether there is a bar at all.
    """

    def __init__(self, total: int, *, shown: bool) -> None:
        self._bar = tqdm(
            total=total, desc="Sending", unit="B", unit_scale=True, disable=not shown, leave=True
        )
        self._total = total
        self._before = 0

    @contextmanager
    def file(self, name: str, size: int) -> Iterator[None]:
        """While one file is sent. What was tried and failed is taken back in the end."""
        self._bar.set_postfix_str(name)
        try:
            with _reporting_to(self):
                yield
            self._before += size
        finally:
            self._move_to(self._before)

    def sent(self, count: int) -> None:
        """Show that so many bytes of the present file were sent, in this attempt."""
        self._move_to(self._before + count)

    def _move_to(self, count: int) -> None:
        self._bar.update(min(count, self._total) - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.set_postfix_str("")
        self._bar.close()


class CountedFile(CommitOperationAdd):
    """A file on its way into a repository, whose reading moves a bar."""

    bar: SendingBar | None = None

    @contextmanager
    def as_file(self, with_tqdm: bool = False) -> Iterator[BinaryIO]:
        """Open it; LFS uploads ask `with_tqdm`, and hashing does not."""
        if with_tqdm and self.bar is not None and isinstance(self.path_or_fileobj, str):
            with _CountingReader(self.path_or_fileobj, self.bar) as counting:
                yield cast(BinaryIO, counting)
            return
        with super().as_file() as file:
            yield file


class _CountingReader(io.FileIO):
    """A file that says how far it was read."""

    def __init__(self, path: str, bar: SendingBar) -> None:
        super().__init__(path)
        self._sending = bar

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(-1 if size is None else size) or b""
        self._sending.sent(self.tell())
        return data


class _XetReporter:
    """What the client tells of a Xet upload, in the place of its own bars."""

    def __init__(self, bar: SendingBar) -> None:
        self._bar = bar

    def update_progress(self, report: Any, *_: Any) -> None:
        self._bar.sent(int(report.total_bytes_completed))

    def close(self) -> None:
        pass


@contextmanager
def _reporting_to(bar: SendingBar) -> Iterator[None]:
    reporting = importlib.import_module(_XET_REPORTING)
    if are_progress_bars_disabled() or not hasattr(reporting, _XET_REPORTER):
        with disable_progress_bars():
            yield
        return
    own = getattr(reporting, _XET_REPORTER)
    setattr(reporting, _XET_REPORTER, lambda *_, **__: _XetReporter(bar))
    try:
        yield
    finally:
        setattr(reporting, _XET_REPORTER, own)
