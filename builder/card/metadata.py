"""The front matter of a card: YAML, read and written field by field.

What a user changed is kept apart from what the tool put there: `Changes` says how fields differ
from the tool's own. It can be applied to newer fields of the tool, and compared with what somebody
else changed. Text that says the same as before stays as it is, comments and quotes included.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from builder.errors import FolderError
from builder.layer_files import CONFIGS
from builder.sources.layer import printable

Values = Mapping[str, Any]
Key = tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """What can be changed by itself: a field, or an element of a list.

    Compared as it is written, since to Python 1 is True, and what is not a number is not itself.
    """

    written: str
    value: Any = field(compare=False)


Changes = dict[Key, Part | None]
"""What a user set, or None for what a user removed.

The key is (field,), or (field, element) in a list whose order says nothing, or (field, config name)
in a list of configs.
"""

SETS = (
    "annotations_creators",
    "language",
    "source_datasets",
    "tags",
    "task_categories",
    "task_ids",
)
"""Fields that list things in no order; one thing may stand there without a list."""

BY_CONFIG = ("configs", "dataset_info")
"""Fields with an entry a config, of which those of our own configs are ours alone."""

OWN_CONFIG = "default"
"""The config of the pairs."""

OWN_CONFIGS = (OWN_CONFIG, *CONFIGS)

MEASURED = ("size_categories",)
"""Fields that nobody but the tool can know."""


@dataclass(frozen=True)
class Field:
    """The value of a field, and the lines of YAML that give it."""

    value: Any
    text: str


Fields = dict[str, Field]

_DEEPEST = 50

# PyYAML lets through whatever a constructor meets in a value that is not of the type it claims.
_NOT_YAML = (
    yaml.YAMLError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def read_fields(source: str, where: str) -> Fields:
    """Read front matter; `where` names the card in errors.

    Raises:
        FolderError: it is not YAML, not plain data, or no mapping of names to values.
    """
    try:
        loader = yaml.SafeLoader(source)
        node = loader.get_single_node()
        _check_nodes(node)
        keys = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        values = loader.construct_document(node) if node else {}
        _check(values, [key.value for key in keys])
    except _NOT_YAML as error:
        problem = printable(" ".join(str(error).split())[:300])
        raise FolderError(
            f"{where}: its front matter, the YAML between the first two lines of ---, cannot be "
            f"used ({problem}). Correct or delete it, and run the command again."
        ) from error
    texts = _texts(source, [key.start_mark.index for key in keys])
    return {
        name: Field(value, text or dump(name, value))
        for (name, value), text in zip(values.items(), texts, strict=True)
    }


def write_fields(fields: Fields) -> str:
    """Return the YAML of fields, each in its own words as far as these can stand side by side."""
    values = {name: item.value for name, item in fields.items()}
    text = "".join(item.text for item in fields.values())
    try:
        reads_the_same = repr(yaml.safe_load(text)) == repr(values)
    except (yaml.YAMLError, ValueError):
        reads_the_same = False
    return text if reads_the_same else "".join(dump(*item) for item in values.items())


def dump(name: str, value: Any) -> str:
    """Return the YAML of one field."""
    return _yaml({name: value})


def always_ours(fields: Fields) -> Values:
    """Return the fields, or entries in them, that are the tool's whatever a user writes there."""
    ours: dict[str, Any] = {n: fields[n].value for n in MEASURED if n in fields}
    for name in BY_CONFIG:
        entries = _listed(fields[name].value if name in fields else None)
        ours[name] = [entry for entry in entries if _config_name(entry) in OWN_CONFIGS]
    return ours


def user_changes(fields: Fields, ours: Values | None, defaults: Values) -> Changes:
    """Return what a user changed in fields.

    Args:
        fields: as they are.
        ours: what the tool put there; None if it has never written this card. Then what is not
            there was not removed, and what is as in `defaults` is nobody's change.
        defaults: what the tool would put there.
    """
    before = defaults if ours is None else ours
    changes: Changes = {}
    for name in dict.fromkeys((*fields, *before)):
        then = _parts(name, before[name]) if name in before else {}
        now = _parts(name, fields[name].value) if name in fields else {}
        changes |= {key: part for key, part in now.items() if then.get(key) != part}
        if ours is not None:
            changes |= dict.fromkeys(key for key in then if key not in now)
    return {key: part for key, part in changes.items() if not _is_ours_alone(key)}


