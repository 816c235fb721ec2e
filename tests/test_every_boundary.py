"""Whatever calls code that isn't ours is found here, and has a test against all strangers, or is excused by name.

A test says which boundary it runs: ``@pytest.mark.boundary("tta_kernel.Plugin.lifespan")``, beside a ``parametrize``
over `tta_kernel.testing.strangers`. `EXCUSED` is a list to be worked off: what is new is not added to it, but tried.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from tta_kernel import Plugin

OURS = "only the tree's own code calls or writes it, and its types are checked"
ASKED = "the hook is what is asked, and who answers is tried where the hook is specified"
HARNESS = "the event loop's own object"

EXCUSED = {
    "tta_access.Authenticator.__init__.clock": OURS,
    "tta_access.Authenticator.__init__.wall": OURS,
    "tta_access.FileKeys.__init__.clock": OURS,
    "tta_access.MemoryKeys.__init__.clock": OURS,
    "tta_agents.AgentPlugin.process.ctx": OURS,
    "tta_agents.Agent.process.ctx": OURS,
    "tta_agents.StepContext": OURS,
    "tta_audit.FileAudit.__init__.clock": OURS,
    "tta_audit.MemoryAudit.__init__.clock": OURS,
    "tta_capabilities.Capabilities": OURS,
    "tta_crisis.MemoryCrisisStore.__init__.clock": OURS,
    "tta_kernel.Context.__init__.crashed": OURS,
    "tta_kernel.Hooks.__init__.plugins": OURS,
    "tta_kernel.Hooks.ask.spec": ASKED,
    "tta_kernel.Hooks.collect.spec": ASKED,
    "tta_kernel.Hooks.implementers.spec": ASKED,
    "tta_kernel.Kernel.serve.task_status": HARNESS,
    "tta_messages.Codec.__init__.clock": OURS,
    "tta_messages.LeaseKeeper.__init__.clock": OURS,
    "tta_messages.LeaseKeeper.__init__.lost": OURS,
    "tta_messages.ReplyQueue.read.take": OURS,
    "tta_messages.consume.clock": OURS,
    "tta_messages.consume_batches.clock": OURS,
    "tta_orchestration.Orchestration": OURS,
    "tta_orchestration.TurnStream": OURS,
    "tta_resources.Resources": OURS,
    "tta_tools.MemoryToolStore.__init__.clock": OURS,
    "tta_tools.Reporter": OURS,
    "tta_tools.Tools": OURS,
}


def packages(root: Path) -> Iterator[Path]:
    """Find what others write code for: the kernel, and the capabilities."""
    for manifest in (root / "kernel/pyproject.toml", *sorted(root.glob("plugins/*/pyproject.toml"))):
        storey = tomllib.loads(manifest.read_text(encoding="utf-8"))["tool"]["tta"]["storey"]
        if storey in ("kernel", "capability"):
            yield from (each for each in sorted(manifest.parent.glob("src/tta_*")) if each.name != "tta_program")


def specified_hooks(package: Path) -> Iterator[str]:
    for file in sorted(package.rglob("*.py")):
        if "testing" not in file.parts:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "hookspec" in names(
                    node.decorator_list
                ):
                    yield f"{package.name}.{node.name}"


def names(nodes: list[ast.expr]) -> set[str]:
    return {inner.id for node in nodes for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def strange_parameters(package: Path) -> Iterator[str]:
    """Find the Protocols that others implement, and the parameters that are called or are something of theirs."""
    module = importlib.import_module(package.name)
    for name in module.__all__:
        public = getattr(module, name)
        if getattr(public, "_is_protocol", False):
            yield f"{package.name}.{name}"
        for suffix, function in functions(public):
            hints = get_type_hints(function)
            for parameter in inspect.signature(function).parameters:
                if is_strange(hints.get(parameter)):
                    yield f"{package.name}.{name}{suffix}.{parameter}"


def functions(public: object) -> Iterator[tuple[str, Callable[..., Any]]]:
    if inspect.isfunction(public):
        yield "", public
    elif inspect.isclass(public):
        for name, member in vars(public).items():
            if inspect.isfunction(member) and (name == "__init__" or not name.startswith("_")):
                yield f".{name}", member


def is_strange(hint: Any) -> bool:
    """Say whether a type is, or holds, a callable or a Protocol."""
    if get_origin(hint) is Callable or getattr(hint, "_is_protocol", False):
        return True
    return any(is_strange(each) for each in get_args(hint) if not isinstance(each, list))


def of_a_plugin() -> Iterator[str]:
    """Name what a plugin's author may define."""
    yield "tta_kernel.Plugin.__init__"
    for name in {**get_type_hints(Plugin), **vars(Plugin)}:
        if not name.startswith("_"):
            yield f"tta_kernel.Plugin.{name}"


def boundaries(root: Path) -> set[str]:
    found = {*of_a_plugin()}
    for package in packages(root):
        found |= {*specified_hooks(package), *strange_parameters(package)}
    return found


def tried(root: Path) -> set[str]:
    """Read from every test which boundary it runs against strangers."""
    found = set()
    tests = ("tests/**/test_*.py", "kernel/tests/**/test_*.py", "plugins/*/tests/**/test_*.py")
    for pattern in (*tests, "plugins/*/src/*/testing/*.py", "plugins/*/src/*/testing.py"):
        for file in root.glob(pattern):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    found |= marked(node)
    return found


def marked(test: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    calls = [each for each in test.decorator_list if isinstance(each, ast.Call)]
    said = [each for each in calls if ast.unparse(each.func) == "pytest.mark.boundary"]
    against_all = {"strangers", "wrong_attributes"} & names([each for each in calls if each not in said])
    assert against_all or not said, f"{test.name} says that it is a boundary's, and has no strangers"
    return {str(ast.literal_eval(arg)) for call in said for arg in call.args}


def test_every_boundary_is_tried_against_all_strangers(root: Path) -> None:
    found = boundaries(root)
    assert len(found) > 40
    assert sorted(found - tried(root) - EXCUSED.keys()) == []


def test_what_is_tried_or_excused_is_there(root: Path) -> None:
    assert sorted((tried(root) | EXCUSED.keys()) - boundaries(root)) == []
    assert sorted(tried(root) & EXCUSED.keys()) == [], "worked off: take it out of the list"


def test_a_boundary_without_strangers_would_be_found() -> None:
    def asks(answer: Callable[[], int] | None, most: int = 5) -> None:
        raise AssertionError

    hints = get_type_hints(asks)
    assert [name for name in hints if is_strange(hints[name])] == ["answer"]
