"""Recipes: what they accept, how they are written down, and what they say when they refuse."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import RecipeError
from builder.recipe import (
    CLASSIC,
    PLAIN,
    REALISTIC,
    RECIPES,
    Recipe,
    load_recipe,
    parse_settings,
    recipe_from_dict,
)

FIELDS = {field.name: field for field in dataclasses.fields(Recipe)}
BOUNDED = [name for name, field in FIELDS.items() if "bounds" in field.metadata]


def _value_of(name: str, draw: st.DrawFn) -> Any:
    """Draw an allowed value of a knob."""
    low, high = FIELDS[name].metadata["bounds"]
    default = FIELDS[name].default
    first = default[0] if isinstance(default, tuple) else default
    number = st.integers(int(low), int(high)) if isinstance(first, int) else st.floats(low, high)
    if isinstance(default, tuple):
        return sorted((draw(number), draw(number)))
    return draw(number)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Any valid recipe."""
    changes = {name: _value_of(name, draw) for name in draw(st.sets(st.sampled_from(BOUNDED)))}
    if 0 < changes.get("size", 0) < 64:
        changes["size"] = 0
    text = st.text(min_size=1, max_size=100).filter(str.isprintable)
    return CLASSIC.replace({**changes, "name": draw(text)})


@given(recipe=recipes())
def test_a_printed_recipe_loads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, recipe: Recipe
) -> None:
    path = tmp_path_factory.mktemp("recipe") / "mine.toml"
    path.write_text(recipe.to_toml(), encoding="utf-8")
    assert load_recipe(path) == recipe


@given(recipe=recipes())
def test_a_recipe_survives_the_manifest(recipe: Recipe) -> None:
    assert recipe_from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_found_by_name(name: str) -> None:
    assert load_recipe(name) is RECIPES[name]
    assert load_recipe(name).name == name


def test_plain_differs_from_classic_by_its_photometric_operations_alone() -> None:
    changed = {name for name in FIELDS if getattr(PLAIN, name) != getattr(CLASSIC, name)}
    assert {"jitter_probability", "fog_probability", "shadow_probability"} < changed
    assert changed.isdisjoint({"geometry_probability", "flip_probability", "scale"})
    assert all(getattr(PLAIN, name) == 0 for name in changed - {"name"})


@pytest.mark.parametrize("name", BOUNDED)
def test_values_out_of_range_are_refused_with_what_is_allowed(name: str) -> None:
    low, high = FIELDS[name].metadata["bounds"]
    is_range = isinstance(FIELDS[name].default, tuple)
    for value in (low - 1, high + 1, float("nan"), float("inf"), 10**400):
        with pytest.raises(RecipeError, match=rf"{name} = .* is not allowed: .*({low:g}|{low:,}) "):
            CLASSIC.replace({name: [value, value] if is_range else value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 63),
        ("size", 512.5),
        ("size", "512"),
        ("size", True),
        ("size", [512]),
        ("size", None),
        ("scale", 0.5),
        ("scale", [1.5, 0.3]),
        ("scale", [1.0]),
        ("scale", [0.3, 1.0, 1.5]),
        ("scale", ["0.3", "1.5"]),
        ("scale", {"low": 0.3}),
        ("background_shadow_polygons", [1.5, 2]),
        ("image_format", "bmp"),
        ("image_format", 3),
        ("image_format", ["png"]),
        ("name", ""),
        ("name", "a\nb"),
        ("name", "\x1b[2J"),
        ("name", "x" * 101),
        ("name", 7),
    ],
)
def test_values_of_the_wrong_kind_are_refused(name: str, value: Any) -> None:
    with pytest.raises(RecipeError, match=f"{name} = .*is not allowed") as caught:
        CLASSIC.replace({name: value})
    assert str(caught.value).isprintable()


