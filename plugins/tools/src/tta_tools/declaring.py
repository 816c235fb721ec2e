"""Making a tool of a function: its schema comes from the annotations, and what is declared is held against them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol, get_type_hints

import msgspec
from msgspec.structs import replace

from .model import NotCalled, Progress, Reference, Schema, ToolParameter, ToolSpec
from .schema import Shape, inlined, schema_of

OnProgress = Callable[[Progress], None]
"""Told how far a call has come; it must not wait."""
_KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Reporter(Protocol):
    """Says how far a call has come; a tool gets one for the parameter that it annotates so. It never waits."""

    def __call__(self, text: str = "", fraction: float | None = None) -> None:
        """Say it in words, and from 0 to 1 where that is known."""


class Tool:
    """A tool that this process can run: its declaration, and the function that does the work.

    Calling it calls the function, so that a function under `tool` stays what it was.
    """

    def __init__(self, spec: ToolSpec, function: Callable[..., Any]) -> None:
        self.spec = spec
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function)
        self.callable = _place(function)
        """Where the function stands, as ``module:qualname``; "" for one that nobody can import."""
        self._bound = dict(spec.reference.bound) if spec.reference is not None else {}
        hints, self.progress = _hints_of(function)
        """Which parameter takes a `Reporter`; "" is none."""
        _hold(spec, function, hints, self._bound, self.progress)
        self._types = {name: hint for name, hint in hints.items() if hint is not Any}

    @cached_property
    def arguments(self) -> Shape:
        """What it takes, compiled."""
        return Shape(schema_of(self.spec.parameters))

    @cached_property
    def result(self) -> Shape:
        """What it returns, compiled."""
        return Shape(self.spec.returns_schema)

    @classmethod
    def of(cls, function: Callable[..., Any], *, name: str, version: str, **declared: Any) -> Tool:
        """Make a tool of an annotated function; ``declared`` are further fields of `ToolSpec`.

        Parameters, their descriptions (``Annotated[int, Meta(description="...")]``) and the result come from the
        annotations, and the description from the docstring's first paragraph, unless they are declared.
        """
        hints, progress = _hints_of(function)
        declared.setdefault("description", _first_paragraph(function))
        if "parameters" not in declared:
            declared["parameters"] = _parameters(function, hints, progress)
        if "returns_schema" not in declared:
            declared["returns_schema"] = _result(function)
        given: dict[str, Any] = {
            field: tuple(value) if isinstance(value, list) else value for field, value in declared.items()
        }
        return cls(ToolSpec(name=name, version=version, **given), function)

    def bind(self, *, name: str, version: str, bound: Mapping[str, Any], **declared: Any) -> Tool:
        """Make another tool of the same function, of which some arguments are bound; ``declared`` as in `of`."""
        if self.spec.reference is None:
            raise TypeError(f"tool {self.spec.id}: put @tool on a function of a module, so that it can be found")
        unknown = bound.keys() - {each.name for each in self.spec.parameters}
        if unknown:
            raise TypeError(f"tool {self.spec.id} has no parameter {min(unknown)!r} to bind")
        left = tuple(each for each in self.spec.parameters if each.name not in bound)
        reference = Reference(callable=self.spec.reference.callable, bound={**self._bound, **bound})
        fields = {"parameters": left, **declared}
        return Tool(replace(self.spec, name=name, version=version, reference=reference, **fields), self.function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Tool({self.spec.id!r})"

    def typed(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments of builtins, and those that are bound, as the function's annotations have them.

        Raises `NotCalled` where a type wants more than the schema says.
        """
        given = {**self._bound, **arguments}
        for name, value in given.items():
            kind = self._types.get(name)
            if kind is not None and type(value) is not kind:
                try:
                    given[name] = msgspec.convert(value, kind)
                except msgspec.ValidationError:
                    detail = f"arguments.{name} of {self.spec.id} isn't what its function takes"
                    raise NotCalled("invalid_arguments", detail, path=name) from None
        return given

    def call(self, arguments: Mapping[str, Any], on_progress: OnProgress) -> Any:
        """Call the function with arguments of builtins, as `typed` makes them; a coroutine if it is async."""
        given = self.typed(arguments)
        if self.progress:
            given[self.progress] = lambda text="", fraction=None: on_progress(Progress(text, fraction))
        return self.function(**given)


def tool(*, name: str, version: str, **declared: Any) -> Callable[[Callable[..., Any]], Tool]:
    """Declare the function below as a tool, as `Tool.of` does; on a module's function, others can find it by reference.

    A process that has the same module runs it, too, once it is registered: the registry keeps ``module:qualname``.
    """

    def decorate(function: Callable[..., Any]) -> Tool:
        found = f"{function.__module__}:{function.__qualname__}"
        if "reference" not in declared and "<" not in found and function.__module__ != "__main__":
            declared["reference"] = Reference(callable=found)
        return Tool.of(function, name=name, version=version, **declared)

    return decorate


