"""The command line: what all commands share, from signals to exit codes; see `builder.commands`."""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import sys
import time

import click

from builder.commands.build import build
from builder.commands.dataset import card, preview, publish
from builder.commands.export import export
from builder.commands.layers import download, inspect, recipe
from builder.commands.verify import verify
from builder.errors import HumanSegmentationError
from builder.version import __version__

_EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}

# Wrappers such as `uv run` pass on what the terminal has sent to the whole group already.
_SAME_SIGNAL_SECONDS = 1.0

_GOES_ON = "Run the same command again: it goes on from here."


def main() -> None:
    """Run the command line; the exit code is 0, 1 for an error, 2 for wrong usage, 130 or 143."""
    _stop_on_signals()
    code = _exit_code()
    # A signal must not make it look as if the work was not done.
    for number in _EXIT_CODES:
        signal.signal(number, lambda *_: os._exit(code))
    # Python gives up its handlers before it has ended.
    atexit.register(_ignore_signals)
    sys.exit(code)


def _exit_code() -> int:
    try:
        return _run()
    except (click.Abort, KeyboardInterrupt):
        _say(f"\nInterrupted. {_GOES_ON}")
        return _EXIT_CODES[signal.SIGINT]
    except _Terminated:
        _say(f"\nTerminated. {_GOES_ON}")
        return _EXIT_CODES[signal.SIGTERM]


def _run() -> int:
    try:
        # Commands return nothing, but click the code of those that it ends early.
        return int(cli.main(prog_name="human-segmentation", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except HumanSegmentationError as error:
        from builder.sources.layer import printable

        # Whatever a message quotes, the terminal shows it and does not act upon it.
        click.secho(f"error: {printable(str(error))}", err=True, fg="red")
        return 1


def _say(text: str) -> None:
    # The exit code tells it where nobody reads.
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


class _Terminated(BaseException):
    """SIGTERM came; like KeyboardInterrupt it is no Exception, so nothing takes it for an error."""


def _stop_on_signals() -> None:
    """Have the first signal stop what is done, and one that is sent again end the program at once.

    What it leaves then, the next run deals with, as after SIGKILL. Disturbed a second time, Python
    before 3.13 loses sight of threads that it waits for, and aborts or hangs (its issue 90882).
    """
    first: list[float] = []

    def stop(number: int, _: object) -> None:
        now = time.monotonic()
        if not first:
            first.append(now)
            raise _Terminated if number == signal.SIGTERM else KeyboardInterrupt
        if now - first[0] > _SAME_SIGNAL_SECONDS:
            # Printing might be what hangs.
            with contextlib.suppress(OSError):
                if select.select([], [2], [], 0)[1]:
                    os.write(2, f"\nEnded at once. {_GOES_ON}\n".encode())
            os._exit(_EXIT_CODES[signal.Signals(number)])

    for number in _EXIT_CODES:
        signal.signal(number, stop)


def _ignore_signals() -> None:
    for number in _EXIT_CODES:
        signal.signal(number, signal.SIG_IGN)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    """Build image/mask pairs for training background removers, from transparent humans and
    backgrounds.

    \b
    Try it, without network:
      human-segmentation build --source sample
      human-segmentation preview human-segmentation --open
    """


for _command in (
    build,
    download,
    inspect,
    recipe,
    preview,
    card,
    verify,
    publish,
    export,
):
    cli.add_command(_command)
