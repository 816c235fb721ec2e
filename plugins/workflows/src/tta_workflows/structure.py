"""What is wrong with a definition's form, whoever runs it and whatever its agents take: its keys, needs and limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import UNSET

from tta_kernel import suggest
from tta_messages.prepare import check_queue

from .budget import describe, slowest_way
from .definition import Execution, Step, Workflow
from .keys import key_problem
from .order import Order
from .plan import kind_problem
from .validation import misfits, schema_problem

Found = tuple[str, str, str]
"""The key, what is wrong with it, and the way out."""
_DONE = ("undo", "keep")


def structure(workflow: Workflow, order: Order, definitions: Mapping[str, Workflow]) -> Iterator[Found]:
    """Find all that is wrong with the form of a definition."""
    seen: set[str] = set()
    for step in workflow.steps:
        at = f"steps.{step.id}"
        if step.id in seen:
            yield at, "another step has the same id", "give it another one"
        seen.add(step.id)
        yield from _step(step, at, definitions)
    for id, need in order.unknown:
        yield f"steps.{id}.needs", f"no step is called {need!r}", suggest(need, order.steps)
    if order.cycle:
        yield f"steps.{order.cycle[0]}.needs", f"they need each other: {' → '.join(order.cycle)}", "take one need out"
    if workflow.takes is not None and (wrong := schema_problem(workflow.takes)):
        yield "takes", f"is no JSON Schema: {wrong}", ""
    yield from _savepoints(workflow, order)
    yield from _execution(workflow.execution)
    if not order.cycle:
        way = slowest_way(workflow, order, definitions)
        if way.seconds > workflow.timeout:
            what = f"a run has {workflow.timeout:g} s, and its steps may take {way.seconds:g} s: {describe(way)}"
            yield "timeout", what, "give it more time, or its steps less"


def _step(step: Step, at: str, definitions: Mapping[str, Workflow]) -> Iterator[Found]:
    if wrong := kind_problem(step):
        key, what, hint = wrong
        yield f"{at}.{key}" if key else at, what, hint
    if step.workflow and step.workflow not in definitions:
        yield f"{at}.workflow", f"no workflow is called {step.workflow!r}", suggest(step.workflow, definitions)
    if step.response is not None:
        if wrong_schema := schema_problem(step.response):
            yield f"{at}.response", f"is no JSON Schema: {wrong_schema}", ""
        elif step.fallback is not UNSET and (unfit := misfits(step.response, step.fallback)):
            yield f"{at}.fallback", f"doesn't fit the step's own response: {'; '.join(unfit)}", ""
    for number, each in enumerate(step.send):
        try:
            check_queue(each.to)
        except ValueError as exc:
            yield f"{at}.send.{number}.to", str(exc), ""
    for number, said in enumerate(step.publish):
        if not said.name:
            yield f"{at}.publish.{number}.name", "is empty", "give the event a name"


def _execution(execution: Execution) -> Iterator[Found]:
    for name in ("concurrency", "rate", "debounce", "singleton"):
        each = getattr(execution, name)
        if each is not None and (wrong := key_problem(each.key)):
            yield f"execution.{name}.key", wrong, ""


def _savepoints(workflow: Workflow, order: Order) -> Iterator[Found]:
    for savepoint in workflow.savepoints:
        if savepoint not in order.steps:
            yield "savepoints", f"no step is called {savepoint!r}", suggest(savepoint, order.steps)
    choices = (*_DONE, *workflow.savepoints)
    if workflow.on_failure not in choices:
        what = f"{workflow.on_failure!r} is neither 'undo' nor 'keep', nor one of the savepoints"
        yield "on_failure", what, suggest(workflow.on_failure, choices)
