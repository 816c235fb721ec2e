"""Conditions in definitions: a small part of Python's expressions, compiled once, and nothing that could do harm.

What there is: constants, lists and tuples of them, ``input.x``, ``steps.story.text``, ``steps['a-b'].list[0]``,
``output.x`` where there is one, comparisons, ``in``, ``and``, ``or``, ``not``, ``a if b else c``, ``+ - * / // %`` of
numbers, and ``len(…)``. What a path doesn't find is None; None is less and greater than nothing, and makes None of any
arithmetic.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

MAX_LENGTH = 1000
MAX_NODES = 200
_MAX_DEPTH = 30
_LARGEST = 2**63

Data = Mapping[str, Any]
_Evaluate = Callable[[Data], Any]
Path = tuple[str | int, ...]
"""What a path goes through, from its root: ``("steps", "story", "text")``."""

_ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_EQUALITIES: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda item, container: _contains(container, item),
    ast.NotIn: lambda item, container: not _contains(container, item),
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip


class ExpressionError(ValueError):
    """An expression isn't one that a definition may hold, or can't be evaluated; it quotes no data."""


class Expression(NamedTuple):
    """A compiled expression, and the paths that it reads."""

    text: str
    paths: tuple[Path, ...]
    evaluate: _Evaluate

    def holds(self, data: Data) -> bool:
        """Whether it is true of ``data``, a mapping of roots to values; raises `ExpressionError`."""
        return bool(self.value(data))

    def value(self, data: Data) -> Any:
        """Return what it gives for ``data``; raises `ExpressionError`."""
        try:
            return self.evaluate(data)
        except ExpressionError as exc:
            raise ExpressionError(f"in {self.text!r}: {exc}") from None


def compile_expression(text: str, roots: Collection[str] = ("input", "steps")) -> Expression:
    """Compile ``text``, whose paths begin with one of ``roots``; raises `ExpressionError`, which says where."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"an expression has at most {MAX_LENGTH} characters, and this one {len(text)}")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        at = f" at character {exc.offset}" if isinstance(exc, SyntaxError) and exc.offset else ""
        raise ExpressionError(f"{text!r} is no expression{at}") from None
    nodes = sum(1 for _ in ast.walk(tree))
    if nodes > MAX_NODES:
        raise ExpressionError(f"{text[:40]!r}… has {nodes} parts; {MAX_NODES} are the most")
    compiler = _Compiler(text.strip(), tuple(roots))
    evaluate = compiler.compile(tree.body, 0)
    return Expression(text, tuple(dict.fromkeys(compiler.paths)), evaluate)


