"""Pictures of a definition: for Mermaid, which browsers draw, and for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from tta_program.output import aligned, printable

from .definition import Step, Workflow
from .order import Order

# By what a step does, the brackets that give its box a shape.
_SHAPES = {
    "agent": '["{}"]',
    "capability": '(["{}"])',
    "workflow": '[["{}"]]',
    "signal": '{{{{"{}"}}}}',
    "wait": '("{}")',
}


def mermaid(workflow: Workflow) -> str:
    """Return a flow chart: what a step needs softly is dotted, and what may be skipped is dashed."""
    order = Order(workflow)
    number = {id: f"s{n}" for n, id in enumerate(order.steps)}
    lines = ["flowchart TD"]
    for id, step in order.steps.items():
        kind, what = does(step)
        label = "<br>".join(_escaped(each) for each in (f"{id}: {what}", *notes(step)))
        lines.append(f"  {number[id]}{_SHAPES[kind].format(label)}")
    for id in order.steps:
        lines += [f"  {number[each]} --> {number[id]}" for each in order.hard[id]]
        lines += [f"  {number[each]} -.-> {number[id]}" for each in order.soft[id]]
    for id in order.steps:
        if id in order.may_be_skipped:
            lines.append(f"  style {number[id]} stroke-dasharray: 4")
    return "\n".join(lines)


def text(name: str, workflow: Workflow) -> str:
    """Return a line for each step, in an order in which they may run: what it does, and what it waits for."""
    order = Order(workflow)
    rows = []
    for id in order.sequence:
        needs = ", ".join((*order.hard[id], *(f"{each}?" for each in order.soft[id])))
        rows.append((id, " ".join(does(order.steps[id])), f"after {needs}" if needs else "first", *_joined(id, order)))
    return "\n".join([printable(f"{name}: at most {workflow.timeout:g} s"), *(f"  {line}" for line in aligned(rows))])


def does(step: Step) -> tuple[str, str]:
    """Return which of its kinds a step is of, and of what there."""
    for kind in ("agent", "capability", "workflow", "signal"):
        if what := getattr(step, kind):
            return kind, what
    return "wait", f"{step.wait or 0:g} s"


def notes(step: Step) -> Iterator[str]:
    """Say what else becomes of a step."""
    if step.when:
        yield f"when {step.when}"
    if step.repeat is not None:
        yield f"until {step.repeat.until}, at most {step.repeat.most} times"
    if step.timeout is not None:
        yield f"{step.timeout:g} s"
    if step.retry is not None and step.retry.attempts > 1:
        yield f"{step.retry.attempts} attempts"
    if step.undo is not None:
        yield f"undo {step.undo.agent}"
    if step.fallback:
        yield "has a fallback"
    if step.stream:
        yield "streamed"


def _joined(id: str, order: Order) -> tuple[str]:
    return ("; ".join(notes(order.steps[id])),)


def _escaped(text: str) -> str:
    """Return a text as a label holds it: what means something there, or to a terminal, is written as a number."""
    return "".join(
        char if char.isprintable() and char not in '"#<>&`\\' else f"#{ord(char)};" for char in text
    )  # fmt: skip
