"""The benchmark that trains: its measures on masks made by hand, and one run of a few steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.probe_camera import photograph
from benchmarks.probe_metrics import boundary_f, iou, mean_scores, sign_flip_p
from benchmarks.probe_pairs import hold_out, photo_pairs, read_layers, stand_in
from builder.errors import PlanError, SourceError
from tests.kit import png, portrait, scenery, write_layers

ROOT = Path(__file__).parents[1]


def square(left: int = 30, top: int = 30, side: int = 40) -> np.ndarray:
    mask = np.zeros((100, 100), bool)
    mask[top : top + side, left : left + side] = True
    return mask


EMPTY = np.zeros((100, 100), bool)


def test_a_perfect_mask_scores_full_marks_and_so_does_nothing_where_nothing_is() -> None:
    for mask in (square(), EMPTY, ~EMPTY):
        assert iou(mask, mask) == boundary_f(mask, mask) == 1


def test_an_empty_mask_scores_nothing_where_a_figure_is_and_the_reverse() -> None:
    for predicted, true in ((EMPTY, square()), (square(), EMPTY)):
        assert iou(predicted, true) == boundary_f(predicted, true) == 0


def test_a_shifted_mask_loses_its_overlap_and_most_of_its_boundary() -> None:
    shifted = square(left=40)
    assert iou(shifted, square()) == pytest.approx(30 / 50)
    assert 0 < boundary_f(shifted, square()) < 0.5
    # 0.75 % of the diagonal of 100 x 100 px is 1.06 px: one pixel aside is forgiven, two are not.
    assert boundary_f(square(left=31), square()) == 1
    assert boundary_f(square(left=32), square()) < 1


def test_the_frame_is_no_boundary() -> None:
    assert boundary_f(square(left=0, top=0, side=100), EMPTY) == 1
    assert boundary_f(square(left=0), square(left=0, side=50)) < 0.6


def test_scores_are_means_over_pictures_and_the_error_is_that_of_alpha() -> None:
    true = np.stack([square(), square()]).astype(np.float32)
    predicted = np.stack([square(), EMPTY]).astype(np.float32)
    predicted[0] *= 0.75
    scores = mean_scores(predicted, true)
    assert scores.iou == scores.boundary == 0.5
    assert scores.mae == pytest.approx((0.25 * 0.16 + 0.16) / 2)


@pytest.mark.parametrize(
    ("differences", "p"),
    [([0.1, 0.2, 0.3], 2 / 8), ([0.1, -0.1], 1), ([0.0, 0.0], 1), ([-1.0] * 6, 2 / 64)],
)
def test_the_sign_flip_test_is_exact(differences: list[float], p: float) -> None:
    assert sign_flip_p(differences) == p


def test_look_alikes_are_held_out_together(tmp_path: Path) -> None:
    write_layers(tmp_path, humans=5, backgrounds=5)
    mirrored = np.ascontiguousarray(portrait(0)[:, ::-1])
    (tmp_path / "humans" / "mirrored.png").write_bytes(png(mirrored))
    layers = read_layers(tmp_path)
    twins = {layer.id for layer in layers if _shows(layer.read(), portrait(0), mirrored)}
    assert len(twins) == 2
    for seed in range(8):
        teachers, held_out = hold_out(layers, 0.35, seed)
        assert {layer.role for layer in teachers} == {layer.role for layer in held_out}
        assert len(teachers) + len(held_out) == len(layers)
        assert len(twins & {layer.id for layer in held_out}) != 1
    with pytest.raises(PlanError, match="Too few unlike humans"):
        hold_out([layer for layer in layers if layer.id in twins], 0.35, 0)


def _shows(data: bytes, *pictures: np.ndarray) -> bool:
    return any(data == png(picture) for picture in pictures)


def test_the_stand_in_shows_each_figure_where_its_mask_says(tmp_path: Path) -> None:
    layers = read_layers(write_layers(tmp_path, humans=3, backgrounds=3))
    pairs = stand_in(layers, 64, 0)
    again = stand_in(layers, 64, 0)
    assert (pairs.images == again.images).all() and (pairs.masks == again.masks).all()
    assert pairs.images.shape == (48, 64, 64, 3)
    covered = (pairs.masks > 127).mean(axis=(1, 2))
    assert covered.min() > 0.02 and covered.max() < 0.98
    shifted = pairs.shifted(0.25)
    assert (shifted.masks[:, 16:, 16:] == pairs.masks[:, :48, :48]).all()
    assert not shifted.masks[:, :16].any() and not shifted.masks[:, :, :16].any()


def test_the_stand_ins_camera_alters_a_scene_and_moves_no_edge() -> None:
    step = np.full((96, 96, 3), (12, 16, 20), np.uint8)
    step[:, 48:] = (150, 90, 40)
    noise = []
    for seed in range(12):
        taken = photograph(step, np.random.default_rng(seed))
        assert (taken == photograph(step, np.random.default_rng(seed))).all()
        right = taken[:, 56:].astype(float)
        # Red stays red: the filters are told apart as they were put on.
        assert (np.argsort(right.mean(axis=(0, 1))) == (2, 1, 0)).all()
        # A lens mixes light: of what is stored, the bright side spreads over the dark one.
        light = (taken[..., 1] / 255.0).mean(axis=0) ** 2.2
        middle = (light[:40].mean() + light[56:].mean()) / 2
        assert abs(np.interp(middle, light[42:54], np.arange(42, 54)) - 47.5) < 0.6
        noise.append(right[..., 1].std())
    assert min(noise) < 3 < max(noise)


def write_photos(folder: Path, count: int) -> Path:
    for number in range(count):
        mask = portrait(number, (120, 90))[..., 3]
        for kind, pixels in (("images", scenery(number, (120, 90))), ("masks", mask)):
            path = folder / kind / f"{number}.{'jpg' if kind == 'images' else 'png'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), pixels)
    return folder


def test_photographs_need_a_mask_each_of_their_size(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "photos", 3)
    assert photo_pairs(folder, 48).images.shape == (3, 48, 48, 3)
    cv2.imwrite(str(folder / "masks" / "1.png"), np.zeros((9, 9), np.uint8))
    with pytest.raises(SourceError, match=r"1\.png: differ in size"):
        photo_pairs(folder, 48)
    (folder / "masks" / "1.png").unlink()
    with pytest.raises(SourceError, match="not both in images/ and in masks/: 1"):
        photo_pairs(folder, 48)


@pytest.mark.parametrize("on_photos", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_run_trains_on_each_recipe_and_again_on_the_control(
    tmp_path: Path, on_photos: bool
) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    layers = write_layers(tmp_path / "layers", humans=4, backgrounds=4)
    photos = ["--photos", write_photos(tmp_path / "photos", 3)] if on_photos else []
    command = [sys.executable, "-m", "benchmarks.train_probe", "--layers", layers, *photos]
    command += ["--recipes", "plain,classic", "--seeds", "3", "--size", "32", "--shift", "0"]
    done = subprocess.run(
        [*command, "--steps", "3", "--batch", "2", "--pairs", "6"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert ("3 photographs" in done.stdout) == on_photos
    assert ("NOT ON PHOTOGRAPHS" in done.stdout) != on_photos
    assert ("holds out 1 human(s)" in done.stdout) != on_photos
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| 3 | ")]
    assert [row[1] for row in rows] == [
        *("plain", "classic", "no picture: mean training mask"),
        "control: plain with shifted labels",
    ]
    # Labels shifted by nothing are those of the recipe: training again has to give the same.
    assert rows[0][2:5] == rows[3][2:5] != rows[1][2:5]
    assert "worse than plain in 0 of 1: so nothing above tells anything." in done.stdout
