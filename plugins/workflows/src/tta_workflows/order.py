"""In which order a definition's steps run, and which of them may be left out."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from msgspec import UNSET

from .definition import Step, Workflow


class Order:
    """What the steps of a definition need, by their ids; of two steps with the same id the first counts."""

    def __init__(self, workflow: Workflow) -> None:
        self.steps: dict[str, Step] = {}
        self.hard: dict[str, Sequence[str]] = {}
        self.soft: dict[str, Sequence[str]] = {}
        self.unknown: list[tuple[str, str]] = []
        """Steps, and what they need that isn't there."""
        self._resolve(workflow)
        self.cycle: Sequence[str] = ()
        """Steps that need each other, the first once more at the end."""
        try:
            graph = {id: (*self.hard[id], *self.soft[id]) for id in self.steps}
            self.sequence: Sequence[str] = tuple(TopologicalSorter(graph).static_order())
        except CycleError as exc:
            # It tells them from the one that is needed to the one that needs it.
            self.cycle = tuple(reversed(exc.args[1]))
            self.sequence = tuple(self.steps)
        self.before: dict[str, set[str]] = {}
        """All that is over when a step begins."""
        self.certain: dict[str, set[str]] = {}
        """What a step runs without never: where one of these is skipped, it is, too."""
        self.may_be_skipped: set[str] = set()
        if not self.cycle:
            self._follow(workflow)

    def _resolve(self, workflow: Workflow) -> None:
        before = ""
        for step in workflow.steps:
            if step.id in self.steps:
                continue
            needs = step.needs if step.needs is not None else (before,) if before else ()
            before = step.id
            self.steps[step.id] = step
            self.hard[step.id] = tuple(dict.fromkeys(each for each in needs if not each.endswith("?")))
            self.soft[step.id] = tuple(dict.fromkeys(each[:-1] for each in needs if each.endswith("?")))
        for id in self.steps:
            for kind in (self.hard, self.soft):
                self.unknown += [(id, each) for each in kind[id] if each not in self.steps]
                kind[id] = tuple(each for each in kind[id] if each in self.steps)

    def _follow(self, workflow: Workflow) -> None:
        for id in self.sequence:
            step, hard = self.steps[id], self.hard[id]
            needed = {*hard, *self.soft[id]}
            self.before[id] = needed.union(*(self.before[each] for each in needed))
            self.certain[id] = {*hard}.union(*(self.certain[each] for each in hard))
            left_out = (step.on_error or workflow.on_error) == "skip-on-error" and step.fallback is UNSET
            if step.when or left_out or not self.may_be_skipped.isdisjoint(hard):
                self.may_be_skipped.add(id)

    def may_be_missing(self, id: str, reader: str = "") -> bool:
        """Whether a step may have no output when ``reader`` reads it, or, without one, when the run is done."""
        return id in self.may_be_skipped and id not in self.certain.get(reader, ())
