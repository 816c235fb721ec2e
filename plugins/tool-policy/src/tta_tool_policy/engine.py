"""Decides about calls by the rules of one policy: the first that holds, from top to bottom; none, and it is denied.

Most of what rules ask is the same for every call of a tool, or of a principal. So for each of these it is worked out
once which rules may concern it, as the bits of a number; a call is left with the few that stand in both, and with what
these ask of its arguments and its session.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from msgspec.structs import replace

from tta_capabilities.versions import version
from tta_kernel import as_failure

from .compiling import Compiler
from .model import SAFETY_FLAGS, Decision, Explanation, Reason, ToolCall
from .predicates import Condition, Held, all_of, names_tool
from .rules import Defaults, PolicyText, Rule

_TOOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_KEPT = 16_384
"""Tools, and principals, for which it is remembered which rules may concern them."""
BEFORE_RULES = "policy"
"""Stands for a rule where a call is denied before any is asked."""


class Engine:
    """One policy, made ready: it never changes, so each decision is made by a whole one.

    ``flaws`` are what keeps it from being used, by the key in the text where each stands; ask nothing of it then.
    """

    def __init__(self, text: PolicyText, digest: str) -> None:
        self.text = text
        self.digest = digest
        compiler = Compiler(text.defaults, digest)
        self._rules = [
            *(compiler.compile(rule, f"deny.{number}", floor=True) for number, rule in enumerate(text.deny)),
            *(compiler.compile(rule, f"rules.{number}", floor=False) for number, rule in enumerate(text.rules)),
        ]
        self.flaws = compiler.flaws
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
            decision = each.outcome(call)
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
