"""Finding what is wrong with workflows before anything runs: all of it at once, with the step and the key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

import msgspec
from msgspec.inspect import StructType, Type, type_info
from msgspec.structs import replace

from tta_agents import AgentSpec, Unknown
from tta_kernel import Problem, suggest

from .definition import Workflow, WorkflowUse
from .fits import ANY, made_of, of_schema
from .order import Order
from .paths import PathCheck, Reader
from .plan import MAX_DEPTH, MAX_STEPS, PlanError, make_plan
from .structure import structure
from .validation import schema_problem

Types = Mapping[str, type[msgspec.Struct]]


def problems(
    definitions: Mapping[str, Workflow],
    agents: Mapping[str, AgentSpec],
    uses: Mapping[str, Sequence[WorkflowUse]] | None = None,
    trouble: Callable[[str], str] = lambda plugin: "",
    *,
    origins: Mapping[str, str] | None = None,
    types: Types | None = None,
    only: Sequence[str] | None = None,
) -> Iterator[Problem]:
    """Hold each definition against the declared agents, and against the plugins that run it, by name.

    ``trouble`` says of an installed plugin why others have to do without it, as `Hooks.trouble` does. ``origins`` say
    where definitions stand, and ``types`` are the declared types of messages, of which nothing is said without them.
    ``only`` names the definitions to look at.
    """
    check = _Check(definitions, agents, trouble, origins or {}, types)
    users: dict[str, list[tuple[str, WorkflowUse]]] = {}
    for plugin, declared in (uses or {}).items():
        for each in declared:
            users.setdefault(each.workflow, []).append((plugin, each))
            if each.workflow not in definitions:
                where = f"plugins.{plugin}.config.{each.key}" if each.key else f"plugin {plugin!r}"
                what = f"no workflow is called {each.workflow!r}"
                yield Problem(where, what, suggest(each.workflow, definitions), plugin=plugin)
    known: set[Problem] = set()
    for name in definitions if only is None else only:
        found = check.alone(name)
        wrong = {problem.where for problem in found}
        if name in users:
            # What is wrong only as one plugin runs it is for that one to mend, and stops no other.
            found = [
                problem if problem.where in wrong else replace(problem, plugin=user)
                for user, use in users[name]
                for problem in check.used(name, user, use)
            ]
        for problem in found:
            if problem not in known:  # Two plugins may run the same workflow, or two others run it within theirs.
                known.add(problem)
                yield problem


class _Check:
    """All definitions of a deployment, which may run each other."""

    def __init__(
        self, definitions: Mapping[str, Workflow], agents: Mapping[str, AgentSpec], trouble: Callable[[str], str],
        origins: Mapping[str, str], types: Types | None,
    ) -> None:  # fmt: skip
        self._definitions, self._agents, self._trouble, self._types = definitions, agents, trouble, types
        self._origins = origins
        self._orders: dict[str, Order] = {}

    def alone(self, name: str) -> list[Problem]:
        """Find what is wrong with one definition, whoever runs it."""
        takes = self._takes(name)
        found = [*self._structure(name), *self._reads(name, "", takes if takes is not None else ANY, (name,))[0]]
        if all(problem.note for problem in found):
            try:
                make_plan(name, self._definitions)
            except PlanError as exc:
                found.append(Problem(self._at(name, exc.where), exc.what, exc.hint))
        return found

    def used(self, name: str, user: str, use: WorkflowUse) -> list[Problem]:
        """Find what is wrong with one definition as a plugin runs it."""
        given = type_info(use.input)
        found = [*self._structure(name), *self._reads(name, user, given, (name,), use.output)[0]]
        if (takes := self._takes(name)) is not None:
            fields = {field.encode_name: f"input.{field.encode_name}" for field in msgspec.structs.fields(use.input)}
            paths = PathCheck(self._order(name), given, user)
            found += paths.problems(self._at(name, "takes"), fields, Reader(repr(name), takes))
        return found

    def _structure(self, name: str) -> Iterator[Problem]:
        """Find what is wrong whoever runs it."""
        workflow = self._definitions[name]
        for key, what, hint in structure(workflow, self._order(name), self._definitions):
            yield Problem(self._at(name, key), what, hint)
        for step in workflow.steps:
            named = [(f"steps.{step.id}.agent", step.agent)]
            if step.undo is not None:
                named.append((f"steps.{step.id}.undo.agent", step.undo.agent))
            for key, agent in named:
                if agent and agent not in self._agents:
                    yield Problem(self._at(name, key), *self._undeclared(agent))
            if step.workflow in self._definitions:
                yield from self._within(self._at(name, f"steps.{step.id}.workflow"), step.workflow)
            for number, each in enumerate(step.send if self._types is not None else ()):
                yield from self._sends(self._at(name, f"steps.{step.id}.send.{number}.type"), each.type)
        yield from self._cycle(name)

    def _within(self, where: str, inner: str) -> Iterator[Problem]:
        """Tell what a definition says of its own runs, and of none within another's."""
        workflow = self._definitions[inner]
        unheard = [key for key in ("on_failure", "savepoints") if getattr(workflow, key) not in ("undo", ())]
        if unheard:
            what = f"{' and '.join(unheard)} of {inner!r} don't count within another run"
            yield Problem(where, what, "that run is taken back as its own definition says", note=True)

    def _sends(self, where: str, type: str) -> Iterator[Problem]:
        if not self._types:
            yield Problem(where, "no enabled plugin provides messages", "enable `messages`, or take it out")
        elif type not in self._types:
            yield Problem(where, f"no enabled plugin declares the message type {type!r}", suggest(type, self._types))

    def _cycle(self, name: str) -> Iterator[Problem]:
        """Say where a definition runs within itself, or too many within each other, or too many steps in all."""
        sizes: dict[str, int] = {}

        def size(each: str, within: tuple[str, ...]) -> int:
            if each in within:
                raise _Circle((*within[within.index(each) :], each))
            if len(within) >= MAX_DEPTH:
                raise _TooDeep
            if each not in sizes:
                inner = [step.workflow for step in self._definitions[each].steps if step.workflow in self._definitions]
                sizes[each] = len(self._definitions[each].steps) + sum(size(it, (*within, each)) for it in inner)
            return sizes[each]

        try:
            if (steps := size(name, ())) > MAX_STEPS:
                what = f"a run would have {steps:,} steps; {MAX_STEPS:,} are the most"
                yield Problem(self._at(name, "steps"), what)
        except _Circle as exc:
            if exc.names[0] == name:  # Else it is told of those within it.
                within = f"it runs within itself: {' → '.join(exc.names)}"
                yield Problem(self._at(name, "steps"), within)
        except _TooDeep:
            yield Problem(self._at(name, "steps"), f"more than {MAX_DEPTH} workflows stand within each other")

    def _undeclared(self, agent: str) -> tuple[str, str]:
        """Say that nobody declares an agent: mostly a plugin of its name does, and that may be installed."""
        what = f"no enabled plugin declares the agent {agent!r}"
        if trouble := self._trouble(agent):
            return f"{what}: the plugin {agent!r} {trouble}", "`tta plugins` says why"
        return what, suggest(agent, self._agents)

    def _reads(
        self, name: str, user: str, given: Type, within: tuple[str, ...], reads: type[msgspec.Struct] | None = None
    ) -> tuple[list[Problem], Type]:  # fmt: skip
        """Find what reads something that isn't there or doesn't fit, where ``user`` gives it an input of that type.

        Return it and the type of what the workflow returns.
        """
        workflow, order = self._definitions[name], self._order(name)
        if order.cycle or order.unknown:
            return [], ANY  # Nobody knows what is there when.
        found: list[Problem] = []
        paths = PathCheck(order, given, user)
        for id in order.sequence:
            step, at = order.steps[id], self._at(name, f"steps.{id}")
            reader = self._agent_reader(step.agent)
            if step.workflow in self._definitions:
                reader = Reader(repr(step.workflow), self._takes(step.workflow))
            found += paths.problems(f"{at}.input", step.input, reader, step=id)
            found += paths.expression(f"{at}.when", step.when, step=id)
            paths.outputs[id] = self._output(step.agent)
            if step.workflow in self._definitions and step.workflow not in within and len(within) < MAX_DEPTH:
                given_types = {**self._optional(step.workflow), **paths.types(step.input, step=id)}
                inner_given = made_of(f"the input of {step.workflow!r}", given_types)
                who = f"step {id!r} of {name!r}"
                inner, paths.outputs[id] = self._reads(step.workflow, who, inner_given, (*within, step.workflow))
                found += inner
            elif step.signal and step.response is not None:
                paths.outputs[id] = self._of_schema(step.response, f"the answer to {id!r}")
            if step.repeat is not None:
                found += paths.expression(f"{at}.repeat.until", step.repeat.until, step=id, output=True)
            if step.undo is not None:
                undo = self._agent_reader(step.undo.agent)
                # A step that began and was never done is undone, too.
                found += paths.problems(f"{at}.undo.input", step.undo.input, undo, step=id, output="maybe")
            for number, each in enumerate(step.send):
                type = (self._types or {}).get(each.type)
                body = Reader(f"a message {each.type!r}", type_info(type) if type else None)
                found += paths.problems(f"{at}.send.{number}.body", each.body, body, step=id, output="there")
            for number, said in enumerate(step.publish):
                key = f"{at}.publish.{number}.data"
                found += paths.problems(key, said.data, Reader(""), step=id, output="there")
        wanted = Reader(repr(user), type_info(reads), reads) if reads else Reader(repr(user))
        found += paths.problems(self._at(name, "output"), workflow.output, wanted)
        for id, key, what, hint in paths.fallbacks:
            found.append(Problem(self._at(name, f"steps.{id}.fallback{key}"), what, hint))
        return found, made_of(f"the output of {name!r}", paths.types(workflow.output))

    def _agent_reader(self, agent: str) -> Reader:
        spec = self._agents.get(agent)
        if spec is None or spec.input is Unknown:
            return Reader(repr(agent))
        return Reader(repr(agent), _type_of(spec.input), spec.input)

    def _output(self, agent: str) -> Type:
        spec = self._agents.get(agent)
        return _type_of(spec.output) if spec is not None and spec.input is not Unknown else ANY

    def _takes(self, name: str) -> Type | None:
        takes = self._definitions[name].takes
        return self._of_schema(takes, f"the input of {name!r}") if takes is not None else None

    def _optional(self, name: str) -> Mapping[str, tuple[Type, bool]]:
        """Return by field what a workflow may be given, as it says itself: who runs it may leave that out."""
        takes = self._takes(name)
        fields = takes.fields if isinstance(takes, StructType) else ()
        return {field.encode_name: (field.type, True) for field in fields}

    def _of_schema(self, schema: Mapping[str, object], name: str) -> Type:
        return ANY if schema_problem(schema) else of_schema(schema, name)

    def _order(self, name: str) -> Order:
        if name not in self._orders:
            self._orders[name] = Order(self._definitions[name])
        return self._orders[name]

    def _at(self, name: str, key: str) -> str:
        return f"{self._origins.get(name, f'plugins.workflows.config.workflows.{name}.')}{key}"


@lru_cache(256)  # Of a large Struct it takes milliseconds, and several steps call the same agent.
def _type_of(struct: type[msgspec.Struct]) -> Type:
    return type_info(struct)


class _Circle(Exception):
    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(*names)
        self.names = names


class _TooDeep(Exception):
    pass
