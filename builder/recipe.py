"""Every knob of a dataset in one frozen dataclass, loadable from TOML.

A recipe fixes how layers are checked, split, paired, placed, blended, altered and encoded. With the
sources and the seed it determines every byte of the result.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from builder.errors import RecipeError
from builder.knobs import allowed, checked, choice, choices, knob, shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Range = tuple[float, float]

IMAGE_FORMATS = ("jpeg", "png", "webp")
BLENDS = ("srgb", "linear")
DOUBTS = (
    "haze",
    "see-through body",
    "detached specks",
    "cut at the top",
    "blurred",
    "nearly flat",
    "has alpha",
)
# What has a chance and is no operation on light or colours.
COMPOSITION = ("geometry", "framing", "flip", "second_figure", "third_figure")
LABELS = ("mask", "trimap", "foreground", "background")

# The parser's own error is a ValueError, as is a number without end; a nesting without end is not.
_NOT_TOML = (ValueError, RecursionError)


@dataclass(frozen=True)
class Recipe:
    """All knobs; the defaults are those of `classic`.

    A knob typed `Range` is drawn uniformly between its two values, once for each composite. A knob
    named `*_probability` is the chance, for each composite, that the operation is applied at all.
    """

    name: str = "classic"

    per_human: int = knob(4, 1, 100_000, "composites made from each human")
    validation: float = knob(
        0.1, 0.0, 0.9, "share of the humans, and of the backgrounds, set apart for validation"
    )
    near_duplicate_bits: int = knob(
        20, 0, 64, "layers whose 256-bit perceptual hashes differ in at most so many share a split"
    )

    negatives: float = knob(0.0, 0.0, 0.9, "share of composites that show a background alone")
    second_figure_probability: float = knob(
        0.0, 0.0, 1.0, "chance of another human of the shard in the picture, where there is room"
    )
    third_figure_probability: float = knob(
        0.25, 0.0, 1.0, "chance of one more, where there is another"
    )

    min_side: int = knob(64, 8, 8192, "layers with a shorter side are left out, px")
    # Twice Pillow's own limit, over which it opens nothing at all.
    max_pixels: int = knob(80_000_000, 4096, 178_956_970, "larger layers are left out, px")

    doubt_haze: float = knob(
        0.1, 0.0, 100.0, "`inspect` doubts humans with more faint pixels for each solid one"
    )
    doubt_see_through: float = knob(
        0.05, 0.0, 1.0, "and those of whose inside a larger share shines through"
    )
    doubt_specks: float = knob(
        0.005, 0.0, 1.0, "and those of which a larger share lies in detached specks"
    )
    doubt_sharpness: float = knob(
        25.0, 0.0, 1e6, "and layers with less variance of their Laplacian, levels squared"
    )
    doubt_contrast: float = knob(
        12.0, 0.0, 255.0, "and backgrounds whose luma deviates by less: nearly flat, levels"
    )
    doubt_people: float = knob(
        0.5, 0.0, 1.0, "and backgrounds with people in them by a higher probability"
    )

    leave_out: tuple[str, ...] = choices(
        (), DOUBTS, "doubts that leave a layer out, of a build too"
    )

    haze_alpha: int = knob(32, 0, 128, "alpha under which a far pixel counts as haze, of 255")
    haze_reach: float = knob(
        0.02, 0.0, 0.2, "how far haze may lie from the figure, share of the picture's longer side"
    )
    speck_area: float = knob(0.01, 0.0, 0.5, "smaller detached parts go, share of the largest one")

    decontamination: float = knob(
        0.0, 0.0, 1.0, "share of the colour of nearly transparent pixels that the figure replaces"
    )

    size: int = knob(
        1024, 0, 16_384, "longer side of a composite, px; 0 keeps the background's own"
    )
    max_upscale: float = knob(1.25, 0.1, 4.0, "largest enlargement of a background or a human")
    geometry_probability: float = knob(
        0.5, 0.0, 1.0, "chance of a drawn scale, shift and rotation; else fitted and centred"
    )
    scale: Range = knob((0.3, 1.5), 0.05, 4.0, "1 fits the human's picture to the frame")
    shift_x: Range = knob((-0.3, 0.3), -1.0, 1.0, "share of the frame's width, to the right")
    shift_y: Range = knob((0.0, 0.5), -1.0, 1.0, "share of the frame's height, down")
    rotation: Range = knob((-5.0, 5.0), -45.0, 45.0, "degrees, counter-clockwise")
    framing_probability: float = knob(
        0.0, 0.0, 1.0, "chance of a framing as a photographer chooses it, before the three above"
    )
    close_up_share: float = knob(0.25, 0.0, 1.0, "share of those framings that are close-ups")
    half_body_share: float = knob(
        0.45, 0.0, 1.0, "share of the others that shows half of the body; the rest shows all"
    )
    flip_probability: float = knob(0.5, 0.0, 1.0, "chance of a mirrored human")
    min_visible: float = knob(0.4, 0.0, 0.9, "share of a figure's area that stays in the frame")
    min_coverage: float = knob(0.02, 0.0, 0.5, "share of the frame that the mask covers")

    background_tone_probability: float = knob(0.2, 0.0, 1.0, "darker, flatter background")
    background_brightness: Range = knob((-0.4, 0.0), -1.0, 1.0, "share of full scale, added")
    background_contrast: Range = knob((-0.4, 0.0), -1.0, 1.0, "share, added to a gain of 1")
    background_shadow_probability: float = knob(1.0, 0.0, 1.0, "polygon shadows on the floor")
    background_shadow_polygons: Range = knob((1, 5), 1, 20, "number of polygons")
    background_shadow_height: float = knob(0.3, 0.01, 1.0, "lower share of the frame they lie in")

    motion_blur_probability: float = knob(0.05, 0.0, 1.0, "motion blur of the composite")
    motion_blur_kernel: Range = knob((3, 11), 3, 99, "length, px; rounded to an odd number")
    noise_probability: float = knob(0.2, 0.0, 1.0, "Gaussian noise on the composite")
    noise_variance: Range = knob((1.0, 10.0), 0.0, 10_000.0, "levels squared")
    jitter_probability: float = knob(0.5, 0.0, 1.0, "colour jitter of the composite")
    jitter_brightness: Range = knob((0.6, 1.0), 0.0, 4.0, "gain")
    jitter_contrast: Range = knob((0.6, 1.0), 0.0, 4.0, "gain around the mean luma")
    jitter_saturation: Range = knob((0.3, 1.0), 0.0, 4.0, "gain around the grey picture")
    jitter_hue: Range = knob((0.0, 0.1), -0.5, 0.5, "turns of the hue circle")
    fog_probability: float = knob(0.2, 0.0, 1.0, "fog over the composite")
    fog: Range = knob((0.05, 0.2), 0.0, 1.0, "share of white at the thickest")
    shadow_probability: float = knob(0.2, 0.0, 1.0, "polygon shadows over the composite")
    shadow_polygons: Range = knob((1, 2), 1, 20, "number of polygons")
    shadow_darkness: float = knob(0.5, 0.0, 1.0, "share of the light that a polygon takes")
    tone_curve_probability: float = knob(0.5, 0.0, 1.0, "random tone curve on the composite")
    tone_curve: float = knob(0.1, 0.0, 0.5, "standard deviation of its two control points")

    blend_light: str = choice("srgb", BLENDS, "what alpha mixes: sRGB values, or linear light")

    defocus_probability: float = knob(0.0, 0.0, 1.0, "background out of focus")
    defocus: Range = knob((0.001, 0.008), 0.0, 0.05, "radius, share of the longer side")
    tone_match_probability: float = knob(0.0, 0.0, 1.0, "figure moved towards the light around it")
    tone_match: Range = knob((0.2, 0.6), 0.0, 1.0, "share of the way")
    detail_match_probability: float = knob(
        0.0, 0.0, 1.0, "figure as soft and as noisy as the scene"
    )
    detail_match: Range = knob((0.4, 0.9), 0.0, 1.0, "share of the difference")
    cast_shadow_probability: float = knob(0.0, 0.0, 1.0, "soft shadow of the whole figure")
    cast_shadow: Range = knob((0.08, 0.35), 0.0, 1.0, "share of the light that it takes")
    contact_shadow_probability: float = knob(0.0, 0.0, 1.0, "shadow under the feet")
    contact_shadow: Range = knob((0.3, 0.7), 0.0, 1.0, "share of the light that it takes")
    light_wrap_probability: float = knob(0.0, 0.0, 1.0, "light spilling over the figure's edge")
    light_wrap: Range = knob((0.1, 0.5), 0.0, 1.0, "share of the background's light")

    vignette_probability: float = knob(0.0, 0.0, 1.0, "darker corners")
    vignette: Range = knob((0.05, 0.3), 0.0, 1.0, "share of the light lost in the corners")
    lens_blur_probability: float = knob(0.0, 0.0, 1.0, "mild blur of the composite")
    lens_blur: Range = knob((0.4, 1.1), 0.3, 20.0, "standard deviation, px")
    exposure_probability: float = knob(0.0, 0.0, 1.0, "other exposure and white balance")
    exposure: Range = knob((-0.7, 0.4), -4.0, 4.0, "stops")
    warmth: Range = knob((-0.2, 0.25), -2.0, 2.0, "stops of red against blue")
    tint: Range = knob((-0.05, 0.05), -1.0, 1.0, "stops of green, half of it")
    saturation_probability: float = knob(0.0, 0.0, 1.0, "other saturation")
    saturation: Range = knob((0.7, 1.2), 0.0, 4.0, "gain of the distance from grey")
    greyscale_probability: float = knob(0.0, 0.0, 1.0, "no colour at all")
    sensor_noise_probability: float = knob(0.0, 0.0, 1.0, "noise that grows with the light")
    read_noise: Range = knob((0.3, 2.5), 0.0, 50.0, "standard deviation in the dark, levels")
    shot_noise: Range = knob((0.0, 0.06), 0.0, 5.0, "variance for a level of light, levels")
    noise_grain: Range = knob((1.0, 1.6), 1.0, 8.0, "size of a grain, px")
    resampling_probability: float = knob(0.0, 0.0, 1.0, "composite shrunk and enlarged again")
    resampling: Range = knob((0.5, 0.95), 0.1, 1.0, "share of its size")
    compression_probability: float = knob(0.0, 0.0, 1.0, "JPEG artefacts")
    compression_quality: Range = knob((45, 95), 1, 100, "quality of each generation")
    compression_generations: Range = knob((1, 2), 1, 5, "how often")

    labels: tuple[str, ...] = choices(("mask",), LABELS, "what each pair comes with")
    trimap_radius: Range = knob((5, 25), 1, 200, "half the width of the unknown band, px")

    image_format: str = choice("jpeg", IMAGE_FORMATS, "encoding of `image`; png is lossless")
    jpeg_quality: int = knob(95, 1, 100, "quality of jpeg and webp")
    shard_megabytes: float = knob(256.0, 0.1, 4096, "size that a shard should not pass, MB")
    row_group_rows: int = knob(16, 1, 10_000, "rows of a Parquet row group")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, checked(field, getattr(self, field.name)))
        if 0 < self.size < 64:
            raise RecipeError(f"size = {self.size} is not allowed: 0, or 64 and more.")

    def replace(self, changes: Mapping[str, Any]) -> Recipe:
        """Return this recipe with some knobs changed.

        Raises:
            RecipeError: a name is unknown, or a value has the wrong type or is out of range.
        """
        known = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise RecipeError(_unknown_knob(name, known))
        return dataclasses.replace(self, **changes)

    def frame_size(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) in px of the composite on a background of `width` x `height`."""
        longer = max(width, height)
        factor = min(self.size / longer, self.max_upscale) if self.size else 1.0
        return max(1, round(width * factor)), max(1, round(height * factor))

    def to_dict(self) -> dict[str, Any]:
        """Return the knobs as JSON-ready values: ranges become lists."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    def to_toml(self) -> str:
        """Return the recipe as a commented TOML document that `load_recipe` reads back."""
        lines = [f"name = {_toml_value(self.name)}"]
        for field in dataclasses.fields(self)[1:]:
            value = _toml_value(getattr(self, field.name))
            lines += ["", f"# {field.metadata['text']} ({allowed(field)})"]
            lines += [f"{field.name} = {value}"]
        return "\n".join(lines) + "\n"


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Return a recipe by its name, or from a TOML file that overrides one.

    A file may say `base = "plain"`; without it, it overrides `realistic`.

    Raises:
        RecipeError: no such recipe or file, not TOML, an unknown knob or a value out of range.
    """
    if str(name_or_path) in RECIPES:
        return RECIPES[str(name_or_path)]
    path = Path(name_or_path)
    if path.suffix.lower() != ".toml":
        raise RecipeError(
            f"No recipe is named {str(name_or_path)!r}. "
            f"Valid: {', '.join(RECIPES)}, or the path of a .toml file."
        )
    try:
        # Editors on Windows put a byte order mark first.
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}).") from error
    except _NOT_TOML as error:
        raise RecipeError(f"{path}: is not valid TOML: {error}.") from error
    try:
        return _from_values(values, default_name=path.stem)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error


