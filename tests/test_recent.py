"""Pictures that are kept in memory of their own, which serves again when they are gone."""

from __future__ import annotations

import mmap
import multiprocessing
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from builder import recent
from builder.recent import Recent, apart

Pixels = npt.NDArray[np.uint8]


def resident() -> int:
    """Return how many bytes of this process are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def full_of(value: int, side: int = 64) -> Pixels:
    return np.full((side, side, 3), value, np.uint8)


def test_memory_of_a_picture_that_is_gone_takes_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "_spare", deque())
    apart(full_of(1, 999))
    monkeypatch.setattr(mmap, "mmap", None)
    assert (apart(full_of(2, 999)) == 2).all()
    assert (apart(full_of(3, 950)) == 3).all()
    with pytest.raises(TypeError):
        apart(full_of(4, 900))


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory that is in use")
def test_pictures_that_are_gone_leave_little_memory_behind() -> None:
    picture = full_of(7, 3000)
    before = resident()
    for side in (2600, 2800, 1500, 1700, 1900, 2100, 3000):
        apart(picture[:side, :side])
    assert resident() - before < 24 * 1024**2


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


def test_what_is_forgotten_is_made_anew_and_leaves_its_room_to_others() -> None:
    cache: Recent[bytes] = Recent(2, len)
    for key in "ab":
        cache.get(key, key.encode)
    cache.forget("a")
    cache.forget("never kept")
    cache.get("c", b"c".lower)
    assert [cache.get(key, b"new".lower) for key in "bc"] == [b"b", b"c"]
    assert cache.get("a", b"new".lower) == b"new"


def test_threads_do_not_meet_in_one_memory() -> None:
    def kept(value: int) -> bool:
        return all((apart(full_of(value)) == value).all() for _ in range(200))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(kept, range(60)))
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are not forked everywhere")
def test_a_forked_process_changes_nothing_of_its_parent_s() -> None:
    kept = apart(full_of(7))
    child = multiprocessing.get_context("fork").Process(target=kept.fill, args=(9,))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert (kept == 7).all()
