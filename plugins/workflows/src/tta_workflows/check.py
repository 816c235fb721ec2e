"""Finding what is wrong with a workflow before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

import msgspec

from tta_agents import AgentSpec
from tta_kernel import Problem

from .model import Paths, Workflow


def problems(definitions: Mapping[str, Workflow], agents: Mapping[str, AgentSpec]) -> Iterator[Problem]:
    """Hold each definition against the declared agents: types, fields and paths."""
    for name, workflow in definitions.items():
        where = f"plugins.workflows.config.workflows.{name}"
        outputs: dict[str, AgentSpec | None] = {}
        for step in workflow.steps:
            at = f"{where}.steps.{step.id}"
            if step.id in outputs:
                yield Problem(at, "another step has the same id", "give it another one")
            spec = agents.get(step.agent)
            if spec is None:
                yield Problem(
                    f"{at}.agent", f"no enabled plugin declares the agent {step.agent!r}", _hint(step.agent, agents)
                )
            yield from _paths(f"{at}.input", step.input, outputs)
            yield from _fields(f"{at}.input", step.input, spec)
            outputs[step.id] = spec
        yield from _paths(f"{where}.output", workflow.output, outputs)


def _paths(where: str, paths: Paths, outputs: Mapping[str, AgentSpec | None]) -> Iterator[Problem]:
    for field, path in paths.items():
        root, *rest = path.split(".")
        if root not in ("input", "steps") or not rest or not all(rest):
            yield Problem(f"{where}.{field}", f"{path!r} is no path", "write input.<field> or steps.<id>.<field>")
        elif root == "steps" and rest[0] not in outputs:
            yield Problem(f"{where}.{field}", f"no earlier step is called {rest[0]!r}", _hint(rest[0], outputs))
        elif root == "steps" and len(rest) > 1 and (spec := outputs[rest[0]]):
            known = {f.encode_name for f in msgspec.structs.fields(spec.output)}
            if rest[1] not in known:
                yield Problem(f"{where}.{field}", f"{spec.type!r} answers no {rest[1]!r}", _hint(rest[1], known))


def _fields(where: str, paths: Paths, spec: AgentSpec | None) -> Iterator[Problem]:
    if spec is None:
        return
    fields = {f.encode_name: f for f in msgspec.structs.fields(spec.input)}
    for name in paths.keys() - fields.keys():
        yield Problem(f"{where}.{name}", f"{spec.type!r} takes no {name!r}", _hint(name, fields))
    for name, field in fields.items():
        if field.required and name not in paths:
            yield Problem(where, f"{spec.type!r} needs {name!r}", f"add `{name}: input.{name}` or a step's output")


def _hint(name: str, known: object) -> str:
    names = sorted(known)  # type: ignore[call-overload]
    if close := get_close_matches(name, names, n=1):
        return f"did you mean {close[0]!r}?"
    return f"there are: {', '.join(names) or 'none'}"
