"""The plans that runs go by: of definitions here, and of those that other releases have begun runs with."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping

from .definition import Workflow
from .journal import Journal, RunHead
from .plan import Plan, PlanError, make_plan, restore_plan

DEFINED_AGAIN = 60.0
"""How often, in seconds, a journal is given a definition at least, while runs of it begin."""
_RESTORED = 256
"""How many plans of other releases' definitions are kept ready."""


class Plans:
    """Makes each plan once, from a definition or from what the journal keeps of one."""

    def __init__(self, journal: Journal, definitions: Mapping[str, Workflow]) -> None:
        self._journal, self._definitions = journal, definitions
        self._by_name: dict[str, Plan] = {}
        self._by_hash: dict[str, Plan] = {}
        self._restored: OrderedDict[str, Plan] = OrderedDict()
        """Plans of definitions that are other here by now, or unknown; by their hashes."""
        self._due: dict[str, float] = {}
        """When the journal is to be given a definition again, by its hash."""

    def of(self, name: str) -> Plan:
        """Return the plan of a definition as it stands here; raises `PlanError`."""
        plan = self._by_name.get(name)
        if plan is None or not plan.is_of(self._definitions):  # They may be others after a reload.
            plan = self._by_name[name] = make_plan(name, self._definitions)
            self._by_hash[plan.definition] = plan
        return plan

    async def of_run(self, head: RunHead) -> Plan:
        """Return what a run runs, be it defined here or not; raises `PlanError`, and what the journal does."""
        if (plan := self._by_hash.get(head.definition)) is not None:
            return plan
        if head.workflow in self._definitions:
            self.of(head.workflow)
            if (plan := self._by_hash.get(head.definition)) is not None:
                return plan
        if (plan := self._restored.get(head.definition)) is None:
            packed = await self._journal.definition(head.definition)
            if packed is None:
                raise PlanError(f"workflow {head.workflow}", "nobody has the definition that it was begun with")
            plan = self._restored[head.definition] = restore_plan(packed)
            while len(self._restored) > _RESTORED:
                self._restored.popitem(last=False)
        return plan

    async def store(self, plan: Plan) -> None:
        """See to it that the journal has a plan's definition, for whoever takes its runs over."""
        now = time.monotonic()
        if now >= self._due.get(plan.definition, 0.0):
            await self._journal.define(plan.definition, plan.packed)
            self._due[plan.definition] = now + DEFINED_AGAIN
