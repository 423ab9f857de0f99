"""A Hub on 127.0.0.1, in a process of its own so that readers do not wait for its interpreter."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.formats import files_of
from tests.hub import HubServer


@dataclass(frozen=True)
class Loopback:
    """The Hub as its clients see it.

    Attributes:
        environment: sends clients there.
        url: its address.
    """

    environment: Mapping[str, str]
    url: str
    _line: Connection

    def received(self) -> int:
        """Return how many bytes of files it served since this was last asked."""
        self._line.send("received")
        return int(self._line.recv())


@contextmanager
def loopback_hub(repositories: Mapping[str, Path]) -> Iterator[Loopback]:
    """Serve folders as public datasets of these names."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, dict(repositories)), daemon=True)
    process.start()
    try:
        environment, url = here.recv()
        yield Loopback(environment, url, here)
    finally:
        here.send("stop")
        process.join()


def _serve(line: Connection, repositories: dict[str, Path]) -> None:
    with tempfile.TemporaryDirectory() as home:
        hub = HubServer(Path(home), transport="lfs")
        for name, folder in repositories.items():
            hub.create(name)
            hub.commit(name, dict(files_of(folder)))
        with hub.running():
            line.send((hub.environment, hub.url))
            while line.recv() != "stop":
                line.send(hub.received("download"))
                hub.forget()
