"""The work that the benchmarks share: layers, their plan, and a clock that starts when all is warm.

Nothing here is about speed alone: pairs, tasks and shards are those of a real build.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.options import Options
from builder.engines import available_workers, keep_freed_memory, ordered_map
from builder.engines.local import tasks_of
from builder.layers import admit_all
from builder.plan import Shard, make_plan
from builder.recipe import Recipe, load_recipe
from builder.render import Task, make_rows
from builder.shards import Work, write_shard
from builder.sources import Sources, collect
from builder.sources.layer import Layer

Item = TypeVar("Item")
Result = TypeVar("Result")

_SEED = 0
_PAIRS_A_HUMAN = 4
# In which a worker that started last finishes warming up.
_SETTLING_SECONDS = 0.5


@dataclass(frozen=True)
class Workload:
    """Layers, checked already, with a plan for them: all in the split `train`."""

    layers: tuple[Layer, ...]
    recipe: Recipe
    shards: tuple[Shard, ...]

    @property
    def pairs(self) -> int:
        """The number of pairs."""
        return sum(shard.rows for shard in self.shards)

    def tasks(self, workers: int) -> Iterator[Task]:
        """Yield the tasks of all shards, as a build gives them to so many workers."""
        layers = {layer.id: layer for layer in self.layers}
        return tasks_of(Work(self.shards, layers, self.recipe, _SEED, Path()), workers)

    def role(self, role: str) -> list[Layer]:
        """Return the layers of a role."""
        return [layer for layer in self.layers if layer.role == role]


def checked_layers(folder: Path) -> tuple[Layer, ...]:
    """Return the usable layers of a folder."""
    found = collect(Sources(sources=(str(folder),)), progress=False)
    checking = {"threads": available_workers(), "progress": False}
    return admit_all(found.candidates, load_recipe("plain"), **checking).layers


def as_in_the_data_set(options: Options, pairs: int) -> tuple[Layer, ...]:
    """Return layers in the data set's proportions: a background a human, and four pairs of each.

    They are copies, so many that each has to be decoded.
    """
    count = max(2, pairs // _PAIRS_A_HUMAN)
    return checked_layers(copy_layers(options.layers, options.place / "layers", count, count))


def plan_workload(
    layers: tuple[Layer, ...], recipe_name: str, pairs: int, **knobs: Any
) -> Workload:
    """Plan at least so many pairs of layers, of the background's own size unless told otherwise."""
    humans = sum(layer.role == "human" for layer in layers)
    share = {"size": 0, "validation": 0.0, "per_human": -(-pairs // humans)}
    recipe = load_recipe(recipe_name).replace({**share, **knobs})
    return Workload(layers, recipe, tuple(make_plan(layers, recipe, _SEED).shards()))


def pairs_per_second(
    workload: Workload,
    workers: int,
    folder: Path,
    rows_of: Callable[[Task], list[Any]] = make_rows,
) -> float:
    """Make the rows of all tasks and write all shards, as a build does once its workers run."""
    keep_freed_memory()
    clock = Clock()
    items = clock.started_before(workload.tasks(workers), workers)
    function = functools.partial(_rows_unless_warming, rows_of)
    with ordered_map(function, items, workers) as results:
        write_shards(workload, results, folder)
    return workload.pairs / clock.seconds()


def write_shards(workload: Workload, results: Iterable[list[Any]], folder: Path) -> None:
    """Write the rows of all shards to a folder."""
    rows = itertools.chain.from_iterable(results)
    for shard in workload.shards:
        write_shard(shard, itertools.islice(rows, shard.rows), folder, workload.recipe, _SEED)


class Clock:
    """Starts when all workers have done something, so that their start-up is not counted."""

    _started = 0.0

    def started_before(self, items: Iterable[Item], workers: int) -> Iterator[Item | None]:
        """Yield None for each warm-up, then the items; the clock starts in between."""
        yield from [None] * (2 * workers)
        time.sleep(_SETTLING_SECONDS)
        self._started = time.perf_counter()
        yield from items

    def seconds(self) -> float:
        """Return the time since the first item was asked for."""
        return time.perf_counter() - self._started


def warm_up() -> None:
    """Take long enough for every worker to get one."""
    time.sleep(_SETTLING_SECONDS / 2)


def _rows_unless_warming(rows_of: Callable[[Task], list[Any]], task: Task | None) -> list[Any]:
    if task is None:
        warm_up()
        return []
    return rows_of(task)


def timed_map(
    function: Callable[[Item | None], Result], items: Iterable[Item], workers: int
) -> float:
    """Return the seconds that workers take for items; for None the function calls `warm_up`."""
    clock = Clock()
    with ordered_map(function, clock.started_before(items, workers), workers) as results:
        for _ in results:
            pass
    return clock.seconds()


def copy_layers(layers: Path, folder: Path, humans: int, backgrounds: int) -> Path:
    """Fill a folder with as many layers as asked for: files that differ in what no decoder reads.

    A handful of layers would fit into any cache; thousands do not.
    """
    for role, count in (("humans", humans), ("backgrounds", backgrounds)):
        target = folder / role
        target.mkdir(parents=True)
        originals = [path for path in sorted((layers / role).iterdir()) if path.is_file()]
        for number, path in zip(range(count), itertools.cycle(originals)):
            copy = target / f"{number:05d}{path.suffix}"
            copy.write_bytes(path.read_bytes() + number.to_bytes(4, "big"))
    return folder
