"""Knobs: fields of a dataclass with bounds, a text, and messages that say what is allowed."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from builder.errors import RecipeError


def knob(default: Any, low: float, high: float, text: str) -> Any:
    """Declare a number, or a (low, high) range of numbers, that must lie in [low, high]."""
    return dataclasses.field(default=default, metadata={"bounds": (low, high), "text": text})


def choice(default: str, words: tuple[str, ...], text: str) -> Any:
    """Declare one of some words."""
    return dataclasses.field(default=default, metadata={"choices": words, "text": text})


def choices(default: tuple[str, ...], words: tuple[str, ...], text: str) -> Any:
    """Declare several of some words, of which the default ones cannot be left out."""
    return dataclasses.field(default=default, metadata={"several": words, "text": text})


def checked(field: dataclasses.Field[Any], value: Any) -> Any:
    """Return `value` in the knob's own type, or raise `RecipeError` with what is allowed."""
    problem = RecipeError(f"{field.name} = {shown(value)} is not allowed: {allowed(field)}.")
    if "choices" in field.metadata:
        if value not in field.metadata["choices"]:
            raise problem
        return value
    if "several" in field.metadata:
        return _checked_words(field, value, problem)
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


def _checked_words(field: dataclasses.Field[Any], value: Any, problem: RecipeError) -> Any:
    """Return words in the order in which they are declared; a text may join them by commas."""
    valid: tuple[str, ...] = field.metadata["several"]
    needed: Any = field.default
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
        raise problem
    given = {word.strip() for word in words}
    if not set(needed) <= given <= set(valid):
        raise problem
    return tuple(word for word in valid if word in given)


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """Return the value as an error message shows it, on one line of bounded length."""
    try:
        text = repr(value)
    except ValueError:
        # Python refuses to write out a number of over 4300 digits.
        return "a huge number"
    return text if len(text) <= 200 else f"{text[:200]}…"


def allowed(field: dataclasses.Field[Any]) -> str:
    if "choices" in field.metadata:
        return "one of " + ", ".join(field.metadata["choices"])
    if "several" in field.metadata:
        needed: Any = field.default
        some = ", ".join(field.metadata["several"])
        return f"some of {some}" + (f"; {', '.join(needed)} among them" if needed else "")
    if "bounds" not in field.metadata:
        return "a text of 1 to 100 printable characters"
    low, high = field.metadata["bounds"]
    default: Any = field.default
    if isinstance(default, tuple):
        kind = "whole numbers" if isinstance(default[0], int) else "numbers"
        return f"two {kind} [low, high] within {low:,.10g} to {high:,.10g}"
    kind = "a whole number" if isinstance(default, int) else "a number"
    return f"{kind} from {low:,.10g} to {high:,.10g}"
