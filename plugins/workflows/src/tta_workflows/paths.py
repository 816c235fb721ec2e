"""What the paths and conditions of a definition lead to, by the types of what its steps take and give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET
from msgspec.inspect import Field, StructType, Type, UnionType

from tta_kernel import Problem, suggest

from .definition import Paths as Picked
from .expressions import ExpressionError, Path, compile_expression
from .expressions import follow as look_up
from .fits import ANY, NoField, fits, follow, is_open, name_of
from .order import Order
from .plan import alternatives

_HOW = "write input.<field> or steps.<id>.<field>"


class Reader(NamedTuple):
    """Who reads paths: how it is called, and what it takes; ``struct`` is that as a Struct, if it is one."""

    name: str
    takes: Type | None = None
    struct: type[msgspec.Struct] | None = None


class PathCheck:
    """The paths of one definition; ``given`` is the type of its input, which ``user`` gives.

    ``outputs`` are the types of the steps' outputs, to be filled in as they become known. ``fallbacks`` are objections
    to them: the step, the key within its fallback, what is wrong and the way out.
    """

    def __init__(self, order: Order, given: Type, user: str) -> None:
        self._order, self._given, self._user = order, given, user
        self.outputs: dict[str, Type] = {}
        self.fallbacks: list[tuple[str, str, str, str]] = []

    def problems(
        self, where: str, paths: Picked, reader: Reader, *, step: str = "", output: Literal["", "maybe", "there"] = ""
    ) -> Iterator[Problem]:  # fmt: skip
        """Find the paths that lead nowhere, or to what the reader doesn't take, and what it needs and isn't given.

        They are read before ``step``, or at the end; with ``output`` after it, when its own output may be read as
        ``output.x``: it is there, or maybe.
        """
        wanted = reader.takes
        fields = {field.encode_name: field for field in wanted.fields} if isinstance(wanted, StructType) else {}
        for name, several in paths.items():
            at, field = f"{where}.{name}", fields.get(name)
            if isinstance(wanted, StructType) and not field and not is_open(wanted):
                yield Problem(at, f"{reader.name} takes no {name!r}", suggest(name, fields))
            choices = alternatives(several)
            for path in choices:
                # Of several that may all be missing, whoever wrote them knows that one will be there.
                yield from self._path(at, path, field, reader, step, output, alone=len(choices) == 1)
        for name, field in fields.items():
            if field.required and name not in paths:
                hint = " or ".join(f"`{name}: {path}`" for path in self._fitting(field, step))
                what = f"{reader.name} needs {name!r}"
                yield Problem(where, what, f"add {hint}" if hint else self._of_type(field, step))

    def _path(
        self, at: str, path: str, field: Field | None, reader: Reader, step: str, output: Literal["", "maybe", "there"],
        *, alone: bool,
    ) -> Iterator[Problem]:  # fmt: skip
        """Find what is wrong with one path to a field; ``alone``: there is no other for where it isn't there."""
        parts = tuple(path.split("."))
        try:
            given, missing = self._type(parts, step, output)
        except NoField as exc:
            yield Problem(at, *self._lost(path, parts, exc, step))
            return
        if field is None:
            return
        if not fits(given, field.type):
            what = f"{path} is {name_of(given)}, and {reader.name} takes {name_of(field.type)}"
            yield Problem(at, what, self._of_type(field, step))
            return
        if missing and field.required and alone:
            yield Problem(at, *self._missing(path, parts, field, reader, step, output))
        self._check_fallback(at, parts, field, reader)

    def expression(self, where: str, text: str, *, step: str, output: bool = False) -> Iterator[Problem]:
        """Find what is wrong with a condition: its form, and what it reads."""
        if not text:
            return
        try:
            compiled = compile_expression(text, ("input", "steps", "output") if output else ("input", "steps"))
        except ExpressionError as exc:
            yield Problem(where, str(exc))
            return
        for path in compiled.paths:
            shown = ".".join(map(str, path))
            try:
                self._type(tuple(_names(path)), step, "there" if output else "")
            except NoField as exc:
                yield Problem(where, *self._lost(shown, tuple(map(str, path)), exc, step))

    def types(self, paths: Picked, *, step: str = "") -> Mapping[str, tuple[Type, bool]]:
        """Return by field what its path leads to, and whether that may be missing; one that leads nowhere, anything."""
        found: dict[str, tuple[Type, bool]] = {}
        for name, several in paths.items():
            choices = alternatives(several)
            try:
                types = [self._type(tuple(path.split(".")), step, "") for path in choices]
            except NoField:
                found[name] = (ANY, False)  # It is told where it stands.
                continue
            type = types[0][0] if len(types) == 1 else UnionType(tuple(each for each, _ in types))
            found[name] = type, len(types) == 1 and types[0][1]
        return found

    def _type(self, path: Sequence[str], step: str, output: str) -> tuple[Type, bool]:
        root, *rest = path
        if not rest or not all(rest) or root not in (("input", "steps", "output") if output else ("input", "steps")):
            raise NoField(".".join(path), "", ())
        if root == "input":
            return follow(self._given, rest)
        if root == "output":
            type, missing = follow(self.outputs.get(step, ANY), rest)
            return type, missing or output == "maybe"
        id, *rest = rest
        if id not in self._known(step, output):
            raise NoField(id, "", self._known(step, output))
        type, missing = follow(self.outputs.get(id, ANY), rest)
        own = id == step and output != "there"  # Of its round before, or of what may not have come about.
        return type, missing or own or self._order.may_be_missing(id, step)

    def _known(self, step: str, output: str) -> Sequence[str]:
        """Name the steps whose outputs can be read there, in their order."""
        if not step:
            return self._order.sequence
        known = self._order.before[step]
        own = bool(output) or self._order.steps[step].repeat is not None
        return [id for id in self._order.sequence if id in known or (own and id == step)]

    def _lost(self, path: str, parts: Sequence[str], exc: NoField, step: str) -> tuple[str, str]:
        """Say why a path leads nowhere, and what would lead somewhere."""
        root, *rest = parts
        if exc.name == path:
            return f"{path!r} is no path", _HOW
        if root == "steps" and exc.name == rest[0] and not exc.within and rest[0] not in self._readable(step):
            if exc.name in self._order.steps and exc.name != step:
                return f"no earlier step is called {exc.name!r}", f"let {step!r} need it: add it to its `needs`"
            return f"no earlier step is called {exc.name!r}", suggest(exc.name, exc.known)
        if exc.within:
            return f"{path!r}: there is no {exc.name!r} in {exc.within!r}", suggest(exc.name, exc.known)
        if root == "input":
            return f"{self._user or 'the input'!r} gives no {exc.name!r}", suggest(exc.name, exc.known)
        id = step if root == "output" else rest[0]
        return f"{self._giver(id)} answers no {exc.name!r}", suggest(exc.name, exc.known)

    def _readable(self, step: str) -> Sequence[str]:
        """Name the steps whose outputs can be read before a step, and its own."""
        return self._known(step, "there")

    def _giver(self, id: str) -> str:
        step = self._order.steps[id]
        return repr(step.agent or step.workflow or id)

    def _missing(
        self, path: str, parts: Sequence[str], field: Field, reader: Reader, step: str, output: str
    ) -> tuple[str, str]:  # fmt: skip
        needs = f"and is left out then, but {reader.name} always needs {field.encode_name!r}"
        if output == "maybe" and (parts[0] == "output" or parts[1] == step):
            return f"{path} isn't there where the step began and was never done, {needs}", self._of_type(field, step)
        if parts[0] == "steps" and parts[1] != step and self._order.may_be_missing(parts[1], step):
            return f"step {parts[1]!r} may be skipped: {path} isn't there then, {needs}", self._of_type(field, step)
        return f"{path} may be None, {needs}", self._of_type(field, step)

    def _check_fallback(self, at: str, parts: Sequence[str], field: Field, reader: Reader) -> None:
        """Hold what a step falls back to against who reads it."""
        if parts[0] != "steps" or (fallback := self._order.steps[parts[1]].fallback) is UNSET:
            return
        id, *rest = parts[1:]
        value = look_up(fallback, tuple(rest))
        within = "".join(f".{each}" for each in rest)
        if value is None:
            if field.required:
                self.fallbacks.append((id, "", f"has no {'.'.join(rest)!r}, which {at} always needs", "add it"))
            return
        types = {each.encode_name: each.type for each in msgspec.structs.fields(reader.struct)} if reader.struct else {}
        try:
            msgspec.convert(value, types.get(field.encode_name, Any))
        except msgspec.ValidationError as exc:
            what = f"doesn't fit {at}: {str(exc).replace('`', '')}"
            self.fallbacks.append((id, within, what, f"{reader.name} takes {name_of(field.type)}"))

    def _fitting(self, field: Field, step: str) -> list[str]:
        """Name the fields that could be taken, the likeliest first: of the same name, then of the latest step."""
        known = [id for id in self._known(step, "") if id != step and not self._order.may_be_missing(id, step)]
        roots = [(f"steps.{id}", self.outputs.get(id, ANY)) for id in reversed(known)] + [("input", self._given)]
        found = [
            f"{root}.{each.encode_name}"
            for root, type in roots
            if isinstance(type, StructType)
            for each in type.fields
            if fits(each.type, field.type) and not (field.required and follow(each.type, ())[1])
        ]
        if self._given is ANY:
            found.append(f"input.{field.encode_name}")
        return sorted(found, key=lambda path: not path.endswith(f".{field.encode_name}"))[:3]

    def _of_type(self, field: Field, step: str) -> str:
        known = self._fitting(field, step)
        return f"what would fit: {', '.join(known)}" if known else f"no step before gives {name_of(field.type)}"


def _names(path: Path) -> Iterator[str]:
    """Yield a path's parts as far as they are names: what lies in a list is of whatever type."""
    return (str(part) for part in takewhile(lambda part: isinstance(part, str), path))
