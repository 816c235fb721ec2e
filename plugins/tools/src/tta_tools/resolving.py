"""From a tool in the store to one that this process can run: it imports what the tool refers to."""

from __future__ import annotations

import importlib
import logging
from typing import Any

import anyio

from tta_kernel import as_failure, raised_at

from .declaring import Tool
from .model import Reference, ToolError, ToolSpec

log = logging.getLogger("tta.tools")


async def resolve(spec: ToolSpec) -> Tool:
    """Return the tool; ``unavailable`` where this process can't run it. Ask only what the policy has allowed.

    What is referred to must be a `Tool` itself, and the one in the store may do no more than that one says: whoever can
    write into the store must not thereby choose which function is called.
    """
    if spec.reference is None:
        raise ToolError(
            "unavailable", f"{spec.id} has no reference: only the process that registered it can run it{_whose(spec)}"
        )
    # An import may read files, and run for long.
    found = await anyio.to_thread.run_sync(_imported, spec, spec.reference)
    if not isinstance(found, Tool):
        what = f"{spec.reference.callable} is no tool: put @tool on it"
        raise ToolError("unavailable", f"{spec.id} can't be run here: {what}")
    if beyond := sorted({*found.spec.safety_flags} - {*spec.safety_flags}):
        raise ToolError("unavailable", f"{spec.id} doesn't say that it reaches {', '.join(beyond)}: register it anew")
    try:
        return Tool(spec, found.function)
    except TypeError as exc:
        raise ToolError("unavailable", f"{spec.id} can't be run here, with another release of it: {exc}") from None


def _imported(spec: ToolSpec, reference: Reference) -> Any:
    module, _, qualname = reference.callable.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for name in qualname.split("."):
            found = getattr(found, name)
    except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
        failure = as_failure(exc)
        log.warning("tool %s: importing %s raised %s at %s", spec.id, module, type(failure).__name__, raised_at(exc))
        what = f"it needs {reference.callable}, which can't be imported here: {type(failure).__name__}"
        raise ToolError(
            "unavailable", f"{spec.id}: {what}; a process with that package runs it{_whose(spec)}"
        ) from None
    return found


def _whose(spec: ToolSpec) -> str:
    return f" (it belongs to {spec.owner})" if spec.owner else ""
