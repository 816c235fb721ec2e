"""A definition made ready to run: needs resolved, paths split, expressions compiled, other definitions built in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tta_agents import AgentId
from tta_kernel import suggest

from .definition import OnError, Paths, Retention, Retry, Step, Workflow
from .expressions import Expression, ExpressionError, Path, compile_expression, follow

MAX_DEPTH = 10
"""How many definitions may stand within each other."""
MAX_STEPS = 10_000
"""How many steps a run may have, those of the definitions within it counted as often as they stand there."""
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_KINDS = ("agent", "capability", "workflow", "signal", "wait")
TRIED_AGAIN = Retry(attempts=3)
"""For a step that is to be tried again, and doesn't say how."""

Picks = tuple[tuple[str, Path], ...]
"""Field to path, as its parts; where a field has several the first that leads somewhere counts."""


class PlanError(ValueError):
    """A definition can't be run: ``where`` in it, what is wrong, and the way out."""

    def __init__(self, where: str, what: str, hint: str = "") -> None:
        super().__init__(f"{where}: {what}" + (f"; {hint}" if hint else ""))
        self.where, self.what, self.hint = where, what, hint


class PlannedStep:
    """A `Step` as the executor reads it; steps refer to each other by their index."""

    def __init__(self, step: Step, index: int, at: str) -> None:
        self.step, self.index, self.id = step, index, step.id
        self.input = _picks(step.input, f"{at}.input")
        self.hard: tuple[int, ...] = ()
        self.soft: tuple[int, ...] = ()
        self.next: tuple[int, ...] = ()
        """Those that need this one."""
        self.when = _expression(step.when, f"{at}.when", ("input", "steps"))
        self.until: Expression | None = None
        self.most = 1
        if step.repeat is not None:
            self.until = _expression(step.repeat.until, f"{at}.repeat.until", ("input", "steps", "output"))
            self.most = step.repeat.most
        self.inner: Plan | None = None
        self.agent = AgentId(step.agent, step.instance) if step.agent else None
        self.name = step.agent or step.capability
        """What a `Started` says of who acts; empty where nobody does."""
        self.retry = step.retry or Retry()
        self.on_error: OnError = "fail-fast"
        self.undo = _picks(step.undo.input, f"{at}.undo.input") if step.undo else ()
        self.sends = [_picks(each.body, f"{at}.send.{n}.body") for n, each in enumerate(step.send)]
        self.says = [_picks(each.data, f"{at}.publish.{n}.data") for n, each in enumerate(step.publish)]

    def reads(self) -> Iterator[tuple[str, Path]]:
        """Name each path that is read before the step is done, and the key that it stands under."""
        for field, path in self.input:
            yield f"input.{field}", path
        for path in self.when.paths if self.when else ():
            yield "when", path


class Plan:
    """A definition that can be run; ``definition`` is the hash of it and of all that it reaches."""

    def __init__(self, name: str, workflow: Workflow, steps: Sequence[PlannedStep]) -> None:
        self.name, self.workflow, self.steps = name, workflow, steps
        self.ids = {step.id: step for step in steps}
        self.output = _picks(workflow.output, "output")
        self.first = [step for step in steps if not (step.hard or step.soft)]
        self.needs = [len(step.hard) + len(step.soft) for step in steps]
        """By a step's index, how many others it needs."""
        self.branches = len(self.first) > 1 or any(len(step.next) > 1 for step in steps)
        """Whether steps may be under way at the same time."""
        self.size: int = sum(1 + (step.inner.size if step.inner else 0) for step in steps)
        self.depth: int = 1 + max((step.inner.depth for step in steps if step.inner), default=0)
        self.sends: bool = any(step.sends or (step.inner is not None and step.inner.sends) for step in steps)
        """Whether its runs send messages."""
        execution = workflow.execution
        self.is_gated = execution.concurrency is not None or execution.debounce is not None
        """Whether its runs may have to wait before they begin."""
        self.definition = ""
        self.packed = b""
        self.reached: Mapping[str, Workflow] = {}

    @property
    def retention(self) -> Retention:
        return self.workflow.retention

    def is_of(self, definitions: Mapping[str, Workflow]) -> bool:
        """Whether it was made of what is defined there now."""
        # Asked at each start, so without the cost of a generator.
        for name, workflow in self.reached.items():  # noqa: SIM110
            if definitions.get(name) is not workflow:
                return False
        return True

    def in_order(self) -> list[PlannedStep]:
        """Return the steps such that each comes after those that it needs."""
        return list(_in_order(self.steps))

    def find(self, path: str) -> PlannedStep | None:
        """Return the step that a path such as ``tell#2/story`` leads to."""
        if path in self.ids:
            return self.ids[path]
        plan: Plan | None = self
        step: PlannedStep | None = None
        for part in path.split("/"):
            step = plan.ids.get(part.partition("#")[0]) if plan else None
            plan = step.inner if step else None
        return step

    def walk(self) -> Iterator[PlannedStep]:
        """Yield all steps, those within others, too."""
        for step in self.steps:
            yield step
            if step.inner is not None:
                yield from step.inner.walk()


