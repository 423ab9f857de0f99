"""What fuzzing starts from and what it found: every kept input, without a fuzzer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "fuzz" / "corpus"


@pytest.mark.parametrize("target", TARGETS)
def test_every_kept_input_is_read_or_refused_and_nothing_else(target: str) -> None:
    inputs = sorted((CORPUS / target).iterdir())
    assert len(inputs) > 3
    for path in inputs:
        TARGETS[target](path.read_bytes())


def test_the_corpus_stays_small() -> None:
    sizes = [path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(sizes) < 300_000
    assert len(sizes) < 200
