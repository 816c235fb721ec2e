"""What rules decide: the first that holds, after the floor; and what is no rule's business opens nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import msgspec
import pytest

from tta_http import Principal
from tta_sessions import Consent, Flags
from tta_tool_policy import SAFETY_FLAGS, Engine, Limits, PolicyError, Rate, ToolCall, read_policy
from tta_tool_policy.reading import Overrides

OPS = Principal("ann", "key", ("operator", "night"))


def engine(rules: str, *, above: str = "", overrides: Overrides | None = None) -> Engine:
    """Return an engine of rules, each a flow mapping in a line of its own."""
    lines = [f"  - {{id: r{number}, {rule}}}" for number, rule in enumerate(filter(None, rules.strip().splitlines()))]
    return read_policy("\n".join(["version: 1", above, "rules:", *lines, "...", ""]), "p.yaml", overrides=overrides)


def call(tool: str = "dice", version: str = "1.0.0", **given: Any) -> ToolCall:
    return ToolCall(tool=tool, version=version, **given)


def decided(engine: Engine, call: ToolCall) -> str:
    found = engine.decide(call)
    explained = engine.explain(call)
    assert explained.decision == found
    deciding = [reason for reason in explained.rules if reason.decides]
    # What explains a decision must not be another one: a rule that decides holds, or denies in doubt.
    assert all(reason.holds or (reason.holds is None and found.effect == "deny") for reason in deciding)
    return f"{found.effect} {found.rule}"


def test_the_first_rule_that_holds_decides_and_none_denies() -> None:
    policy = engine("""
        effect: deny, tools: ["math.*"], roles: [night]
        effect: allow, tools: [math.add]
        effect: ask, tools: ["math.*"]
    """)
    assert decided(policy, call("math.add")) == "allow r1"
    assert decided(policy, call("math.add", principal=OPS)) == "deny r0"
    assert decided(policy, call("math.div")) == "ask r2"
    assert decided(policy, call("dice")) == "deny default"
    assert decided(read_policy("version: 1\n...", "p"), call()) == "deny default"


def test_the_floor_goes_before_every_rule_wherever_it_stands() -> None:
    text = "version: 1\nrules: [{id: all, effect: allow, tools: ['*']}]\ndeny: [{id: never, tools: [shell]}]\n...\n"
    policy = read_policy(text, "p")
    assert (decided(policy, call("shell")), decided(policy, call("dice"))) == ("deny never", "allow all")


@pytest.mark.parametrize(
    ("pattern", "allowed", "denied"),
    [
        ("kg.query", ["kg.query 2.0.0"], ["kg.query2 1.0.0", "kg 1.0.0", "KG.query 1.0.0"]),
        ("kg.*", ["kg.query 1.0.0", "kg.a.b 1.0.0"], ["kg 1.0.0", "kgx 1.0.0", "kgxquery 1.0.0"]),
        ("kg.query:*", ["kg.query 3.0.0-rc.1"], []),
        ("kg.query:1.*", ["kg.query 1.0.0", "kg.query 1.10.0"], ["kg.query 2.0.0", "kg.query 1.1.0-rc.1"]),
        ("kg.query:>=1.9,<2", ["kg.query 1.10.0"], ["kg.query 1.8.9", "kg.query 2.0.0-rc.1"]),
    ],
)
def test_a_pattern_names_tools_and_ranges_of_semantic_versions(
    pattern: str, allowed: list[str], denied: list[str]
) -> None:
    policy = engine(f'effect: allow, tools: ["{pattern}"]')
    assert {decided(policy, call(*each.split())) for each in allowed} == {"allow r0"}
    assert {decided(policy, call(*each.split())) for each in denied} <= {"deny default"}


def test_a_pre_release_does_not_slip_past_a_rule_that_denies_its_version() -> None:
    policy = engine("""
        effect: deny, tools: ["kg.query:1.*"]
        effect: allow, tools: ["kg.*:*"]
    """)
    assert decided(policy, call("kg.query", "1.2.0-rc.1")) == "deny r0"


def test_nor_past_one_that_denies_all_before_a_version() -> None:
    policy = engine("""
        effect: deny, tools: ["kg.query:<2"]
        effect: allow, tools: ["kg.*:*"]
    """)
    assert decided(policy, call("kg.query", "2.0.0-rc.1")) == "deny r0"
    assert decided(policy, call("kg.query", "2.0.0")) == "allow r1"


@pytest.mark.parametrize("name", ["", "d\u0131ce", "\uff44ice", "dice ", "dice\n", "x" * 129, "\ud800", "di/ce"])
def test_a_name_or_a_version_that_is_none_is_denied_before_any_rule(name: str) -> None:
    policy = engine('effect: allow, tools: ["*"]')
    assert policy.decide(call(name)).reason == "invalid-tool"
    assert policy.decide(call("dice", name)).reason == "invalid-version"


def test_safety_flags_against_all_that_defaults_and_rules_can_say_of_them() -> None:
    subsets = [tuple(flag for flag, there in zip(SAFETY_FLAGS, each, strict=True) if there)
               for each in product([True, False], repeat=3)]  # fmt: skip
    for defaults, grants in product(product([True, False, None], repeat=3), subsets):
        said: dict[str, Any] = dict(zip(SAFETY_FLAGS, defaults, strict=True))
        policy = engine(f'effect: allow, tools: ["*"], grants: [{", ".join(grants)}]', overrides=Overrides(**said))
        for flags in subsets:
            may = all(said[flag] is not False and (said[flag] or flag in grants) for flag in flags)
            assert policy.decide(call(flags=flags)).allowed is may, (said, grants, flags)
        assert policy.decide(call(flags=("shell",))).reason == "unknown-flag"


def test_callables_are_asked_about_only_where_they_are_listed() -> None:
    rule = 'effect: allow, tools: ["*"]'
    listed = engine(rule, above="defaults: {callables: ['house.dice:roll', house.add.plus]}")
    empty = engine(rule, above="defaults: {callables: []}")
    names = ("house.dice:roll", "house.dice.roll", "house.add:plus", "os:system", "")
    for name, there in zip(names, (True, True, True, False, False), strict=True):
        assert engine(rule).decide(call(callable=name)).allowed
        assert listed.decide(call(callable=name)).allowed is there
        assert not empty.decide(call(callable=name)).allowed


def test_who_asks_is_named_by_principal_kind_role_and_agent() -> None:
    policy = engine("""
        effect: allow, tools: [a], principals: ["ann", "bo*"], kinds: [key]
        effect: allow, tools: [b], roles: [night]
        effect: allow, tools: [c], agents: ["*"]
        effect: allow, tools: [d], kinds: [anonymous]
    """)
    bob = Principal("bob", "oidc")
    assert decided(policy, call("a", principal=OPS)) == "allow r0"
    assert decided(policy, call("a", principal=bob)) == "deny default"
    assert decided(policy, call("b", principal=OPS)) == "allow r1"
    assert decided(policy, call("b", principal=bob)) == "deny default"
    assert decided(policy, call("c", agent="narrator")) == "allow r2"
    assert decided(policy, call("c")) == "deny default"
    assert decided(policy, call("d")) == "allow r3"
    assert decided(policy, call("d", principal=bob)) == "deny default"


def test_limits_are_the_rules_else_the_defaults_and_a_denial_has_none() -> None:
    policy = engine(
        """
        effect: ask, tools: [dice], timeout: 250ms, rate: 30/min, concurrency: 2
        effect: allow, tools: [other]
        """,
        above="defaults: {timeout: 2s, memory: 64MB, cpu_percent: 50, approval_ttl: 5m}",
    )
    asked = policy.decide(call())
    assert asked.limits == Limits(timeout=0.25, concurrency=2, rate=Rate(30, 60.0), cpu_percent=50, memory=64_000_000)
    assert (asked.approval_ttl, str(asked.limits.rate)) == (300.0, "30/min")
    assert policy.decide(call("other")).limits == Limits(timeout=2.0, cpu_percent=50, memory=64_000_000)
    assert policy.decide(call("none")).limits == Limits()


def test_flags_of_the_session_deny_where_a_rule_names_them_and_they_can_not_be_read() -> None:
    policy = engine("""
        effect: deny, tools: [dice], session: {paused: true}
        effect: allow, tools: [dice], session: {age_band: [adult], contact: true, country: [GB, "D*"]}
        effect: allow, tools: [other]
    """)
    adult = Flags(age_band="adult", country="DE", consent=Consent(contact=True))
    assert decided(policy, call(session_flags=adult)) == "allow r1"
    assert decided(policy, call(session_flags=msgspec.structs.replace(adult, paused=True))) == "deny r0"
    assert decided(policy, call(session_flags=Flags())) == "deny default"
    unread = policy.decide(call())
    assert (unread.effect, unread.rule, unread.reason) == ("deny", "r0", "session-unread")
    assert policy.decide(call("other")).allowed
    assert (policy.reads_flags("dice"), policy.reads_flags("other")) == (True, False)


def test_a_shadow_is_told_and_decides_nothing() -> None:
    policy = engine("""
        effect: deny, tools: [dice], shadow: true
        effect: ask, tools: ["*"], shadow: true
        effect: allow, tools: [dice]
        effect: deny, tools: [dice], shadow: true
    """)
    found = policy.decide(call())
    assert (found.effect, found.rule, found.shadow) == ("allow", "r2", ("r0=deny", "r1=ask"))
    assert policy.decide(call("x")).shadow == ("r1=ask",)


PLAIN = (5, 5.0, "5", True, None, [5], {"n": 5}, -1, 101, 10**400, -(10**400), math.nan, math.inf, "rm", "\uff52m",
         "\ud800", "", b"5", (5,), object(), "a/../b", "a/b", "/etc/passwd", "a\\b", "a", "~a/b")  # fmt: skip
PREDICATES: dict[str, Callable[[Any], bool]] = {
    "type: integer": lambda v: type(v) is int,
    "type: number": lambda v: type(v) is int or (type(v) is float and math.isfinite(v)),
    "type: boolean": lambda v: type(v) is bool,
    "minimum: 0, maximum: 100": lambda v: type(v) in (int, float) and 0 <= v <= 100,
    "in: [5, 7]": lambda v: type(v) in (int, float) and v == 5,
    "in: [true]": lambda v: v is True,
    "in: [rm, a]": lambda v: v in ("rm", "a") and type(v) is str,
    "not_in: [rm]": lambda v: type(v) is str and v.isascii() and v != "rm",
    "max_length: 1": lambda v: type(v) in (str, list, dict) and len(v) <= 1,
    "pattern: '[a-z]+'": lambda v: v in ("rm", "a"),
    "under: a": lambda v: v == "a/b",
}


@pytest.mark.parametrize("predicate", PREDICATES)
def test_no_kind_of_value_opens_a_rule_that_it_is_not_for(predicate: str) -> None:
    holds = PREDICATES[predicate]
    opening = engine(f"effect: allow, tools: [dice], arguments: {{n: {{{predicate}}}}}")
    for value in PLAIN:
        assert opening.decide(call(arguments={"n": value})).allowed is bool(holds(value)), ascii(value)
    assert not opening.decide(call(arguments={})).allowed


@pytest.mark.parametrize("effect", ["deny", "ask"])
@pytest.mark.parametrize("bad", ["minimum: 101", "not_in: [5, 7]", "in: [rm]", "pattern: 'r.*'", "min_length: 2"])
def test_no_kind_of_value_slips_past_a_rule_that_denies_or_asks(effect: str, bad: str) -> None:
    policy = engine(f"""
        effect: {effect}, tools: [dice], arguments: {{n: {{{bad}}}}}
        effect: allow, tools: [dice]
    """)
    for value in PLAIN:
        if not policy.decide(call(arguments={"n": value})).allowed:
            continue
        # Only a value of the kind that the rule speaks of, and of which it says nothing, comes through.
        kinds = (int, float) if any(char.isdigit() for char in bad) and "length" not in bad else (str, list, dict)
        assert type(value) in kinds, ascii(value)
        assert type(value) is not float or math.isfinite(value)
    assert policy.decide(call(arguments={})).reason == "undecided"


@pytest.mark.parametrize(
    ("bad", "value"),
    [
        ("type: string, in: [rm]", "\uff52m"),
        ("type: string, in: [rm]", "\ud800"),
        ("type: number, minimum: 101", math.inf),
        ("type: integer, minimum: 100", 100.0),
    ],
)
def test_a_type_lets_nothing_slip_past_that_may_be_of_that_type(bad: str, value: object) -> None:
    policy = engine(f"""
        effect: deny, tools: [dice], arguments: {{n: {{{bad}}}}}
        effect: allow, tools: [dice]
    """)
    assert decided(policy, call(arguments={"n": value})) == "deny r0"
    assert policy.decide(call(arguments={"n": True})).allowed


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        ("a*", ["a", "ab", "a\n"], ["", "ba"]),
        ("*a", ["a", "aa", "ba"], ["ab"]),
        ("a*a", ["aa", "aba", "aaa"], ["a", "ab"]),
        ("a**b*c", ["abc", "axbxbc", "abcc"], ["ac", "acb"]),
        ("*b*", ["b", "abc"], ["", "ac"]),
        ("*.*", [".", "a.b"], ["ab"]),
        ("**", ["", "a"], []),
        ("*a" * 90 + "*b", ["a" * 90 + "b"], ["a" * 200]),
    ],
)
def test_stars_stand_for_any_characters_and_cost_no_more_however_many_they_are(
    pattern: str, fits: list[str], fits_not: list[str]
) -> None:
    policy = engine(f"effect: allow, tools: [dice], principals: ['{pattern}']")
    for name in filter(None, (*fits, *fits_not)):
        assert policy.decide(call(principal=Principal(name, "key"))).allowed is (name in fits), name


def test_arguments_that_lie_in_others_are_found_and_those_that_are_not_there_count_as_said() -> None:
    policy = engine("""
        effect: allow, tools: [dice], arguments: {"a.depth": {maximum: 3}, "seed": {type: integer, missing: holds}}
    """)
    assert policy.decide(call(arguments={"a": {"depth": 3}})).allowed
    assert not policy.decide(call(arguments={"a": {"depth": 4}})).allowed
    assert not policy.decide(call(arguments={"a": [3]})).allowed
    assert not policy.decide(call(arguments={"a": {"depth": 3}, "seed": "x"})).allowed


SCHEMA = "{type: object, properties: {n: {type: integer, maximum: 10}}, required: [n], additionalProperties: false}"
DEEP: Any = {}
for _ in range(100_000):
    DEEP = {"a": DEEP}


UNFIT: list[Any] = [
    {"n": 11}, {}, {"n": 3, "x": 1}, {"n": True}, {"n": "3"}, {"n": math.nan}, {"n": -(10**400)}, {"n": 3, 4: 5},
    {"n": object()}, DEEP, [3], None,
]  # fmt: skip


def test_what_does_not_fit_a_schema_is_neither_allowed_by_it_nor_slips_past_it() -> None:
    opening = engine(f"effect: allow, tools: [dice], schema: {SCHEMA}")
    closing = engine(f"""
        effect: deny, tools: [dice], unless_schema: {SCHEMA}
        effect: allow, tools: [dice]
    """)
    for policy in (opening, closing):
        assert policy.decide(call(arguments={"n": 3})).allowed
        assert [number for number, each in enumerate(UNFIT) if policy.decide(call(arguments=each)).allowed] == []


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ("{propertys: {n: {maximum: 10}}}", "'propertys' was unexpected"),
        ("{properties: {n: {maximun: 10}}}", "'maximun' was unexpected"),
        ("{allOf: [{not: {requried: [n]}}]}", "'requried' was unexpected"),
        ("{properties: {n: {format: emial}}}", "Unknown format"),
        ("{$ref: 'https://example.org/x'}", "stands elsewhere"),
    ],
)
def test_a_schema_that_would_check_nothing_is_refused(schema: str, told: str) -> None:
    with pytest.raises(PolicyError, match=told):
        engine(f"effect: allow, tools: [dice], schema: {schema}")


def test_a_format_in_a_schema_is_checked() -> None:
    policy = engine("effect: allow, tools: [dice], schema: {properties: {n: {format: uri}}}")
    assert policy.decide(call(arguments={"n": "https://example.org"})).allowed
    assert not policy.decide(call(arguments={"n": "example"})).allowed


def test_a_call_that_is_none_is_denied_and_raises_nothing() -> None:
    policy = engine('effect: allow, tools: ["*"]')
    odd: Any
    for odd in (5, None, ["dice"], object(), b"dice", math.nan):
        for field in ("tool", "version", "flags", "tags", "callable", "arguments", "principal", "agent"):
            found = policy.decide(msgspec.structs.replace(call(), **{field: odd}))
            assert found.effect == "deny", (field, odd)
    assert policy.decide(odd).effect == "deny"


def test_the_hash_names_what_is_said_and_not_how_it_is_written() -> None:
    one = engine("effect: allow, tools: [dice], why: x")
    same = read_policy(
        '{"rules": [{"why": "x", "tools": ["dice"], "effect": "allow", "id": "r0"}], "version": 1}', "p", "json"
    )
    other = engine("effect: allow, tools: [dice], why: x", overrides=Overrides(timeout=1.0))
    assert one.digest == same.digest != other.digest
    assert one.decide(call()).policy == one.digest


@pytest.mark.parametrize(("granted", "said"), [("", "deny r0"), ("network", "ask r0")])
def test_what_was_to_be_asked_about_is_not_opened_by_a_rule_further_down(granted: str, said: str) -> None:
    policy = engine(f"""
        effect: ask, tools: ["*"], grants: [{granted}]
        effect: allow, tools: ["*"], grants: [network, filesystem]
    """)
    assert decided(policy, call(flags=("network",))) == said
    assert decided(policy, call(flags=("filesystem",))) == "deny r0"
    assert decided(policy, call()) == "ask r0"
