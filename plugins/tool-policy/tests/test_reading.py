"""A policy's text is taken whole, or refused with every problem where it stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tta_http import Principal
from tta_tool_policy import PolicyError, ToolCall, read_policy
from tta_tool_policy.config import PRESETS
from tta_tool_policy.reading import Format, read_file

NARROW = """\
version: 1
defaults:
  timeout: 250ms
deny:
  - id: never
    tools: [shell]
rules:
  - id: dice
    effect: allow
    tools: ["dice:1.*"]
    roles: [operator]
    arguments:
      sides: {type: integer, minimum: 1, maximum: 100}
    rate: 30/min
  - id: rest
    effect: ask
    tools: ["math.*"]
    principals: [ann]
...
"""
CALLS = [
    ToolCall(tool=tool, version="1.0.0", arguments=arguments, principal=principal)
    for tool in ("dice", "shell", "math.add", "other")
    for arguments in ({}, {"sides": 6}, {"sides": 1000})
    for principal in (Principal("ann", "key"), Principal("bob", "key", ("operator",)))
]


def opened(text: str, format: Format) -> set[int]:
    """Return the numbers of the calls that are not denied; none where the text is refused."""
    try:
        engine = read_policy(text, "p", format)
    except PolicyError:
        return set()
    return {number for number, call in enumerate(CALLS) if engine.decide(call).effect != "deny"}


@pytest.mark.parametrize("format", ["yaml", "json"])
def test_wherever_a_text_is_cut_it_opens_nothing_more(format: Format) -> None:
    whole = NARROW
    if format == "json":
        engine = read_policy(NARROW, "p")
        whole = json.dumps({
            "version": 1, "deny": [{"id": "never", "tools": ["shell"]}],
            "rules": [
                {"id": "dice", "effect": "allow", "tools": ["dice:1.*"], "roles": ["operator"],
                 "arguments": {"sides": {"type": "integer", "minimum": 1, "maximum": 100}}},
                {"id": "rest", "effect": "ask", "tools": ["math.*"], "principals": ["ann"]},
            ],
        })  # fmt: skip
        assert engine.decide(CALLS[0]) is not None
    may = opened(whole, format)
    assert may
    for length in range(len(whole)):
        assert opened(whole[:length], format) <= may
        assert opened(whole[:length] + "\x00" * (len(whole) - length), format) <= may  # as after a loss of power
        assert opened(whole[length:], format) <= may


@pytest.mark.parametrize(
    ("wrong", "where", "what"),
    [
        ("toolz: [x]", "p.yaml:14: rule dice: toolz", "did you mean 'tools'?"),
        ("tools: ['kg:frog']", "p.yaml:10: rule dice: tools", "'frog' is not like"),
        ("tools: ['di ce']", "p.yaml:10: rule dice: tools", "is no pattern of tools"),
        ("roles: []", "p.yaml:11: rule dice: roles", "got an empty list"),
        ("effect: maybe", "p.yaml:9: rule dice: effect", "allow"),
        ("rate: 30/fortnight", "p.yaml:14: rule dice: rate", "such as '30/min'"),
        ("arguments: {n: {pattern: '('}}", "p.yaml:12: rule dice: arguments.n", "can't be read"),
        ("arguments: {n: {in: [.nan]}}", "p.yaml:12: rule dice: arguments.n", "finite"),
        ("arguments: {n: {under: ../x}}", "p.yaml:12: rule dice: arguments.n", "without '..'"),
        ("schema: {type: nope}", "rule dice: schema", "is no JSON Schema"),
        ("schema: {$ref: 'https://example.org/x'}", "rule dice: schema", "is no JSON Schema"),
        ("unless_schema: {}", "rule dice: unless_schema", "say `schema`"),
        ("approval_ttl: 5m", "rule dice: approval_ttl", "for rules that ask"),
        ("id: never", "p.yaml:8: rule never: id", "another rule has this id"),
        ("timeout: -1", "rule dice: timeout", "duration"),
    ],
)
def test_a_problem_names_file_line_rule_and_what_to_do(wrong: str, where: str, what: str) -> None:
    key = wrong.partition(":")[0]
    lines = NARROW.splitlines()
    at = next((n for n, line in enumerate(lines) if n >= 7 and line.strip(" -").startswith(f"{key}:")), None)
    if at is None:
        lines.insert(13, f"    {wrong}")
    else:
        lines[at] = lines[at][: len(lines[at]) - len(lines[at].lstrip(" -"))] + wrong
        if key == "arguments":
            del lines[at + 1]
    with pytest.raises(PolicyError) as caught:
        read_policy("\n".join(lines), "p.yaml")
    told = [str(problem) for problem in caught.value.problems]
    assert any(where in each and what in each for each in told), told


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("version: 1\n", "doesn't end with a line ..."),
        ("- 1\n...\n", "expected a mapping"),
        ("rules: []\n...\n", "version: is missing"),
        ("version: 2\n...\n", "version"),
        ("version: 1\na: &x 1\nb: *x\n...\n", "aliases are refused"),
        ("version: 1\nrules: !!python/object:os.system x\n...\n", "tags are refused"),
        ("version: 1\nversion: 1\n...\n", "is there twice"),
        ("version: 1\n...\n---\nversion: 1\nrules: []\n...\n", "YAML"),
        ("callable_allowlist: []\nversion: 1\n...\n", "it is `callables` under `defaults` now"),
        ("version: 1\nrules:\n" + "  - {id: x, effect: allow, tools: [x]}\n" * 1001 + "...\n", "1000"),
        ("[" * 100_000, "cannot be read"),
        ("#" * 2_000_001, "more than"),
    ],
)
def test_what_is_no_policy_is_refused(text: str, what: str) -> None:
    with pytest.raises(PolicyError) as caught:
        read_policy(text, "p.yaml")
    assert what in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nrules: [" + "[]," * 660_000 + "]\n...\n",
        "version: 1\n" + "".join(f"k{number}: 1\n" for number in range(180_000)) + "...\n",
    ],
)
def test_a_text_with_too_many_values_is_refused_before_each_of_them_is_looked_at(text: str) -> None:
    with pytest.raises(PolicyError, match="has more than 100,000 values"):
        read_policy(text, "p.yaml")


def test_of_very_many_problems_the_first_are_told() -> None:
    with pytest.raises(PolicyError) as caught:
        read_policy("version: 1\nrules: [" + "[]," * 5000 + "]\n...\n", "p.yaml")
    assert len(caught.value.problems) == 101
    assert "4900 problems more" in str(caught.value)


@pytest.mark.parametrize("text", ['{"version": 1, "version": 1}', '{"version": NaN}', "[" * 100_000, "{", "nul"])
def test_what_is_no_json_is_refused_and_tabs_are_no_harm(text: str) -> None:
    with pytest.raises(PolicyError, match="is no JSON"):
        read_policy(text, "p.json", "json")
    assert read_policy('{\n\t"version": 1\n}', "p.json", "json").decide(CALLS[0]).effect == "deny"


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_preset_is_a_policy_that_starts_no_process(path: Path) -> None:
    engine = read_policy(read_file(path), str(path))
    calls = [ToolCall(tool="dice.roll", version="1.0.0", flags=flags, agent="a") for flags in ((), ("process",))]
    assert [engine.decide(call).effect for call in calls] == ["allow", "deny"]
