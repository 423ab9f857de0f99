"""The command line as a user meets it: help, messages, exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.recipe import RECIPES, load_recipe
from builder.version import __version__
from tests.building import SMALL, run


def test_every_command_is_explained_with_examples() -> None:
    overview = run("--help")
    assert overview.returncode == 0
    commands = ("build", "download", "recipe", "preview")
    assert all(command in overview.stdout for command in commands)
    for command in commands:
        text = run(command, "--help").stdout
        assert f"  human-segmentation {command}" in text.partition("Example")[2]


def test_version() -> None:
    assert __version__ in run("--version").stdout


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_printed_as_toml_that_is_read_back(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.toml"
    path.write_text(run("recipe", name).stdout)
    assert load_recipe(path) == RECIPES[name]


def test_a_changed_recipe_is_printed_as_changed() -> None:
    assert "size = 512" in run("recipe", "classic", "--set", "size=512").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--recipe", "clasic"), "Valid: realistic, classic, plain"),
        (("--recipe", "missing.toml"), "missing.toml: cannot be read"),
        (("--set", "sise=3"), "Did you mean 'size'?"),
        (("--set", "row_group_rows=0"), "a whole number from 1 to 10,000"),
        (("--set", "size"), "name=value"),
        (("--validation", "2"), "a number from 0 to 0.9"),
        (("--source", "nowhere"), "nowhere: there is no such file or folder"),
        (("--sample-humans", "1"), "two unlike humans"),
        (("--sample-humans", "0"), "No usable human"),
    ],
)
def test_a_mistake_is_named_with_what_is_right(
    arguments: tuple[str, str], message: str, tmp_path: Path
) -> None:
    done = run("build", "--output", tmp_path / "out", *SMALL, *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_usage_has_an_exit_code_of_its_own() -> None:
    done = run("build", "--workers", "0")
    assert done.returncode == 2
    assert "--workers" in done.stderr


def test_a_build_ends_with_what_it_wrote_and_what_to_do_next(tmp_path: Path) -> None:
    done = run("build", "--output", "my pairs", *SMALL, cwd=tmp_path)
    assert "24 pairs of 8 humans on 6 backgrounds" in done.stdout
    assert "human-segmentation preview 'my pairs' --open" in done.stdout
    assert "load_dataset('my pairs')" in done.stdout
    assert "pairs/s" in done.stderr
    page = run("preview", "my pairs", cwd=tmp_path)
    assert page.returncode == 0
    assert (tmp_path / "my pairs" / "preview.html").stat().st_size > 10_000


def test_preview_of_nothing_says_what_to_build(tmp_path: Path) -> None:
    done = run("preview", tmp_path / "nothing")
    assert done.returncode == 1
    assert "human-segmentation build" in done.stderr


@pytest.mark.parametrize("command", ["build --source", "card", "preview", "publish me/x --from"])
def test_a_hostile_path_in_an_error_is_shown_escaped(tmp_path: Path, command: str) -> None:
    hostile = "\x1b]0;title\x07\x1b[2J\u202e"
    done = run(*command.split(), hostile, cwd=tmp_path)
    assert done.returncode == 1
    assert "\\x1b]0;title" in done.stderr
    assert all(line.isprintable() for line in done.stderr.splitlines())
