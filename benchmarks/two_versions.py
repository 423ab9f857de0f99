"""Workers of another version beside those of this one: is a change worth its lines?

    git worktree add ../before HEAD~1
    python benchmarks/two_versions.py ../before --recipe classic

Both make the rows of the same pairs, in turns, and several workers at once, as in a build: one
alone has the processor's caches and the way to memory for itself, and what saves either of them
seems to be worth little. What counts is the time of processors.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).resolve().parents[1]
_PAIRS = 832


def main() -> None:
    """Measure both, and print the ratio."""
    options = _options()
    from benchmarks.paired import in_turns, ratio_of
    from benchmarks.workload import copy_layers

    with tempfile.TemporaryDirectory() as place:
        layers = copy_layers(options.layers, Path(place), _PAIRS // 4, _PAIRS // 4)
        told = (str(layers), options.recipe, options.image_format, str(options.workers))
        roots = {"here": _HERE, "there": options.checkout.resolve()}
        crews = {name: _Crew.started(root, options.workers, told) for name, root in roots.items()}
        contenders = {name: crew.milliseconds_a_pair for name, crew in crews.items()}
        in_turns(contenders, 1, lambda text: None)
        measured = in_turns(contenders, options.turns, print)
        for crew in crews.values():
            crew.stop()
    ratio = ratio_of(measured["here"], measured["there"])
    print(
        f"{options.recipe}, {options.image_format}: {ratio.ours:.2f} ms a pair, "
        f"{ratio.other:.2f} there: {ratio.ratio:.3f} times ({ratio.low:.3f} to {ratio.high:.3f})"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkout", type=Path, help="folder of the other version")
    parser.add_argument("--layers", type=Path, default=Path("../shared/layers"))
    parser.add_argument("--recipe", default="realistic")
    parser.add_argument("--image-format", default="jpeg")
    parser.add_argument("--workers", type=int, default=2, help="at once")
    parser.add_argument("--turns", type=int, default=5)
    return parser.parse_args()


@dataclass(frozen=True)
class _Crew:
    """Workers of one version, all of which wait while those of the other work."""

    workers: tuple[subprocess.Popen[str], ...]
    tasks: int

    @classmethod
    def started(cls, root: Path, workers: int, told: tuple[str, ...]) -> _Crew:
        command = [sys.executable, __file__, "--work", str(root), *told]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        crew = tuple(subprocess.Popen(command, **pipes) for _ in range(workers))
        tasks = [int(_answer(worker)) for worker in crew]
        return cls(crew, tasks[0])

    def milliseconds_a_pair(self) -> float:
        """Have all tasks made once, as many at a time as there are workers."""
        seconds, pairs = 0.0, 0
        for first in range(0, self.tasks, len(self.workers)):
            at_it = list(zip(self.workers, range(first, self.tasks), strict=False))
            for worker, number in at_it:
                print(number, file=worker.stdin, flush=True)
            for worker, _ in at_it:
                own_seconds, own_pairs = _answer(worker).split()
                seconds, pairs = seconds + float(own_seconds), pairs + int(own_pairs)
        return 1000 * seconds / pairs

    def stop(self) -> None:
        """End the workers."""
        for worker in self.workers:
            worker.communicate()


def _answer(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout
    answer = worker.stdout.readline()
    if not answer:
        raise RuntimeError(f"{worker.args}: ended; what it said is above.")
    return answer


def _work(layers: str, recipe: str, image_format: str, workers: str) -> None:
    """Make the rows of the tasks whose numbers come in, and tell what they took."""
    import cv2

    from benchmarks.workload import checked_layers, plan_workload
    from builder.engines import keep_freed_memory
    from builder.render import make_rows

    cv2.setNumThreads(1)
    keep_freed_memory()
    workload = plan_workload(
        checked_layers(Path(layers)), recipe, _PAIRS, image_format=image_format
    )
    tasks = list(workload.tasks(int(workers)))
    print(len(tasks), flush=True)
    for line in sys.stdin:
        started = time.process_time()
        rows = make_rows(tasks[int(line)])
        print(time.process_time() - started, len(rows), flush=True)


if __name__ == "__main__":
    # Of the version that this process is to measure, or to measure beside.
    if sys.argv[1:2] == ["--work"]:
        sys.path.insert(0, sys.argv[2])
        _work(*sys.argv[3:])
    else:
        sys.path.insert(0, str(_HERE))
        main()
