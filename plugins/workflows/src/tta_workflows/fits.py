"""Whether what one step gives is what the next one takes, judged by their types before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, inspect
from msgspec.inspect import DictType, EnumType, Field, LiteralType, Metadata, NoneType, StructType, Type, UnionType

ANY = inspect.AnyType()

# Types that look alike on the wire; whatever isn't here, such as Any or a date, fits everything.
_KINDS: dict[type[Type], str] = {
    inspect.BoolType: "bool",
    inspect.IntType: "int",
    inspect.FloatType: "float",
    inspect.StrType: "str",
    inspect.ListType: "list",
    inspect.VarTupleType: "list",
    inspect.SetType: "list",
    inspect.FrozenSetType: "list",
    inspect.DictType: "dict",
    inspect.TypedDictType: "dict",
    inspect.DataclassType: "dict",
    inspect.StructType: "dict",
}


# By a JSON Schema's word for them.
_OF_SCHEMAS: dict[str, Type] = {
    "string": inspect.StrType(), "integer": inspect.IntType(), "number": inspect.FloatType(),
    "boolean": inspect.BoolType(), "null": NoneType(),
}  # fmt: skip


class NoField(LookupError):
    """A path leads to a field that isn't there; ``known`` are those that are."""

    def __init__(self, name: str, within: str, known: Sequence[str]) -> None:
        super().__init__(name)
        self.name, self.within, self.known = name, within, known


def follow(type: Type, path: Sequence[str]) -> tuple[Type, bool]:
    """Return the type of what lies at ``path`` in a value, without None, and whether it may be None."""
    within, (type, missing) = "", _some(type)
    for name in path:
        if isinstance(type, StructType):
            fields = {field.encode_name: field.type for field in type.fields}
            if name not in fields and is_open(type):
                return ANY, False
            if name not in fields:
                raise NoField(name, within, list(fields))
            inner = fields[name]
        elif isinstance(type, DictType):
            inner = type.value_type
        elif _kind(type) not in (None, "dict"):
            raise NoField(name, within, ())
        else:
            return ANY, False
        type, none = _some(inner)
        within, missing = name, missing or none
    return type, missing


def fits(given: Type, wanted: Type, seen: frozenset[tuple[Any, Any]] = frozenset()) -> bool:
    """Whether any value of the one type can be read as the other; a mapping may turn out to be a Struct."""
    given, wanted = _some(given)[0], _some(wanted)[0]
    if isinstance(given, UnionType):
        return all(fits(each, wanted, seen) for each in given.types)
    if isinstance(wanted, UnionType):
        return any(fits(given, each, seen) for each in wanted.types)
    kinds = _kind(given), _kind(wanted)
    if None in kinds or kinds == ("int", "float"):
        return True
    if kinds[0] != kinds[1]:
        return False
    if kinds[0] == "list":
        return fits(given.item_type, wanted.item_type, seen)  # type: ignore[attr-defined]  # each list has one
    if not isinstance(given, StructType) or not isinstance(wanted, StructType):
        return True
    pair = (given.cls, wanted.cls)
    if given.cls is wanted.cls or pair in seen:
        return True
    has = {field.encode_name: field.type for field in given.fields}
    return all(
        fits(has[field.encode_name], field.type, seen | {pair})
        if field.encode_name in has
        else not field.required or is_open(given)
        for field in wanted.fields
    )


def made_of(name: str, fields: Mapping[str, tuple[Type, bool]], *, more: bool = False) -> StructType:
    """Return the type of a mapping that no Struct describes: by field its type, and whether it may be missing.

    With ``more`` nobody knows which others it has.
    """
    # Each is a type of its own, as each Struct is.
    cls = type(name, (Struct,), {"__module__": __name__, "__open__": more})
    return StructType(cls, tuple(_field(each, type, missing) for each, (type, missing) in fields.items()))


def is_open(type: Type) -> bool:
    """Say whether a mapping may have fields of which its type says nothing."""
    return isinstance(type, StructType) and getattr(type.cls, "__open__", False)


def of_schema(schema: Mapping[str, Any], name: str) -> Type:
    """Return what a JSON Schema says of its values, as far as types can say it."""
    kind = schema.get("type")
    if isinstance(kind, str) and kind in _OF_SCHEMAS:
        return _OF_SCHEMAS[kind]
    if kind == "array" and isinstance(schema.get("items"), dict):
        return inspect.ListType(of_schema(schema["items"], name))
    if kind != "object":
        return ANY
    known = schema.get("properties")
    required = schema.get("required")
    fields = {
        each: (of_schema(inner, each) if isinstance(inner, dict) else ANY, each not in (required or ()))
        for each, inner in (known if isinstance(known, dict) else {}).items()
    }
    return made_of(name, fields, more=schema.get("additionalProperties") is not False)


def _field(name: str, type: Type, missing: bool) -> Field:
    # What may be missing is left out, and never None.
    return Field(name, name, UnionType((type, NoneType())) if missing else type, required=not missing)


def name_of(type: Type) -> str:
    """Write a type as a plugin's author would."""
    match type:
        case Metadata(type=inner):
            return name_of(inner)
        case StructType(cls=cls) | EnumType(cls=cls):
            return str(cls.__name__)
        case UnionType(types=types):
            return " | ".join(map(name_of, types))
        case LiteralType(values=values):
            return " | ".join(map(repr, values))
        case NoneType():
            return "None"
        case _:
            kind = _kind(type) or type.__class__.__name__.removesuffix("Type")
            return f"{kind}[{name_of(type.item_type)}]" if kind == "list" else kind  # type: ignore[attr-defined]


def _kind(type_: Type) -> str | None:
    values: set[str] = set()
    if isinstance(type_, LiteralType):
        values = {type(value).__name__ for value in type_.values}
    elif isinstance(type_, EnumType):
        values = {type(member.value).__name__ for member in type_.cls}
    elif isinstance(type_, StructType) and type_.array_like:
        return None
    return values.pop() if len(values) == 1 else _KINDS.get(type(type_))


def _some(type: Type) -> tuple[Type, bool]:
    """Take None and annotations off a type; say whether there was a None."""
    if isinstance(type, Metadata):
        return _some(type.type)
    if isinstance(type, UnionType):
        types = tuple(each for each in type.types if not isinstance(each, NoneType))
        return (types[0] if len(types) == 1 else UnionType(types)), len(types) < len(type.types)
    return type, isinstance(type, NoneType)
