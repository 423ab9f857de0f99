"""Serve until interrupted, for rehearsals by hand."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import tempfile
import threading
from pathlib import Path

from . import HubServer


def main() -> None:
    """Print what to export, then serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.hub", description=__doc__)
    parser.add_argument("--port", type=int, default=8766)
    parser.add_argument("--transport", choices=("lfs", "xet"), default="xet")
    parser.add_argument("--root", type=Path, help="keep what is stored in this folder")
    arguments = parser.parse_args()
    # A shell that starts this in the background, as scripts do, makes it deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as home:
        hub = HubServer(
            Path(home), transport=arguments.transport, root=arguments.root, port=arguments.port
        )
        with hub.running(), contextlib.suppress(KeyboardInterrupt):
            for name, value in hub.environment.items():
                print(f"export {name}={shlex.quote(value)}", flush=True)
            print(f"# Serving as process {os.getpid()}; Ctrl-C ends it.", flush=True)
            threading.Event().wait()


if __name__ == "__main__":
    main()