class _Compiler:
    """Turns each kind of node that is allowed into a function of the data."""

    def __init__(self, text: str, roots: tuple[str, ...]) -> None:
        self._text, self._roots = text, roots
        self.paths: list[Path] = []

    def compile(self, node: ast.expr, depth: int) -> _Evaluate:
        if depth > _MAX_DEPTH:
            raise ExpressionError(f"{self._text!r} is nested too deeply")
        inner = depth + 1
        match node:
            case ast.Constant(value=value) if value is None or isinstance(value, bool | int | float | str):
                return lambda data: value
            case ast.Attribute() | ast.Subscript() | ast.Name():
                return self._path(node)
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                parts = [self.compile(each, inner) for each in elements]
                return lambda data: [part(data) for part in parts]
            case ast.BoolOp(op=op, values=values):
                return _all_or_any([self.compile(each, inner) for each in values], every=isinstance(op, ast.And))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                denied = self.compile(operand, inner)
                return lambda data: not denied(data)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                negated = self.compile(operand, inner)
                return lambda data: _calculate(operator.sub, 0, negated(data))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return _binary(_ARITHMETIC[type(op)], self.compile(left, inner), self.compile(right, inner))
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compare(left, ops, others, inner)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                condition, yes, no = (self.compile(each, inner) for each in (test, body, orelse))
                return lambda data: yes(data) if condition(data) else no(data)
            case ast.Call(func=ast.Name(id="len"), args=[argument], keywords=[]):
                measured = self.compile(argument, inner)
                return lambda data: _length(measured(data))
        raise self._refusal(node)

    def _compare(self, left: ast.expr, ops: Sequence[ast.cmpop], others: Sequence[ast.expr], depth: int) -> _Evaluate:
        operands = [self.compile(each, depth) for each in (left, *others)]
        tests = [_ORDERS.get(type(op)) or _EQUALITIES[type(op)] for op in ops]
        ordered = [type(op) in _ORDERS for op in ops]

        def compare(data: Data) -> bool:
            value = operands[0](data)
            for test, is_order, operand in zip(tests, ordered, operands[1:], strict=True):
                other = operand(data)
                if not (_in_order(test, value, other) if is_order else test(value, other)):
                    return False
                value = other
            return True

        return compare

    def _path(self, node: ast.expr) -> _Evaluate:
        path = tuple(self._parts(node))[::-1]
        if path[0] not in self._roots:
            known = " or ".join(f"{root}.…" for root in self._roots)
            raise ExpressionError(f"{self._text!r}: a path begins with {known}, and not with {path[0]!r}")
        if len(path) == 1:
            raise ExpressionError(f"{self._text!r}: {path[0]!r} alone is no path; write {path[0]}.<name>")
        self.paths.append(path)
        return lambda data: follow(data, path)

    def _parts(self, node: ast.expr) -> Iterator[str | int]:
        """Yield what a path goes through, from its end to its root."""
        while not isinstance(node, ast.Name):
            match node:
                case ast.Attribute(value=value, attr=name):
                    yield name
                case ast.Subscript(value=value, slice=ast.Constant(value=str() | int() as name)):
                    yield name
                case _:
                    raise self._refusal(node)
            node = value
        yield node.id

    def _refusal(self, node: ast.expr) -> ExpressionError:
        what = ast.get_source_segment(self._text, node) or type(node).__name__
        at = f" at character {node.col_offset + 1}" if node.lineno == 1 else ""
        return ExpressionError(f"{self._text!r}: {what!r}{at} is not allowed in an expression")


def follow(data: Any, path: Sequence[str | int]) -> Any:
    """Return what lies at ``path`` in mappings and lists, or None."""
    value = data
    for part in path:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list | tuple) and isinstance(part, int) and -len(value) <= part < len(value):
            value = value[part]
        else:
            return None
    return value


def _all_or_any(parts: Sequence[_Evaluate], *, every: bool) -> _Evaluate:
    # As in Python the last value that was looked at is the result.
    def evaluate(data: Data) -> Any:
        value: Any = None
        for part in parts:
            value = part(data)
            if bool(value) is not every:
                break
        return value

    return evaluate


def _binary(operation: Callable[[Any, Any], Any], left: _Evaluate, right: _Evaluate) -> _Evaluate:
    return lambda data: _calculate(operation, left(data), right(data))


def _calculate(operation: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    for value in (left, right):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ExpressionError(f"only numbers can be calculated with, and not {_kind(value)}")
    try:
        result = operation(left, right)
    except ArithmeticError as exc:
        raise ExpressionError(str(exc)) from None
    if isinstance(result, int) and abs(result) > _LARGEST:
        raise ExpressionError("a number is too large")
    return result


def _in_order(test: Callable[[Any, Any], Any], left: Any, right: Any) -> bool:
    if left is None or right is None:
        return False
    try:
        return bool(test(left, right))
    except TypeError:
        raise ExpressionError(f"{_kind(left)} can't be compared with {_kind(right)}") from None


def _contains(container: Any, item: Any) -> bool:
    if container is None:
        return False
    if not isinstance(container, str | list | tuple | Mapping):
        raise ExpressionError(f"there is nothing in {_kind(container)}")
    try:
        return item in container
    except TypeError:
        # A text holds only texts; a list can't be a key.
        return False


def _length(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, str | list | tuple | Mapping):
        raise ExpressionError(f"{_kind(value)} has no length")
    return len(value)


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"
