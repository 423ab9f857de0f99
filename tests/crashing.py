"""Runs the command line again and again, failing before one file operation after the other.

`python -m tests.crashing HOW BASE FIRST STEP ARGUMENT...` runs `human-segmentation ARGUMENT...
--output BASE/N` for N = FIRST, FIRST + STEP and so on, in a child that fails before its N-th
change of a file below that folder: by SIGKILL or, as a full disk does, by ENOSPC. Then the same
command runs to its end, undisturbed. It stops once a child gets along without failing, and prints
one JSON object for each that did.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from builder import cli, folder, report
from builder.commands import build

# Imported once, not in each child.
assert all((cli, folder, report, build))

_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "os.utime")


class _Hook:
    """Counts changes of files below a folder, and fails before the N-th."""

    def __init__(self, place: str, number: int, how: str) -> None:
        self.place, self.left, self.how = place, number, how
        self.failed_at = ""

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.failed_at and self._changes(event, arguments):
            self.left -= 1
            if self.left < 0:
                self.failed_at = event
                if self.how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _changes(self, event: str, arguments: tuple[Any, ...]) -> bool:
        writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not (writes or event in _CHANGES):
            return False
        return any(str(name).startswith(self.place) for name in arguments[:2])


def run(arguments: list[str], hook: _Hook | None) -> tuple[int, str]:
    """Run the command line in a child; return its exit status and what it wrote to stderr."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", 0), write_through=True)
        status = 1
        try:
            if hook:
                sys.addaudithook(hook)
            sys.argv[1:] = arguments
            cli.main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        except BaseException:  # noqa: BLE001 - as Python does with what nobody catches
            traceback.print_exc()
        finally:
            os._exit(status if not hook or hook.failed_at else 200)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def main() -> None:
    how, base, first, step, *arguments = sys.argv[1:]
    for number in itertools.count(int(first), int(step)):
        output = Path(base) / str(number)
        full = [*arguments, "--output", str(output)]
        with contextlib.suppress(FileNotFoundError):
            output.rmdir()
        status, said = run(full, _Hook(str(output), number, how))
        if status == 200:
            return
        left = sorted(str(path.relative_to(output)) for path in output.rglob("*"))
        again, said_again = run(full, None)
        values = {"number": number, "status": status, "said": said, "left": left}
        print(json.dumps({**values, "again": again, "said_again": said_again}), flush=True)


if __name__ == "__main__":
    main()
