"""The examples, run as a reader of them would: `examples/` needs the extra `train`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.building import SMALL, build
from tests.kit import write_layers

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: str | Path, place: Path) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        # One thread each, as many tests run at once.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layers")
    sizes = {"human_size": (192, 256), "background_size": (256, 192)}
    return write_layers(folder, humans=6, backgrounds=5, **sizes)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("pairs") / "folder", *SMALL)


def test_plain_pytorch(layers: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    said = run("plain_pytorch.py", layers, place=tmp_path)
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", said)]
    assert len(losses) == 20
    assert losses[-1] < losses[0]


def test_resuming_shows_no_pair_again(layers: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    outputs = [run("resume_in_the_middle.py", layers, "s.json", place=tmp_path) for _ in range(2)]
    ids = [re.findall(r"[0-9a-f]{32}-\d{4}", said) for said in outputs]
    assert len(ids[0]) == len(ids[1]) == 20
    assert not set(ids[0]) & set(ids[1])
    assert json.loads((tmp_path / "s.json").read_text())["taken"] == {"0/2": 20, "1/2": 20}


def test_mixing(pairs: Path, tmp_path: Path) -> None:
    other = build(tmp_path / "other", *SMALL, "--seed", "1")
    said = run("mix_with_another_dataset.py", pairs, other, place=tmp_path)
    assert len(re.findall(r"^\d+ \(\d+, \d+\) L$", said, re.MULTILINE)) == 8


@pytest.mark.parametrize(("source", "precision"), [("layers", "--no-mixed"), ("pairs", "--mixed")])
def test_a_background_remover_is_trained_judged_and_used(
    layers: Path, pairs: Path, tmp_path: Path, source: str, precision: str
) -> None:
    for name in ("torch", "monai", "torchmetrics"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    photos = tmp_path / "photos"
    for folder in ("im", "gt"):
        (photos / folder).mkdir(parents=True)
    truth = np.zeros((90, 160), np.uint8)
    truth[20:, 60:100] = 255
    cv2.imwrite(str(photos / "gt" / "one.png"), truth)
    cv2.imwrite(str(photos / "im" / "one.jpg"), np.dstack([truth // 2 + 60] * 3))
    given = ("--layers", layers) if source == "layers" else ("--pairs", pairs)
    small = ("--size", "64", "--batch", "4", "--validation", "8", "--minutes", "0.1")
    cutout = ("--picture", photos / "im" / "one.jpg", tmp_path / "cutout.png")
    script = "train_background_remover.py"
    said = run(script, *given, *small, precision, "--photos", photos, place=tmp_path)
    assert "centre ellipse" in said
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert scores.keys() == {"validation", "photos"}
    for judged in scores.values():
        everywhere = judged["all foreground"]
        assert 0 < everywhere["IoU"] < 1
        for values in judged.values():
            assert all(0 <= value <= 1 for value in values.values())
    # A rectangle of 70 by 40 that goes on below, in a square of 160.
    assert scores["photos"]["all foreground"]["IoU"] == pytest.approx(105 * 40 / 160**2, abs=0.01)
    log = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert log[0] == "step,seconds,pairs,loss"
    assert Image.open(tmp_path / "run" / "grid.jpg").width == 3 * 64
    run(script, "--minutes", "0", *cutout, place=tmp_path)
    made = Image.open(tmp_path / "cutout.png")
    assert (made.mode, made.size) == ("RGBA", (160, 90))
