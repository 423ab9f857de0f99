"""Values read from JSON to frozen dataclasses, with every type looked at: they may be hostile."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from builder.knobs import shown

Made = TypeVar("Made")


def from_json(kind: type[Made], value: Any) -> Made:
    """Return a dataclass made of what JSON holds for it.

    Args:
        kind: of fields that are str, int, Literal, tuples of one type, dicts from str, or such
            dataclasses themselves.
        value: as `json.loads` gives it; a part that is of its type already stays as it is.

    Raises:
        TypeError: a part is of another type, or a field is missing or unknown.
        ValueError: a text is none that could be written.
    """
    made: Made = _made(kind, value)
    return made


def _made(kind: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(kind):
        if isinstance(value, kind):  # type: ignore[arg-type]
            return value
        return _dataclass(kind, _checked(dict, value))
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        return tuple(_made(arguments[0], each) for each in _checked(list, value))
    if origin is dict:
        items = _checked(dict, value).items()
        return {_made(str, name): _made(arguments[1], each) for name, each in items}
    if origin is Literal:
        if value not in arguments:
            raise TypeError(f"{shown(value)} is none of {', '.join(arguments)}")
        return value
    if kind is str:
        # No file could hold half of a surrogate pair.
        _checked(str, value).encode()
    return _checked(kind, value)


def _dataclass(kind: Any, values: dict[str, Any]) -> Any:
    hints = _hints(kind)
    unknown = values.keys() - hints.keys()
    if unknown:
        raise TypeError(f"{shown(min(unknown))} is not known of a {kind.__name__}")
    return kind(**{name: _made(hints[name], value) for name, value in values.items()})


def _checked(kind: type[Made], value: Any) -> Made:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{shown(value)} is not of type {kind.__name__}")
    return value


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
