"""The command line: what all commands share, from signals to exit codes; see `builder.commands`."""

from __future__ import annotations

import signal
import sys

import click

from builder.commands.build import build
from builder.commands.dataset import card, preview, publish
from builder.commands.export import export
from builder.commands.layers import download, inspect, recipe
from builder.commands.verify import verify
from builder.errors import HumanSegmentationError
from builder.version import __version__

_INTERRUPTED = 130
_TERMINATED = 143


def main() -> None:
    """Run the command line; the exit code is 0, 1 for an error, 2 for wrong usage, or 130."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        cli.main(prog_name="human-segmentation", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except HumanSegmentationError as error:
        from builder.sources.layer import printable

        # Whatever a message quotes, the terminal shows it and does not act upon it.
        click.secho(f"error: {printable(str(error))}", err=True, fg="red")
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nInterrupted. Run the same command again: it goes on from here.", err=True)
        sys.exit(_INTERRUPTED)
    finally:
        # While Python takes itself down a signal would end it as if the work was not done.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _terminate(*_: object) -> None:
    click.echo("\nTerminated. Run the same command again: it goes on from here.", err=True)
    sys.exit(_TERMINATED)


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
