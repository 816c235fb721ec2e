"""The page of the kernel's API: every name on it is in the code as it stands there, and nothing public is missing."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tta_kernel import Kernel
from tta_program import BlockingKernel

DOORS = [(Kernel, "Kernel"), (BlockingKernel, "BlockingKernel")]


def rows_of(root: Path, section: str) -> dict[str, set[str]]:
    """Return the first columns of a section's tables, by what stands at their head."""
    page = (root / "docs/kernel-api.md").read_text(encoding="utf-8")
    text = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found: dict[str, set[str]] = {}
    head = ""
    for line in text.splitlines():
        if match := re.match(r"\| (parameter|method|attribute) \|", line):
            head = match[1]
        elif match := re.match(r"\| `(.*?)` \|", line):
            found.setdefault(head, set()).add(match[1].replace("\\|", "|"))
    return found


def functions(cls: type[Any]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield what a class defines, but for what is its own affair."""
    [body] = ast.parse(inspect.getsource(cls)).body
    assert isinstance(body, ast.ClassDef)
    for node in body.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.args.args = node.args.args[1:]  # without `self`
            if node.name == "__init__" or not node.name.startswith("_"):
                yield node


def signatures(cls: type[Any]) -> set[str]:
    found = set()
    for node in functions(cls):
        if node.name != "__init__" and not node.decorator_list:
            colour = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
            assert node.returns is not None
            found.add(f"{colour}{node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}")
    return found


def attributes(cls: type[Any]) -> set[str]:
    found = {node.name for node in functions(cls) if node.decorator_list}
    [init] = [node for node in functions(cls) if node.name == "__init__"]
    for node in ast.walk(init):
        targets = node.targets if isinstance(node, ast.Assign) else [node] if isinstance(node, ast.AnnAssign) else []
        for target in targets:
            place = target.target if isinstance(target, ast.AnnAssign) else target
            if isinstance(place, ast.Attribute) and not place.attr.startswith("_"):
                kind = f": {ast.unparse(target.annotation)}" if isinstance(target, ast.AnnAssign) else ""
                found.add(place.attr + kind)
    return found


def parameters(cls: type[Any]) -> set[str]:
    [init] = [node for node in functions(cls) if node.name == "__init__"]
    # Each with its default, as `unparse` writes them in a row.
    one = [ast.unparse(ast.arguments([], [arg], None, [], [], None, [])) for arg in init.args.args]
    for arg, default in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True):
        one.append(ast.unparse(arg) + (f"={ast.unparse(default)}" if default else ""))
    for number, default in enumerate(reversed(init.args.defaults), 1):
        place = len(init.args.args) - number
        one[place] += f"={ast.unparse(default)}"
    return set(one)


@pytest.mark.parametrize(("cls", "section"), DOORS)
def test_the_page_has_all_that_is_public_and_nothing_else(root: Path, cls: type[Any], section: str) -> None:
    rows = rows_of(root, section)
    assert rows["parameter"] == parameters(cls)
    assert rows["method"] == signatures(cls)
    assert rows["attribute"] == attributes(cls)