class _Stored(msgspec.Struct, frozen=True):
    """A definition with all that it reaches, as journals keep it."""

    name: str
    definitions: Mapping[str, Workflow]


def make_plan(name: str, definitions: Mapping[str, Workflow]) -> Plan:
    """Make a plan of the definition of that name; raises `PlanError` for the first thing that is wrong."""
    plan = _plan(name, definitions, (), {})
    if plan.depth > MAX_DEPTH:
        raise _too_deep()
    if plan.size > MAX_STEPS:
        raise PlanError("steps", f"a run would have {plan.size:,} steps; {MAX_STEPS:,} are the most")
    plan.reached = {each: definitions[each] for each in sorted(_reached(plan))}
    stored = _Stored(name, plan.reached)
    plan.packed = msgspec.msgpack.encode(stored)
    plan.definition = _hash(stored)
    return plan


def restore_plan(packed: bytes) -> Plan:
    """Make a plan of what a journal has kept; raises `PlanError` where this release doesn't know what to do with it."""
    try:
        stored = msgspec.msgpack.decode(packed, type=_Stored)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise PlanError("the stored definition", f"can't be read: {exc}") from None
    return make_plan(stored.name, stored.definitions)


def pick(picks: Picks, data: Mapping[str, Any]) -> dict[str, Any]:
    """Read each path; what isn't there is left to the reader's default, and its decoder's complaint."""
    picked = {}
    for field, path in picks:
        value: Any = data
        for at, part in enumerate(path):
            if type(value) is not dict:  # As all data is that came from a store.
                value = follow(value, path[at:])
                break
            value = value.get(part)
        if value is not None and field not in picked:
            picked[field] = value
    return picked


def _hash(stored: _Stored) -> str:
    """Hash what a run does; how this executor goes about it, and how long it is kept, is no part of that."""
    bare = {}
    for name, workflow in stored.definitions.items():
        bare[name] = msgspec.to_builtins(workflow)
        del bare[name]["execution"], bare[name]["retention"]
    return hashlib.sha256(msgspec.msgpack.encode([stored.name, bare], order="deterministic")).hexdigest()


def _reached(plan: Plan) -> set[str]:
    return {plan.name}.union(*(_reached(step.inner) for step in plan.steps if step.inner))


def _too_deep() -> PlanError:
    return PlanError("steps", f"more than {MAX_DEPTH} workflows stand within each other")


def _plan(
    name: str, definitions: Mapping[str, Workflow], within: tuple[str, ...], made: dict[str, Plan]
) -> Plan:  # fmt: skip
    """Make a plan; one definition that stands in many places is made once, and counted in each."""
    workflow = definitions[name]
    if name in within:
        raise PlanError("steps", f"it runs within itself: {' → '.join((*within[within.index(name) :], name))}")
    if len(within) >= MAX_DEPTH:
        raise _too_deep()
    if name in made:
        return made[name]
    steps: list[PlannedStep] = []
    index: dict[str, int] = {}
    for step in workflow.steps:
        at = f"steps.{step.id}"
        _check_kind(step, at)
        if step.id in index:
            raise PlanError(at, "another step has the same id", "give it another one")
        index[step.id] = len(steps)
        planned = PlannedStep(step, len(steps), at)
        planned.on_error = step.on_error or workflow.on_error
        if planned.on_error == "retry" and planned.name and step.retry is None:
            planned.retry = TRIED_AGAIN
        if step.workflow:
            if step.workflow not in definitions:
                what = f"no workflow is called {step.workflow!r}"
                raise PlanError(f"{at}.workflow", what, suggest(step.workflow, definitions))
            planned.inner = _plan(step.workflow, definitions, (*within, name), made)
        steps.append(planned)
    _resolve_needs(steps, index)
    _check_paths(workflow, steps, index)
    plan = made[name] = Plan(name, workflow, steps)
    return plan


def kind_problem(step: Step) -> tuple[str, str, str] | None:
    """Return what is wrong with what a step says that it is: the key, what it is, and the way out."""
    if not _ID.fullmatch(step.id):
        return "", f"{step.id!r} is no id", "use letters, digits, '_' and '-'"
    kinds = [kind for kind in _KINDS if getattr(step, kind)]
    if len(kinds) != 1:
        what = f"it has {' and '.join(kinds)}" if kinds else "it says nothing that is to be done"
        return "", what, f"give it exactly one of {', '.join(_KINDS)}"
    kind = kinds[0]
    calls = kind in ("agent", "capability")
    for key, allowed in (
        ("instance", kind == "agent"), ("idle", calls), ("retry", calls), ("stream", calls), ("undo", kind != "wait"),
        ("repeat", kind in ("agent", "capability", "workflow")), ("timeout", kind != "wait"),
    ):  # fmt: skip
        if not allowed and getattr(step, key) not in (None, False):
            return key, f"a step that has {kind!r} takes no {key!r}", "take it out"
    return None


