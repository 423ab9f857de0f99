"""The tasks into which the work of a shard is cut."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.engines.local import tasks_of
from builder.plan import make_plan
from builder.render import Task, shard_tasks
from builder.shards import Work
from tests.planning import layers, recipe


def tasks_of_all(
    humans: int, backgrounds: int, per_human: int, most: int, **knobs: object
) -> list[list[Task]]:
    """Return the tasks of each shard of a plan."""
    known = layers(humans, backgrounds)
    chosen = recipe(per_human, 0.0, **knobs)
    by_id = {layer.id: layer for layer in known}
    shards = make_plan(known, chosen, 0).shards()
    tasks = [list(shard_tasks(shard, by_id, chosen, 0, at_once=lambda _: most)) for shard in shards]
    for shard, own in zip(shards, tasks, strict=True):
        assert [pair for task in own for pair in task.pairs] == list(shard.pairs())
    return tasks


@given(st.integers(1, 60), st.integers(1, 80), st.integers(1, 40), st.integers(1, 9))
def test_tasks_have_all_pairs_in_order_and_few_humans_each(
    humans: int, backgrounds: int, per_human: int, most: int
) -> None:
    for own in tasks_of_all(humans, backgrounds, per_human, most, shard_megabytes=8.0):
        for task in own:
            shown = {human.id for human in task.humans}
            assert len(shown) <= most
            assert len(shown) == 1 or len(task.pairs) <= 32
            assert [layer.id for layer in task.backgrounds] == [p.background for p in task.pairs]
        last = {pair.background: number for number, task in enumerate(own) for pair in task.pairs}
        for number, task in enumerate(own):
            ended = Counter(layer.id for layer in task.last_met)
            assert ended == Counter(one for one, end in last.items() if end == number)


@given(st.integers(1, 90), st.integers(1, 40), st.integers(1, 4), st.integers(1, 9))
def test_no_task_is_larger_than_a_worker_s_share_of_what_is_left(
    humans: int, backgrounds: int, per_human: int, workers: int
) -> None:
    known = layers(humans, backgrounds)
    chosen = recipe(per_human, 0.0, shard_megabytes=8.0)
    shards = tuple(make_plan(known, chosen, 0).shards())
    work = Work(shards, {layer.id: layer for layer in known}, chosen, 0, Path())
    left, largest = humans, 0
    for task in tasks_of(work, workers):
        shown = len({human.id for human in task.humans})
        assert shown <= max(1, left / workers)
        left, largest = left - shown, max(largest, shown)
    assert left == 0
    assert largest <= 8


def test_tasks_do_not_become_smaller_at_the_end_of_a_shard_that_others_follow() -> None:
    known, chosen = layers(90, 90), recipe(4, 0.0, shard_megabytes=40.0)
    by_id = {layer.id: layer for layer in known}
    first, *others = make_plan(known, chosen, 0).shards()
    assert sum(len(shard.humans) for shard in others) >= 2 * 8
    tasks = list(tasks_of(Work((first, *others), by_id, chosen, 0, Path()), workers=2))
    alone = list(shard_tasks(first, by_id, chosen, 0, at_once=lambda _: 8))
    assert tasks[: len(alone)] == alone


@pytest.mark.parametrize("megabytes", [110.0, 190.0, 300.0])
def test_in_the_data_set_s_proportions_each_background_is_in_one_task_of_a_shard(
    megabytes: float,
) -> None:
    every = tasks_of_all(208, 208, 4, 8, size=1024, image_format="png", shard_megabytes=megabytes)
    assert sum(map(len, every)) > 2 * len(every) - 2
    for own in every:
        met = Counter(b for task in own for b in {pair.background for pair in task.pairs})
        assert set(met.values()) == {1}
    # Shorter tasks end at the ends of a shard alone.
    assert sum(map(len, every)) <= 208 / 8 + 2 * len(every)
