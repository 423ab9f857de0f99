"""Pictures that are kept in memory of their own, which serves again when they are gone."""

from __future__ import annotations

import mmap
import multiprocessing
import resource
import sys

import numpy as np
import numpy.typing as npt
import pytest

from builder.recent import Recent, apart

Pixels = npt.NDArray[np.uint8]


def pages_handed_out() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def full_of(value: int, side: int = 64) -> Pixels:
    return np.full((side, side, 3), value, np.uint8)


@pytest.mark.skipif(sys.platform != "linux", reason="counts the pages that Linux hands out")
def test_memory_of_a_picture_that_is_gone_takes_the_next() -> None:
    picture = full_of(1, 1500)
    apart(picture)
    before = pages_handed_out()
    apart(picture)
    assert pages_handed_out() - before < picture.nbytes / mmap.PAGESIZE / 4


def test_a_picture_that_anyone_holds_a_view_of_stays() -> None:
    row = apart(full_of(1))[3:5, ::2]
    others = [apart(full_of(value)) for value in range(2, 12)]
    assert (row == 1).all()
    assert [int(other.max()) for other in others] == list(range(2, 12))


def test_pictures_of_other_sizes_have_the_shape_and_values_they_came_with() -> None:
    for side in (64, 63, 62, 40, 64, 61):
        kept = apart(full_of(side, side))
        assert kept.shape == (side, side, 3)
        assert (kept == side).all()


def test_what_a_cache_dropped_is_not_written_over_while_it_is_used() -> None:
    size = full_of(0).nbytes
    cache: Recent[Pixels] = Recent(2 * size, lambda pixels: pixels.nbytes)
    used = cache.get(0, lambda: apart(full_of(200)))
    for value in range(1, 9):
        cache.get(value, lambda value=value: apart(full_of(value)))  # type: ignore[misc]
    assert (used == 200).all()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are not forked everywhere")
def test_a_forked_process_changes_nothing_of_its_parent_s() -> None:
    kept = apart(full_of(7))
    child = multiprocessing.get_context("fork").Process(target=kept.fill, args=(9,))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert (kept == 7).all()