def test_numbers_take_the_knobs_own_type() -> None:
    recipe = CLASSIC.replace({"size": 512.0, "scale": [1, 1], "noise_variance": (2, 3)})
    assert (recipe.size, recipe.scale, recipe.noise_variance) == (512, (1.0, 1.0), (2.0, 3.0))
    assert isinstance(recipe.size, int)
    assert all(isinstance(number, float) for number in recipe.scale)
    assert hash(recipe) != hash(CLASSIC)


def test_an_unknown_knob_is_refused_with_the_nearest_and_all_valid_names() -> None:
    with pytest.raises(RecipeError) as caught:
        CLASSIC.replace({"rotatoin": 3})
    assert "Did you mean 'rotation'?" in str(caught.value)
    assert all(name in str(caught.value) for name in FIELDS)


def test_a_file_overrides_the_default_or_the_recipe_it_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("size = 512\nscale = [0.5, 1]\n")
    assert load_recipe(path) == REALISTIC.replace({"name": "mine", "size": 512, "scale": [0.5, 1]})
    path.write_text('base = "plain"\nname = "small plain"\nsize = 512\n')
    assert load_recipe(str(path)) == PLAIN.replace({"name": "small plain", "size": 512})


def test_a_file_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_bytes(b"\xef\xbb\xbfsize = 512\r\n")
    assert load_recipe(path).size == 512


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"size = ", "is not valid TOML"),
        (b"\xff\xfe", "is not valid TOML"),
        (b"x = " + b"[" * 100_000, "is not valid TOML"),
        (b"size = " + b"9" * 10_000, "is not valid TOML"),
        (b"size = 0x" + b"f" * 10_000, "a huge number is not allowed: a whole number from 0"),
        (b"colour = 1", "No knob is named 'colour'"),
        (b"size = 7", "size = 7 is not allowed"),
        (b"[scale]\nlow = 1", "scale = {'low': 1} is not allowed"),
        (b'base = "fancy"', "base = 'fancy' is not a recipe. Valid: realistic, classic, plain"),
        (b"base = ['plain']", "is not a recipe"),
    ],
)
def test_a_bad_file_is_refused_by_its_name(tmp_path: Path, text: bytes, said: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_what_is_no_recipe_is_refused_with_the_valid_names(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"named 'fancy'\. Valid: realistic, classic, plain"):
        load_recipe("fancy")
    with pytest.raises(RecipeError, match=r"none\.toml: cannot be read \(No such file"):
        load_recipe(tmp_path / "none.toml")


def test_settings_are_written_as_in_toml_or_as_a_bare_word() -> None:
    assert parse_settings(
        ["size=512", " validation = 0.2", "scale=[0.5, 1]", 'name="a=b"', "image_format=png"]
    ) == {
        "size": 512,
        "validation": 0.2,
        "scale": [0.5, 1],
        "name": "a=b",
        "image_format": "png",
    }


@pytest.mark.parametrize(
    "setting",
    [
        "size",
        "size=",
        "size=[1",
        "size=1 2",
        "size=1\nper_human=2",
        "size=1\n[scale]",
        "size=" + "[" * 100_000,
        "name=\x1b[2J",
    ],
)
def test_settings_that_make_no_sense_are_refused_with_an_example(setting: str) -> None:
    with pytest.raises(RecipeError, match=r"for example size=512|Examples: 512, 0\.5") as caught:
        parse_settings([setting])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@given(text=st.text(max_size=20))
def test_any_setting_gives_a_value_or_our_own_error(text: str) -> None:
    try:
        CLASSIC.replace(parse_settings([f"size={text}"]))
    except RecipeError as error:
        assert str(error)


def test_a_frame_keeps_the_backgrounds_aspect_and_is_not_enlarged_beyond_the_limit() -> None:
    recipe = CLASSIC.replace({"size": 1000, "max_upscale": 1.25})
    assert recipe.frame_size(2000, 1000) == (1000, 500)
    assert recipe.frame_size(1000, 2000) == (500, 1000)
    assert recipe.frame_size(400, 200) == (500, 250)
    assert CLASSIC.replace({"size": 0}).frame_size(1360, 768) == (1360, 768)
