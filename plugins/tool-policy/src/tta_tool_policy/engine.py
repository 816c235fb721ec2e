"""Decides about calls by the rules of one policy: the first that holds, from top to bottom; none, and it is denied.

Most of what rules ask is the same for every call of a tool, or of a principal. So for each of these it is worked out
once which rules may concern it, as the bits of a number; a call is left with the few that stand in both, and with what
these ask of its arguments and its session.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from tta_capabilities.versions import version
from tta_kernel import as_failure

from .model import SAFETY_FLAGS, Decision, Effect, Explanation, Limits, Reason, ToolCall
from .predicates import (
    Condition,
    Held,
    all_of,
    for_argument,
    for_schema,
    for_session,
    for_tools,
    granted,
    names_tool,
    one_of,
    some_of,
)
from .rules import Defaults, PolicyText, Rule, rate_of

_TOOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_KEPT = 16_384
"""Tools, and principals, for which it is remembered which rules may concern them."""
BEFORE_RULES = "policy"
"""Stands for a rule where a call is denied before any is asked."""
UNDECIDED = "undecided"
UNREAD = "session-unread"


class _Compiled(NamedTuple):
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


class Engine:
    """One policy, made ready: it never changes, so each decision is made by a whole one.

    ``flaws`` are what keeps it from being used, by the key in the text where each stands; ask nothing of it then.
    """

    def __init__(self, text: PolicyText, digest: str) -> None:
        self.text = text
        self.digest = digest
        self.flaws: list[tuple[str, str, str]] = []
        self._rules: list[_Compiled] = []
        for section, rules in (("deny", text.deny), ("rules", text.rules)):
            for number, rule in enumerate(rules):
                self._add(rule, f"{section}.{number}", floor=section == "deny")
        self._callables = _callables(text.defaults)
        self._closed = [flag for flag in SAFETY_FLAGS if getattr(text.defaults, flag) is False]
        self._default = self._denied("default", "no-rule")
        self._failed = self._denied(BEFORE_RULES, "failed")
        self._arguments = self._denied(BEFORE_RULES, "invalid-arguments")
        self._by_tool: dict[Any, tuple[int, Decision | None]] = {}
        self._by_caller: dict[Any, int] = {}
        self._by_name: dict[Any, bool] = {}

    def decide(self, call: ToolCall) -> Decision:
        """Decide about a call; raises nothing, and what it can't decide it denies."""
        try:
            return self._decide(call)
        except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
            as_failure(exc)
            return self._failed

    def reads_flags(self, tool: str) -> bool:
        """Say whether a rule that may concern a tool asks for flags of the session."""
        found = self._by_name.get(tool)
        if found is None:
            found = any(each.session and names_tool(each.rule.tools, tool) for each in self._rules)
            _keep(self._by_name, tool, found)
        return found

    def concerning(self, call: ToolCall) -> Iterator[Rule]:
        """Yield the rules that may decide about a call, but for what they ask of its arguments and its session."""
        if self._refusal(call) is not None:
            return
        for each in self._rules:
            asked = (*each.of_tool, *each.of_caller)
            if not each.rule.shadow and all(condition.holds(call) for condition in asked):
                yield each.rule

    def explain(self, call: ToolCall) -> Explanation:
        """Decide, and say of each rule why it holds or doesn't."""
        decision = self.decide(call)
        reasons = []
        for each in self._rules:
            asked = [*each.of_tool, *each.of_caller, *each.of_call, *([each.session] if each.session else [])]
            found = [(condition.what, _quietly(condition, call)) for condition in asked]
            reasons.append(
                Reason(
                    rule=each.rule.id,
                    section="deny" if each.floor else "rules",
                    effect=each.effect,
                    holds=all_of(held for _, held in found),
                    decides=decision.rule == each.rule.id,
                    shadow=each.rule.shadow,
                    failed=tuple(what for what, held in found if held is False),
                    undecided=tuple(what for what, held in found if held is None),
                )
            )
        return Explanation(decision=decision, rules=tuple(reasons))

    def _decide(self, call: ToolCall) -> Decision:
        key = (call.tool, call.version, call.callable, call.flags, call.tags)
        found = self._by_tool.get(key)
        if found is None:
            found = self._tool(key, call)
        of_tool, refusal = found
        if refusal is not None:
            return refusal
        principal = call.principal
        caller = (principal.name, principal.kind, principal.roles, call.agent)
        of_caller = self._by_caller.get(caller)
        if of_caller is None:
            of_caller = self._caller(caller, call)
        if type(call.arguments) is not dict:
            return self._arguments
        left = of_tool & of_caller
        shadow: tuple[str, ...] = ()
        while left:
            lowest = left & -left  # The lowest bit that is set: the uppermost rule of those that are left.
            left ^= lowest
            each = self._rules[lowest.bit_length() - 1]
            decision = _outcome(each, call)
            if decision is None:
                continue
            if each.rule.shadow:
                shadow += (f"{each.rule.id}={decision.effect}",)
                continue
            return replace(decision, shadow=shadow) if shadow else decision
        return replace(self._default, shadow=shadow) if shadow else self._default

    def _tool(self, key: tuple[Any, ...], call: ToolCall) -> tuple[int, Decision | None]:
        refusal = self._refusal(call)
        found = 0 if refusal else self._bits(call, "of_tool")
        _keep(self._by_tool, key, (found, refusal))
        return found, refusal

    def _caller(self, key: tuple[Any, ...], call: ToolCall) -> int:
        if not all(type(each) is str for each in (*call.principal.roles, call.principal.name, call.agent)):
            raise TypeError("a principal is named by texts")
        found = self._bits(call, "of_caller")
        _keep(self._by_caller, key, found)
        return found

    def _bits(self, call: ToolCall, part: Literal["of_tool", "of_caller"]) -> int:
        found = 0
        for number, each in enumerate(self._rules):
            if all(condition.holds(call) for condition in getattr(each, part)):
                found |= 1 << number
        return found

    def _refusal(self, call: ToolCall) -> Decision | None:
        """Return what is said of a tool before any rule is asked; None where the rules are to be asked."""
        texts = (call.tool, call.version, call.callable, *call.flags, *call.tags)
        if not all(type(each) is str for each in texts) or not _TOOL.fullmatch(call.tool):
            return self._denied(BEFORE_RULES, "invalid-tool")
        try:
            version(call.version)
        except ValueError:
            return self._denied(BEFORE_RULES, "invalid-version")
        for flag in call.flags:
            if flag not in SAFETY_FLAGS:
                return self._denied(BEFORE_RULES, "unknown-flag")
            if flag in self._closed:
                return self._denied(f"defaults.{flag}", f"{flag}-disabled")
        if self._callables is not None and not self._callables(call.callable):
            return self._denied("defaults.callables", "callable-not-listed")
        return None

    def _denied(self, rule: str, reason: str) -> Decision:
        return Decision(effect="deny", rule=rule, reason=reason, policy=self.digest)

    def _add(self, rule: Rule, where: str, *, floor: bool) -> None:
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
                policy=self.digest,
                limits=limits if allowing else Limits(),
                approval_ttl=(rule.approval_ttl or self.text.defaults.approval_ttl) if effect == "ask" else None,
            )

        self._rules.append(
            _Compiled(
                rule=rule,
                floor=floor,
                effect=effect,
                of_tool=[*self._of_tool(rule, effect, where)],
                of_caller=[*_of_caller(rule)],
                of_call=[*self._of_call(rule, where)],
                session=for_session(rule.session) if rule.session is not None else None,
                decision=decided(effect, "rule"),
                undecided=decided("deny", UNDECIDED),
                unread=decided("deny", UNREAD),
            )
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
        if effect != "deny":
            defaults = [flag for flag in SAFETY_FLAGS if getattr(self.text.defaults, flag)]
            found.append(granted({*rule.grants, *defaults}))
        return found

    def _of_call(self, rule: Rule, where: str) -> Sequence[Condition]:
        found = []
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
        defaults = self.text.defaults
        rate = None
        if rule.rate is not None:
            try:
                rate = rate_of(rule.rate)
            except ValueError as error:
                self.flaws.append((f"{where}.rate", str(error), ""))
        return Limits(
            timeout=rule.timeout or defaults.timeout,
            concurrency=rule.concurrency or defaults.concurrency,
            rate=rate,
            cpu_percent=rule.cpu_percent or defaults.cpu_percent,
            memory=rule.memory or defaults.memory,
        )


def _outcome(each: _Compiled, call: ToolCall) -> Decision | None:
    """Return what a rule decides about a call that it may concern; None where it doesn't hold."""
    undecided = False
    for condition in each.of_call:
        held = condition.holds(call)
        if held is False:
            return None
        undecided = undecided or held is None
    if each.session is not None:
        held = each.session.holds(call)
        if held is False:
            return None
        if held is None:
            return each.unread
    if not undecided:
        return each.decision
    # A rule that grants something holds only where that is certain; one that takes something away, also in doubt.
    return None if each.effect == "allow" else each.undecided


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


def _callables(defaults: Defaults) -> Any:
    """Return what says whether a function may be run; None where nobody asks."""
    if defaults.callables is None:
        return None
    # The predecessor wrote a dot for the colon.
    known = frozenset(name.replace(":", ".") for name in defaults.callables)
    return lambda name: bool(name) and name.replace(":", ".") in known


def _quietly(condition: Condition, call: ToolCall) -> Held:
    try:
        return condition.holds(call)
    except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
        as_failure(exc)
        return None


def _keep(cache: dict[Any, Any], key: Any, value: Any) -> None:
    if len(cache) >= _KEPT:
        cache.clear()
    cache[key] = value


def rules_by_id(text: PolicyText) -> Mapping[str, Rule]:
    """Return a policy's rules by their ids."""
    return {rule.id: rule for rule in (*text.deny, *text.rules)}