def _place(function: Callable[..., Any]) -> str:
    """Return where a function is found, if it is found there."""
    module, qualname = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    if not isinstance(module, str) or not isinstance(qualname, str) or not module or not qualname or "<" in qualname:
        return ""
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    # A decorator runs before the name is bound: then nothing stands there yet, and it will be this.
    known = found is None or found is function or (isinstance(found, Tool) and found.function is function)
    return f"{module}:{qualname}" if known else ""


def _hints_of(function: Callable[..., Any]) -> tuple[dict[str, Any], str]:
    """Return the annotation of each parameter, `Any` without one, and the name of the one for progress."""
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError(f"{_called(function)} is a generator: return the whole, and report progress meanwhile")
    hints = get_type_hints(function, include_extras=True)
    found: dict[str, Any] = {}
    progress = ""
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        if parameter.kind not in _KEYWORDS:
            raise TypeError(f"{_called(function)}: {name} can't be given by its name, as a tool's arguments are")
        if hints.get(name) is Reporter:
            progress = name
        else:
            found[name] = hints.get(name, Any)
    return found, progress


def _parameters(function: Callable[..., Any], hints: Mapping[str, Any], progress: str) -> tuple[ToolParameter, ...]:
    signature = inspect.signature(function)
    found = []
    for name, schema in zip(hints, _schemas(function, [*hints.values()]), strict=True):
        default = signature.parameters[name].default
        description = schema.pop("description", "")
        if default is not inspect.Parameter.empty and default is not None:
            schema["default"] = msgspec.to_builtins(default)
        required = default is inspect.Parameter.empty
        found.append(ToolParameter(name=name, description=description, required=required, schema=schema))
    return tuple(found)


def _result(function: Callable[..., Any]) -> Schema:
    hint = get_type_hints(function, include_extras=True).get("return", Any)
    return {} if hint is Any else _schemas(function, [hint])[0]


def _schemas(function: Callable[..., Any], hints: Sequence[Any]) -> list[dict[str, Any]]:
    try:
        schemas, definitions = msgspec.json.schema_components(hints)
        return [inlined(each, definitions) for each in schemas]
    except (TypeError, ValueError, KeyError) as exc:
        raise TypeError(f"{_called(function)} can't be a tool: {exc}") from None


def _first_paragraph(function: Callable[..., Any]) -> str:
    first = (inspect.getdoc(function) or "").split("\n\n")[0]
    return " ".join(first.split())


def _hold(
    spec: ToolSpec, function: Callable[..., Any], hints: Mapping[str, Any], bound: Mapping[str, Any], progress: str
) -> None:  # fmt: skip
    """Raise a TypeError unless the function takes what is declared, and needs nothing else."""
    parameters = inspect.signature(function).parameters
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    declared = {each.name: each for each in spec.parameters}
    for name in [*declared, *bound]:
        if name == progress or (name not in hints and not takes_any):
            raise TypeError(f"tool {spec.id} declares {name!r}, which {_called(function)} doesn't take")
    for name in hints:
        optional = parameters[name].default is not inspect.Parameter.empty
        if name not in declared and name not in bound and not optional:
            raise TypeError(f"tool {spec.id} doesn't declare {name!r}, which {_called(function)} needs")
        if name in declared and not declared[name].required and not optional:
            raise TypeError(f"tool {spec.id} says that {name!r} may be left out, and {_called(function)} needs it")
    annotated = {name: hint for name, hint in hints.items() if name in declared and hint is not Any}
    for (name, _), schema in zip(annotated.items(), _schemas(function, [*annotated.values()]), strict=True):
        mine, theirs = _types_of(declared[name].schema), _types_of(schema)
        if mine and theirs and not mine & theirs:
            wanted, given = "/".join(sorted(theirs)), "/".join(sorted(mine))
            raise TypeError(f"tool {spec.id}: {name!r} is declared as {given}, and {_called(function)} takes {wanted}")


def _types_of(schema: Mapping[str, Any]) -> set[str]:
    """Return which types of JSON a schema lets through at its top; none where it doesn't say."""
    said = schema.get("type")
    found = {said} if isinstance(said, str) else {*said} if isinstance(said, list) else set()
    if "anyOf" in schema and not found:
        parts = [_types_of(each) for each in schema["anyOf"]]
        found = set().union(*parts) if all(parts) else set()
    return found | ({"integer"} if "number" in found else set())


def _called(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", type(function).__qualname__)