def _check_kind(step: Step, at: str) -> None:
    if wrong := kind_problem(step):
        key, what, hint = wrong
        raise PlanError(f"{at}.{key}" if key else at, what, hint)


def _resolve_needs(steps: Sequence[PlannedStep], index: Mapping[str, int]) -> None:
    followers: list[list[int]] = [[] for _ in steps]
    for planned in steps:
        needs = planned.step.needs
        if needs is None:
            needs = (steps[planned.index - 1].id,) if planned.index else ()
        hard: dict[int, None] = {}
        soft: dict[int, None] = {}
        for need in needs:
            id = need.removesuffix("?")
            if id not in index:
                raise PlanError(f"steps.{planned.id}.needs", f"no step is called {id!r}", suggest(id, index))
            (soft if need.endswith("?") else hard)[index[id]] = None
        planned.hard = tuple(hard)
        planned.soft = tuple(each for each in soft if each not in hard)
        for each in (*planned.hard, *planned.soft):
            followers[each].append(planned.index)
    for planned, next in zip(steps, followers, strict=True):
        planned.next = tuple(next)
    if cycle := _cycle(steps):
        raise PlanError(f"steps.{cycle[0]}.needs", f"they need each other: {' → '.join(cycle)}")


def _cycle(steps: Sequence[PlannedStep]) -> list[str]:
    """Return the ids along a cycle of needs, the first once more at the end; where there is none, nothing."""
    left = [len(step.hard) + len(step.soft) for step in steps]
    free = [step.index for step in steps if not left[step.index]]
    while free:
        for each in steps[free.pop()].next:
            left[each] -= 1
            if not left[each]:
                free.append(each)
    at = next((step for step in steps if left[step.index]), None)
    if at is None:
        return []
    seen: list[int] = []
    while at.index not in seen:
        seen.append(at.index)
        at = steps[next(each for each in (*at.hard, *at.soft) if left[each])]
    return [steps[each].id for each in (*seen[seen.index(at.index) :], at.index)]


def _check_paths(workflow: Workflow, steps: Sequence[PlannedStep], index: Mapping[str, int]) -> None:
    """See that nothing is read that may not be there yet: then a run would depend on who was quicker."""
    before: list[set[int]] = [set() for _ in steps]
    for planned in _in_order(steps):
        for need in (*planned.hard, *planned.soft):
            before[planned.index] |= before[need] | {need}
    for planned in steps:
        known = {steps[each].id for each in before[planned.index]}
        if planned.until is not None:  # What its last round gave.
            known.add(planned.id)
        for key, path in planned.reads():
            _check_path(f"steps.{planned.id}.{key}", path, known)
        later = [*planned.undo, *(pair for picks in (*planned.sends, *planned.says) for pair in picks)]
        for _, path in later:
            if path[0] != "output":
                _check_path(f"steps.{planned.id}", path, known | {planned.id})
        for path in planned.until.paths if planned.until else ():
            if path[0] != "output":
                _check_path(f"steps.{planned.id}.repeat.until", path, known)
    for field, path in _picks(workflow.output, "output"):
        _check_path(f"output.{field}", path, index)
    for savepoint in workflow.savepoints:
        if savepoint not in index:
            raise PlanError("savepoints", f"no step is called {savepoint!r}", suggest(savepoint, index))
    if workflow.on_failure not in ("undo", "keep", *workflow.savepoints):
        what = f"{workflow.on_failure!r} is neither 'undo' nor 'keep', nor one of the savepoints"
        raise PlanError("on_failure", what, suggest(workflow.on_failure, ("undo", "keep", *workflow.savepoints)))


def _in_order(steps: Sequence[PlannedStep]) -> Iterator[PlannedStep]:
    left = [len(step.hard) + len(step.soft) for step in steps]
    free = [step.index for step in steps if not left[step.index]]
    while free:
        step = steps[free.pop()]
        yield step
        for each in step.next:
            left[each] -= 1
            if not left[each]:
                free.append(each)


def _check_path(where: str, path: Path, known: Sequence[str] | Mapping[str, int] | set[str]) -> None:
    if path[0] == "steps" and path[1] not in known:
        raise PlanError(where, f"no earlier step is called {path[1]!r}", suggest(str(path[1]), sorted(known)))


def alternatives(path: str) -> Sequence[str]:
    """Return the paths of which the first that leads somewhere is read: they stand with ``or`` between them."""
    return path.split(" or ")


def _picks(paths: Paths, where: str) -> Picks:
    return tuple(
        (field, _split(path, f"{where}.{field}")) for field, several in paths.items() for path in alternatives(several)
    )


def _split(path: str, where: str) -> Path:
    root, *rest = path.split(".")
    if root not in ("input", "steps", "output") or not rest or not all(rest):
        raise PlanError(where, f"{path!r} is no path", "write input.<field> or steps.<id>.<field>")
    return (root, *rest)


def _expression(text: str, where: str, roots: tuple[str, ...]) -> Expression | None:
    if not text:
        return None
    try:
        return compile_expression(text, roots)
    except ExpressionError as exc:
        raise PlanError(where, str(exc)) from None
