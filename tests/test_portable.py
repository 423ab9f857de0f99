"""The same bytes on other processors, as far as this one can be told to forget what it can do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from builder.compositor import Compositor
from tests.building import build, digests, run
from tests.kit import write_layers

ENLARGING = (
    *("--source", "sample", "--sample-humans", "6", "--sample-backgrounds", "6"),
    *("--sample-size", "256", "--size", "320", "--per-human", "3", "--workers", "1"),
    *("--labels", "mask,trimap,foreground,background", "--set", "blend_light=linear"),
    *("--config", "layers"),
)
FORGETTING = {
    "IPP for processors with AVX2": {"OPENCV_IPP": "avx2"},
    "IPP for processors with SSE4.2": {"OPENCV_IPP": "sse42"},
    "no IPP": {"OPENCV_IPP": "disabled"},
    "no AVX-512": {
        "OPENCV_CPU_DISABLE": "AVX512-SKX",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        "OPENBLAS_CORETYPE": "Haswell",
    },
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("here") / "folder", *ENLARGING)


@pytest.mark.parametrize("forgetting", FORGETTING)
def test_another_processor_gives_the_same_bytes(
    here: Path, tmp_path: Path, forgetting: str
) -> None:
    environment = {**os.environ, **FORGETTING[forgetting]}
    done = run("build", "--output", tmp_path / "folder", *ENLARGING, env=environment)
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "folder") == digests(here)


def test_composites_on_the_fly_are_the_same_without_ipp(tmp_path: Path) -> None:
    layers = write_layers(tmp_path, background_size=(320, 240))
    program = (
        "import hashlib\n"
        "from builder.compositor import Compositor\n"
        "knobs = {'fog_probability': 1.0, 'size': 0}\n"
        f"made = Compositor(source={str(layers)!r}, recipe='classic', settings=knobs)\n"
        "samples = b''.join(made[i]['image'].tobytes() for i in range(8))\n"
        "print(hashlib.sha256(samples).hexdigest())\n"
    )

    def printed(forgetting: dict[str, str]) -> str:
        environment = {**os.environ, **forgetting}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    assert printed({}) == printed(FORGETTING["no IPP"])


@pytest.mark.skipif(not cv2.ipp.useIPP(), reason="OpenCV has no IPP here")
def test_a_training_process_keeps_ipp(tmp_path: Path) -> None:
    layers = write_layers(tmp_path)
    assert Compositor(source=str(layers), progress=False)[0]["mask"].any()
    assert cv2.ipp.useIPP()
