"""Records from JSON: what `dataclasses.asdict` and json.dumps wrote becomes the dataclass again."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def from_json(kind: type[T], entry: Any) -> T:
    """Make a record of what JSON keeps of it, by the types of its fields.

    Lists become tuples and mappings records where the dataclass says so; plain values are taken
    as they are. Every field must be there.

    Raises
    ------
    KeyError
        Naming a field that is missing.
    TypeError
        If something is no mapping or no list where the dataclass wants one, or has unknown fields.

    Examples
    --------
    >>> from handgrad.results import Spread
    >>> from_json(Spread, {"mean": 0.5, "std": 0.1, "values": [0.4, 0.6]})
    Spread(mean=0.5, std=0.1, values=(0.4, 0.6))
    """
    hints, fields = get_type_hints(kind), _mapping(entry)
    if unknown := fields.keys() - hints.keys():
        raise TypeError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    return kind(**{name: _value(hint, fields[name]) for name, hint in hints.items()})


def _mapping(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise TypeError(f"{entry!r} in place of named fields")
    return entry


def _value(hint: Any, entry: Any) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return from_json(hint, entry)  # type: ignore[arg-type]
    if origin in (Union, UnionType):
        return None if entry is None else _value(inner[0], entry)  # X | None
    if origin is tuple:
        return tuple(_value(inner[0], each) for each in entry)
    if origin is Mapping:
        return {name: _value(inner[1], each) for name, each in _mapping(entry).items()}
    return entry