def set_field(name: str, value: Any) -> Changes:
    """Return the change that gives a field a value, whatever it had."""
    return {(name,): _part(value)}


def changed_fields(changes: Changes, defaults: Values, *cards: Fields) -> Fields:
    """Return the tool's fields with a user's changes.

    Args:
        changes: from `user_changes`.
        defaults: what the tool puts there.
        cards: fields that lend their order and their text, the first ones before the others.
    """
    changed: Fields = {}
    for name in dict.fromkeys(itertools.chain(*cards, defaults)):
        written = [card[name] for card in cards if name in card]
        parts = _changed_parts(name, changes, defaults, written)
        same = [item for item in written if _items(name, item.value) == list(parts.items())]
        if same and (parts or name in cards[0]):
            changed[name] = same[0]
        elif parts:
            changed[name] = _field(name, [part.value for part in parts.values()])
    return changed


def _changed_parts(
    name: str, changes: Changes, defaults: Values, written: list[Field]
) -> dict[Key, Part]:
    """Return the parts of a field in the order in which it was written."""
    parts: Changes = dict(_parts(name, defaults[name])) if name in defaults else {}
    parts |= {key: part for key, part in changes.items() if key[0] == name}
    order = itertools.chain(*(_parts(name, item.value) for item in written), parts)
    return {key: part for key in dict.fromkeys(order) if (part := parts.get(key)) is not None}


def _parts(name: str, value: Any) -> dict[Key, Part]:
    """Return what can be changed by itself in a field."""
    if name in SETS:
        return {(name, part.written): part for part in map(_part, _listed(value))}
    if name in BY_CONFIG:
        return {(name, _config_name(entry)): _part(entry) for entry in _listed(value)}
    return {(name,): _part(value)}


def _part(value: Any) -> Part:
    return Part(repr(value), value)


def _items(name: str, value: Any) -> list[tuple[Key, Part]]:
    return list(_parts(name, value).items())


def _field(name: str, parts: list[Any]) -> Field:
    # One config's information stands there without a list, as `datasets` writes it.
    alone = name not in (*SETS, *BY_CONFIG) or (name == "dataset_info" and len(parts) == 1)
    value = parts[0] if alone else parts
    return Field(value, dump(name, value))


def _is_ours_alone(key: Key) -> bool:
    return key[0] in MEASURED or (key[0] in BY_CONFIG and key[1] in OWN_CONFIGS)


def _listed(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _config_name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("config_name", OWN_CONFIG))


def _check(values: Any, names: list[Any]) -> None:
    """Refuse what would lose something on the way: `DatasetCard.load` refuses most of it too."""
    if not isinstance(values, dict):
        raise ValueError("it does not give values to names")
    if list(values) != names:
        raise ValueError("every field needs a name of its own that is text")
    for name in BY_CONFIG:
        entries = _listed(values.get(name))
        if not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"{name} has to list configs")
        if len({_config_name(entry) for entry in entries}) != len(entries):
            raise ValueError(f"{name} has two entries for one config")


def _check_nodes(root: Any) -> None:
    """Refuse aliases, of which a few lines can mean more than memory holds, and endless nesting."""
    seen = set()
    pending = [(root, 0)]
    while pending:
        node, depth = pending.pop()
        if node in seen:
            raise ValueError("it uses YAML aliases (*name): write the values out")
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} deep")
        seen.add(node)
        if isinstance(node, yaml.MappingNode):
            pending += [(child, depth + 1) for pair in node.value for child in pair]
        elif isinstance(node, yaml.SequenceNode):
            pending += [(child, depth + 1) for child in node.value]


def _texts(source: str, starts: list[int]) -> list[str]:
    """Return the lines of each field, a comment right above included; empty if they share lines."""
    firsts = [source.rfind("\n", 0, start) + 1 for start in starts]
    if not starts or firsts != starts:
        return [""] * len(starts)
    for number in range(1, len(firsts)):
        while source[: firsts[number] - 1].rpartition("\n")[2].startswith("#"):
            firsts[number] = source.rfind("\n", 0, firsts[number] - 1) + 1
    ends = [*firsts[1:], len(source)]
    # What stands above the first field goes with it.
    firsts[0] = 0
    return [source[start:end].rstrip("\n") + "\n" for start, end in zip(firsts, ends, strict=True)]


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return text
