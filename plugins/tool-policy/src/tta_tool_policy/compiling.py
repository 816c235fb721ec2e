"""From a rule as it is written to one that is ready to be asked: what it asks, and what it then decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .model import SAFETY_FLAGS, Decision, Effect, Limits, ToolCall
from .predicates import Condition, for_argument, for_session, for_tools, granted, one_of, some_of
from .rules import Defaults, Rule, rate_of
from .schemas import for_schema

UNDECIDED = "undecided"
UNREAD = "session-unread"


class CompiledRule(NamedTuple):
    """A rule, ready to be asked; what it asks is parted by what is the same for many calls."""

    rule: Rule
    floor: bool
    effect: Effect
    of_tool: Sequence[Condition]
    of_caller: Sequence[Condition]
    of_call: Sequence[Condition]
    session: Condition | None
    decision: Decision
    undecided: Decision
    unread: Decision

    def outcome(self, call: ToolCall) -> Decision | None:
        """Return what the rule decides about a call that it may concern; None where it doesn't hold."""
        undecided = False
        for condition in self.of_call:
            held = condition.holds(call)
            if held is False:
                return None
            undecided = undecided or held is None
        if self.session is not None:
            held = self.session.holds(call)
            if held is False:
                return None
            if held is None:
                return self.unread
        if not undecided:
            return self.decision
        # A rule that grants something holds only where that is certain; one that takes something away, also in doubt.
        return None if self.effect == "allow" else self.undecided


class Compiler:
    """Makes the rules of one policy ready; ``flaws`` are what can't be meant: the key, what is wrong, the way out."""

    def __init__(self, defaults: Defaults, digest: str) -> None:
        self.flaws: list[tuple[str, str, str]] = []
        self._defaults = defaults
        self._digest = digest

    def compile(self, rule: Rule, where: str, *, floor: bool) -> CompiledRule:
        """Make a rule ready; what is wrong with it goes to the flaws."""
        self.flaws += ((f"{where}{key}", what, hint) for key, what, hint in _contradictions(rule, floor=floor))
        effect: Effect = rule.effect or "deny"
        limits = self._limits(rule, where)

        def decided(effect: Effect, reason: str) -> Decision:
            allowing = effect != "deny"
            return Decision(
                effect=effect,
                rule=rule.id,
                reason=reason,
                policy=self._digest,
                limits=limits if allowing else Limits(),
                approval_ttl=(rule.approval_ttl or self._defaults.approval_ttl) if effect == "ask" else None,
            )

        return CompiledRule(
            rule=rule,
            floor=floor,
            effect=effect,
            of_tool=self._of_tool(rule, effect, where),
            of_caller=_of_caller(rule),
            of_call=self._of_call(rule, effect, where),
            session=for_session(rule.session) if rule.session is not None else None,
            decision=decided(effect, "rule"),
            undecided=decided("deny", UNDECIDED),
            unread=decided("deny", UNREAD),
        )

    def _of_tool(self, rule: Rule, effect: Effect, where: str) -> Sequence[Condition]:
        found = []
        try:
            found.append(for_tools(rule.tools, strict=effect != "allow"))
        except ValueError as error:
            self.flaws.append((f"{where}.tools", str(error), ""))
        if rule.tags is not None:
            found.append(some_of("one of its tags is", "tags", rule.tags))
        if rule.flags is not None:
            found.append(some_of("it has the safety flag", "flags", rule.flags))
        if effect == "allow":
            found.append(granted(self._flags(rule)))
        return found

    def _flags(self, rule: Rule) -> set[str]:
        """Return the safety flags that a tool may have."""
        return {*rule.grants, *(flag for flag in SAFETY_FLAGS if getattr(self._defaults, flag))}

    def _of_call(self, rule: Rule, effect: Effect, where: str) -> Sequence[Condition]:
        found = []
        if effect == "ask":
            # Else a rule further down that allows would open what was to be asked about.
            found.append(granted(self._flags(rule), otherwise=None))
        for path, wanted in rule.arguments.items():
            try:
                found.append(for_argument(path, wanted))
            except ValueError as error:
                self.flaws.append((f"{where}.arguments.{path}", str(error), ""))
        for key, schema, fits in (("schema", rule.schema, True), ("unless_schema", rule.unless_schema, False)):
            if schema is not None:
                try:
                    found.append(for_schema(schema, fits=fits))
                except ValueError as error:
                    self.flaws.append((f"{where}.{key}", str(error), ""))
        return found

    def _limits(self, rule: Rule, where: str) -> Limits:
        rate = None
        if rule.rate is not None:
            try:
                rate = rate_of(rule.rate)
            except ValueError as error:
                self.flaws.append((f"{where}.rate", str(error), ""))
        return Limits(
            timeout=rule.timeout or self._defaults.timeout,
            concurrency=rule.concurrency or self._defaults.concurrency,
            rate=rate,
            cpu_percent=rule.cpu_percent or self._defaults.cpu_percent,
            memory=rule.memory or self._defaults.memory,
        )


def _of_caller(rule: Rule) -> Sequence[Condition]:
    found = []
    if rule.principals is not None:
        found.append(one_of("principal", "principal.name", rule.principals))
    if rule.kinds is not None:
        found.append(one_of("kind of principal", "principal.kind", rule.kinds))
    if rule.roles is not None:
        found.append(some_of("one of its principal's roles is", "principal.roles", rule.roles))
    if rule.agents is not None:
        found.append(one_of("agent", "agent", rule.agents))
    return found


def _contradictions(rule: Rule, *, floor: bool) -> Sequence[tuple[str, str, str]]:
    """Return what a rule says that can't be meant: the key, what is wrong, and the way out."""
    found = []
    if floor and rule.effect not in (None, "deny"):
        found.append((".effect", "stands under `deny`, and does something else", "move the rule to `rules`"))
    if floor and rule.shadow:
        found.append((".shadow", "stands under `deny`, where nothing is only tried", "move the rule to `rules`"))
    if not floor and rule.effect is None:
        found.append((".effect", "is missing", "say allow, deny or ask"))
    effect = rule.effect or "deny"
    if effect == "deny":
        given = ("grants", "timeout", "rate", "concurrency", "cpu_percent", "memory")
        found += [
            (f".{key}", "is for rules that allow or ask, and this one denies", "take it away")
            for key in given
            if getattr(rule, key)
        ]
    if effect != "ask" and rule.approval_ttl is not None:
        found.append((".approval_ttl", "is for rules that ask", "take it away, or say `effect: ask`"))
    if effect != "allow" and rule.schema is not None:
        # Arguments of another kind would fit no such schema, and so slip past.
        found.append((".schema", "is for rules that allow", "say `unless_schema`, and what is in order"))
    if effect == "allow" and rule.unless_schema is not None:
        found.append((".unless_schema", "is for rules that deny or ask", "say `schema`, and what is in order"))
    return found
