"""Finding what is wrong with a workflow before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
from msgspec.inspect import Field, StructType, Type, type_info
from msgspec.structs import replace

from tta_agents import AgentSpec, Unknown
from tta_kernel import Problem, suggest

from .definition import Paths, Workflow, WorkflowUse
from .fits import ANY, NoField, fits, follow, name_of


def problems(
    definitions: Mapping[str, Workflow],
    agents: Mapping[str, AgentSpec],
    uses: Mapping[str, Sequence[WorkflowUse]] | None = None,
    trouble: Callable[[str], str] = lambda plugin: "",
) -> Iterator[Problem]:
    """Hold each definition against the declared agents, and against the plugins that run it, by name.

    ``trouble`` says of an installed plugin why others have to do without it, as `Hooks.trouble` does.
    """
    users: dict[str, list[tuple[str, WorkflowUse]]] = {}
    for plugin, declared in (uses or {}).items():
        for each in declared:
            users.setdefault(each.workflow, []).append((plugin, each))
            if each.workflow not in definitions:
                where = f"plugins.{plugin}.config.{each.key}" if each.key else f"plugin {plugin!r}"
                what = f"no workflow is called {each.workflow!r}"
                yield Problem(where, what, suggest(each.workflow, definitions), plugin=plugin)
    known: set[Problem] = set()
    for name, workflow in definitions.items():
        own = [*_Definition(name, workflow, agents, "", None, trouble).problems()]
        if name not in users:
            yield from own
        wrong = {problem.where for problem in own}
        for user, use in users.get(name, ()):
            for problem in _Definition(name, workflow, agents, user, use, trouble).problems():
                # What is wrong only as one plugin runs it is for that one to mend, and stops no other.
                told = problem if problem.where in wrong else replace(problem, plugin=user)
                if told not in known:  # Two plugins may run the same workflow.
                    known.add(told)
                    yield told


class _Definition:
    """One workflow, as one plugin runs it; what agents of other deployments take and give is unknown."""

    def __init__(
        self, name: str, workflow: Workflow, agents: Mapping[str, AgentSpec], user: str, use: WorkflowUse | None,
        trouble: Callable[[str], str],
    ) -> None:  # fmt: skip
        self._at = f"plugins.workflows.config.workflows.{name}"
        self._workflow, self._agents, self._user, self._use = workflow, agents, user, use
        self._trouble = trouble
        self._input = type_info(use.input) if use else ANY
        self._outputs: dict[str, tuple[str, Type]] = {}
        """By the ids of the steps so far: the agent, and what it gives."""

    def problems(self) -> Iterator[Problem]:
        for step in self._workflow.steps:
            at = f"{self._at}.steps.{step.id}"
            if step.id in self._outputs:
                yield Problem(at, "another step has the same id", "give it another one")
            spec = self._agents.get(step.agent)
            if spec is None and step.agent:
                yield Problem(f"{at}.agent", *self._undeclared(step.agent))
            known = spec if spec and spec.input is not Unknown else None
            yield from self._paths(f"{at}.input", step.input, step.agent, known.input if known else None)
            self._outputs[step.id] = (step.agent, type_info(known.output) if known else ANY)
        reads = self._use.output if self._use else None
        yield from self._paths(f"{self._at}.output", self._workflow.output, self._user, reads)

    def _undeclared(self, agent: str) -> tuple[str, str]:
        """Say that nobody declares an agent: mostly a plugin of its name does, and that may be installed."""
        what = f"no enabled plugin declares the agent {agent!r}"
        if trouble := self._trouble(agent):
            return f"{what}: the plugin {agent!r} {trouble}", "`tta plugins` says why"
        return what, suggest(agent, self._agents)

    def _paths(self, where: str, paths: Paths, who: str, takes: type[msgspec.Struct] | None) -> Iterator[Problem]:
        wanted = type_info(takes) if takes else None
        fields = {field.encode_name: field for field in wanted.fields} if isinstance(wanted, StructType) else {}
        for name, path in paths.items():
            at, field = f"{where}.{name}", fields.get(name)
            if wanted and not field:
                yield Problem(at, f"{who!r} takes no {name!r}", suggest(name, fields))
            try:
                given, missing = self._type(path)
            except NoField as exc:
                yield Problem(at, *self._lost(path, exc))
                continue
            if field and not fits(given, field.type):
                what = f"{path} is {name_of(given)}, and {who!r} takes {name_of(field.type)}"
                yield Problem(at, what, self._of_type(field))
            elif field and missing and field.required:
                what = f"{path} may be None, and is left out then, but {who!r} always needs {name!r}"
                yield Problem(at, what, self._of_type(field))
        for name, field in fields.items():
            if field.required and name not in paths:
                hint = " or ".join(f"`{name}: {path}`" for path in self._fitting(field))
                yield Problem(where, f"{who!r} needs {name!r}", f"add {hint}" if hint else self._of_type(field))

    def _type(self, path: str) -> tuple[Type, bool]:
        """Return what a path leads to, and whether that may be missing."""
        root, *rest = path.split(".")
        if root not in ("input", "steps") or not rest or not all(rest):
            raise NoField(path, "", ())
        if root == "input":
            return follow(self._input, rest)
        if rest[0] not in self._outputs:
            raise NoField(rest[0], "", list(self._outputs))
        return follow(self._outputs[rest[0]][1], rest[1:])

    def _lost(self, path: str, exc: NoField) -> tuple[str, str]:
        """Say why a path leads nowhere, and what would lead somewhere."""
        root, *rest = path.split(".")
        if exc.name == path:
            return f"{path!r} is no path", "write input.<field> or steps.<id>.<field>"
        if root == "steps" and rest[0] not in self._outputs:
            return f"no earlier step is called {exc.name!r}", suggest(exc.name, exc.known)
        if exc.within:
            return f"{path!r}: there is no {exc.name!r} in {exc.within!r}", suggest(exc.name, exc.known)
        if root == "input":
            return f"{self._user!r} gives no {exc.name!r}", suggest(exc.name, exc.known)
        return f"{self._outputs[rest[0]][0]!r} answers no {exc.name!r}", suggest(exc.name, exc.known)

    def _fitting(self, field: Field) -> list[str]:
        """Name the fields that could be taken, the likeliest first: of the same name, then of the latest step."""
        roots = [(f"steps.{id}", type) for id, (_, type) in reversed(self._outputs.items())] + [("input", self._input)]
        found = [
            f"{root}.{each.encode_name}"
            for root, type in roots
            if isinstance(type, StructType)
            for each in type.fields
            if fits(each.type, field.type) and not (field.required and follow(each.type, ())[1])
        ]
        if self._input is ANY:
            found.append(f"input.{field.encode_name}")
        return sorted(found, key=lambda path: not path.endswith(f".{field.encode_name}"))[:3]

    def _of_type(self, field: Field) -> str:
        known = self._fitting(field)
        return f"what would fit: {', '.join(known)}" if known else f"no step before gives {name_of(field.type)}"
