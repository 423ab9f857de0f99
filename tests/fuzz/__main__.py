"""Fuzz one target for some time, from the corpus in this folder.

    .venv/bin/pip install -e '.[fuzz]'
    .venv/bin/python -m tests.fuzz archive --seconds 60

An input that fails is written to `--found`; keep it in the corpus once it is mended, and
`tests/test_fuzz_corpus.py` looks at it for ever.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["builder", "zipfile", "tarfile", "tomllib", "tomli", "json", "PIL"]
):
    from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")


def main() -> None:
    """Run libFuzzer; it ends the process with its own exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--found", type=Path, default=Path("fuzz-found"))
    chosen = parser.parse_args()
    chosen.found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as fresh:
        # In a child, since libFuzzer leaves without any farewell.
        child = os.fork()
        if child == 0:
            options = [
                *(sys.argv[0], fresh, str(CORPUS / chosen.target)),
                *(f"-max_total_time={chosen.seconds}", "-timeout=20", "-rss_limit_mb=6000"),
                *(f"-artifact_prefix={chosen.found}/{chosen.target}-", "-max_len=40000"),
                *("-print_final_stats=1", "-verbosity=0"),
            ]
            atheris.Setup(options, TARGETS[chosen.target])
            atheris.Fuzz()
        _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
