"""Every knob of a dataset in one frozen dataclass, loadable from TOML.

A recipe fixes how layers are checked, split, paired, placed, blended, altered and encoded. With the
sources and the seed it determines every byte of the result.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from builder.errors import RecipeError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Range = tuple[float, float]

IMAGE_FORMATS = ("jpeg", "png", "webp")

# The parser's own error is a ValueError, as is a number without end; a nesting without end is not.
_NOT_TOML = (ValueError, RecursionError)


def _knob(default: Any, low: float, high: float, text: str) -> Any:
    """Declare a number, or a (low, high) range of numbers, that must lie in [low, high]."""
    return dataclasses.field(default=default, metadata={"bounds": (low, high), "text": text})


def _choice(default: str, choices: tuple[str, ...], text: str) -> Any:
    return dataclasses.field(default=default, metadata={"choices": choices, "text": text})


@dataclass(frozen=True)
class Recipe:
    """All knobs; the defaults are those of `classic`.

    A knob typed `Range` is drawn uniformly between its two values, once for each composite. A knob
    named `*_probability` is the chance, for each composite, that the operation is applied at all.
    """

    name: str = "classic"

    per_human: int = _knob(4, 1, 100_000, "composites made from each human")
    validation: float = _knob(
        0.1, 0.0, 0.9, "share of the humans, and of the backgrounds, set apart for validation"
    )
    near_duplicate_bits: int = _knob(
        20, 0, 64, "layers whose 256-bit perceptual hashes differ in at most so many share a split"
    )

    min_side: int = _knob(64, 8, 8192, "layers with a shorter side are left out, px")
    # Twice Pillow's own limit, over which it opens nothing at all.
    max_pixels: int = _knob(80_000_000, 4096, 178_956_970, "larger layers are left out, px")

    haze_alpha: int = _knob(32, 0, 128, "alpha under which a far pixel counts as haze, of 255")
    haze_reach: float = _knob(
        0.02, 0.0, 0.2, "how far haze may lie from the figure, share of the picture's longer side"
    )
    speck_area: float = _knob(0.01, 0.0, 0.5, "smaller detached parts go, share of the largest one")

    size: int = _knob(
        1024, 0, 16_384, "longer side of a composite, px; 0 keeps the background's own"
    )
    max_upscale: float = _knob(1.25, 0.1, 4.0, "largest enlargement of a background or a human")
    geometry_probability: float = _knob(
        0.5, 0.0, 1.0, "chance of a drawn scale, shift and rotation; else fitted and centred"
    )
    scale: Range = _knob((0.3, 1.5), 0.05, 4.0, "1 fits the human's picture to the frame")
    shift_x: Range = _knob((-0.3, 0.3), -1.0, 1.0, "share of the frame's width, to the right")
    shift_y: Range = _knob((0.0, 0.5), -1.0, 1.0, "share of the frame's height, down")
    rotation: Range = _knob((-5.0, 5.0), -45.0, 45.0, "degrees, counter-clockwise")
    flip_probability: float = _knob(0.5, 0.0, 1.0, "chance of a mirrored human")
    min_visible: float = _knob(0.4, 0.0, 0.9, "share of a figure's area that stays in the frame")
    min_coverage: float = _knob(0.02, 0.0, 0.5, "share of the frame that the mask covers")

    background_tone_probability: float = _knob(0.2, 0.0, 1.0, "darker, flatter background")
    background_brightness: Range = _knob((-0.4, 0.0), -1.0, 1.0, "share of full scale, added")
    background_contrast: Range = _knob((-0.4, 0.0), -1.0, 1.0, "share, added to a gain of 1")
    background_shadow_probability: float = _knob(1.0, 0.0, 1.0, "polygon shadows on the floor")
    background_shadow_polygons: Range = _knob((1, 5), 1, 20, "number of polygons")
    background_shadow_height: float = _knob(0.3, 0.01, 1.0, "lower share of the frame they lie in")

    motion_blur_probability: float = _knob(0.05, 0.0, 1.0, "motion blur of the composite")
    motion_blur_kernel: Range = _knob((3, 11), 3, 99, "length, px; rounded to an odd number")
    noise_probability: float = _knob(0.2, 0.0, 1.0, "Gaussian noise on the composite")
    noise_variance: Range = _knob((1.0, 10.0), 0.0, 10_000.0, "levels squared")
    jitter_probability: float = _knob(0.5, 0.0, 1.0, "colour jitter of the composite")
    jitter_brightness: Range = _knob((0.6, 1.0), 0.0, 4.0, "gain")
    jitter_contrast: Range = _knob((0.6, 1.0), 0.0, 4.0, "gain around the mean luma")
    jitter_saturation: Range = _knob((0.3, 1.0), 0.0, 4.0, "gain around the grey picture")
    jitter_hue: Range = _knob((0.0, 0.1), -0.5, 0.5, "turns of the hue circle")
    fog_probability: float = _knob(0.2, 0.0, 1.0, "fog over the composite")
    fog: Range = _knob((0.05, 0.2), 0.0, 1.0, "share of white at the thickest")
    shadow_probability: float = _knob(0.2, 0.0, 1.0, "polygon shadows over the composite")
    shadow_polygons: Range = _knob((1, 2), 1, 20, "number of polygons")
    shadow_darkness: float = _knob(0.5, 0.0, 1.0, "share of the light that a polygon takes")
    tone_curve_probability: float = _knob(0.5, 0.0, 1.0, "random tone curve on the composite")
    tone_curve: float = _knob(0.1, 0.0, 0.5, "standard deviation of its two control points")

    image_format: str = _choice("jpeg", IMAGE_FORMATS, "encoding of `image`; png is lossless")
    jpeg_quality: int = _knob(95, 1, 100, "quality of jpeg and webp")
    shard_megabytes: float = _knob(256.0, 0.1, 4096, "size that a shard should not pass, MB")
    row_group_rows: int = _knob(16, 1, 10_000, "rows of a Parquet row group")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            checked = _checked(field, getattr(self, field.name))
            object.__setattr__(self, field.name, checked)
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
            lines += ["", f"# {field.metadata['text']} ({_allowed(field)})"]
            lines += [f"{field.name} = {value}"]
        return "\n".join(lines) + "\n"


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Return a recipe by its name, or from a TOML file that overrides one.

    A file may say `base = "plain"`; without it, it overrides `classic`.

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
    base = values.pop("base", CLASSIC.name)
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
        raise RecipeError(f"{_shown(text)} is not a value. Examples: 512, 0.5, [0.3, 1.5], png.")
    return values["value"]


def _checked(field: dataclasses.Field[Any], value: Any) -> Any:
    """Return `value` in the knob's own type, or raise `RecipeError` with what is allowed."""
    problem = RecipeError(f"{field.name} = {_shown(value)} is not allowed: {_allowed(field)}.")
    if "choices" in field.metadata:
        if value not in field.metadata["choices"]:
            raise problem
        return value
    if "bounds" not in field.metadata:
        if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 100:
            raise problem
        return value
    low, high = field.metadata["bounds"]
    default: Any = field.default
    is_range = isinstance(default, tuple)
    if isinstance(value, (list, tuple)) is not is_range:
        raise problem
    numbers = list(value) if is_range else [value]
    whole = isinstance(default[0] if is_range else default, int)
    if not all(_is_number(number) and low <= number <= high for number in numbers):
        raise problem
    if whole and any(number != int(number) for number in numbers):
        raise problem
    if is_range and (len(numbers) != 2 or numbers[0] > numbers[1]):
        raise problem
    typed = [int(number) if whole else float(number) for number in numbers]
    return tuple(typed) if is_range else typed[0]


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    """Return the value as an error message shows it, on one line of bounded length."""
    try:
        text = repr(value)
    except ValueError:
        # Python refuses to write out a number of over 4300 digits.
        return "a huge number"
    return text if len(text) <= 200 else f"{text[:200]}…"


def _allowed(field: dataclasses.Field[Any]) -> str:
    if "choices" in field.metadata:
        return "one of " + ", ".join(field.metadata["choices"])
    if "bounds" not in field.metadata:
        return "a text of 1 to 100 printable characters"
    low, high = field.metadata["bounds"]
    default: Any = field.default
    if isinstance(default, tuple):
        kind = "whole numbers" if isinstance(default[0], int) else "numbers"
        return f"two {kind} [low, high] within {low:,.10g} to {high:,.10g}"
    kind = "a whole number" if isinstance(default, int) else "a number"
    return f"{kind} from {low:,.10g} to {high:,.10g}"


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
    geometric = ("geometry_probability", "flip_probability")
    names = [field.name for field in dataclasses.fields(Recipe)]
    return {n: value for n in names if n.endswith("_probability") and n not in geometric}


CLASSIC = Recipe()
"""The operations of the data set's original script, later revision, without its faults."""

PLAIN = CLASSIC.replace({"name": "plain", **_probabilities(0.0)})
"""Geometry and blend only."""

RECIPES = {recipe.name: recipe for recipe in (CLASSIC, PLAIN)}