def _from_values(values: dict[str, Any], default_name: str) -> Recipe:
    base = values.pop("base", DEFAULT_RECIPE)
    if not isinstance(base, str) or base not in RECIPES:
        raise RecipeError(f"base = {base!r} is not a recipe. Valid: {', '.join(RECIPES)}.")
    return RECIPES[base].replace({"name": default_name, **values})


def recipe_from_dict(values: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `Recipe.to_dict` described, as manifests hold it.

    Raises:
        RecipeError: a name is unknown, or a value has the wrong type or is out of range.
    """
    return CLASSIC.replace(values)


def parse_settings(settings: tuple[str, ...] | list[str]) -> dict[str, Any]:
    """Read `name=value` strings as `--set` takes them; a value is written as in TOML.

    Raises:
        RecipeError: a setting has no `=`, or its value is not TOML.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        name, separator, text = setting.partition("=")
        if not separator:
            raise RecipeError(f"{setting!r}: write it as name=value, for example size=512.")
        values[name.strip()] = _parse_value(text.strip())
    return values


def _parse_value(text: str) -> Any:
    try:
        values = tomllib.loads(f"value = {text}")
    except _NOT_TOML:
        # A bare word, as in image_format=png, is friendlier than TOML's quotes inside a shell's.
        if text.replace("-", "").replace("_", "").isalnum():
            return text
        values = {}
    if list(values) != ["value"]:
        raise RecipeError(f"{shown(text)} is not a value. Examples: 512, 0.5, [0.3, 1.5], png.")
    return values["value"]


def _unknown_knob(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"No knob is named {name!r}.{hint} Valid: {', '.join(known)}."


def _toml_value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    return tomli_w.dumps({"value": value}).partition("=")[2].strip()


def _probabilities(value: float) -> dict[str, float]:
    """Return a setting for the chance of every photometric operation."""
    names = [field.name for field in dataclasses.fields(Recipe)]
    chances = {name.removesuffix("_probability") for name in names if "_probability" in name}
    return {f"{name}_probability": value for name in sorted(chances - {*COMPOSITION})}


CLASSIC = Recipe()
"""The operations of the data set's original script, later revision, without its faults."""

PLAIN = CLASSIC.replace({"name": "plain", **_probabilities(0.0)})
"""Geometry and blend only."""

REALISTIC = PLAIN.replace(
    {
        "name": "realistic",
        "decontamination": 0.8,
        "framing_probability": 1.0,
        "second_figure_probability": 0.2,
        "defocus_probability": 0.5,
        "tone_match_probability": 0.9,
        "detail_match_probability": 0.9,
        "cast_shadow_probability": 0.7,
        "contact_shadow_probability": 0.9,
        "light_wrap_probability": 0.3,
        "vignette_probability": 0.3,
        "lens_blur_probability": 0.4,
        "exposure_probability": 0.7,
        "saturation_probability": 0.5,
        "greyscale_probability": 0.02,
        "tone_curve_probability": 0.4,
        "sensor_noise_probability": 0.4,
        "resampling_probability": 0.2,
        "compression_probability": 0.5,
    }
)
"""Light, shadows and camera, so that models learn what a figure is and not what a paste is."""

DEFAULT_RECIPE = REALISTIC.name
RECIPES = {recipe.name: recipe for recipe in (REALISTIC, CLASSIC, PLAIN)}
