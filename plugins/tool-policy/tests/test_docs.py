"""What the documentation shows is a policy, or code that runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tta_http import Principal
from tta_kernel.testing import running
from tta_sessions import Flags
from tta_tool_policy import POLICY, ToolCall, ToolPolicy, read_policy

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/tool-policy.md"
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="only in the tree")


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_policy_of_the_page_decides_as_its_comments_say() -> None:
    engine = read_policy(blocks(PAGE, "yaml")[0], "page")
    adult = Flags(age_band="adult")

    def decided(tool: str, version: str = "1.2.0", **given: Any) -> str:
        found = engine.decide(ToolCall(tool=tool, version=version, **given))
        return f"{found.effect} {found.rule}"

    teller = "narrative-generator"
    assert decided("dice", agent=teller, arguments={"sides": 6}) == "allow dice"
    assert decided("dice", agent=teller, arguments={"sides": "6"}) == "deny default"
    url = {"url": "https://weather.example.org/lisbon"}
    operator = Principal("ann", "key", ("operator",))
    assert decided("http.get", flags=("network",), arguments=url, principal=operator) == "allow weather"
    assert decided("http.get", flags=("network",), arguments=url) == "deny default"
    asked: dict[str, Any] = {"arguments": {"path": "stories/one.txt"}, "flags": ("filesystem",), "session_flags": adult}
    assert decided("file.read", **asked) == "ask files"
    assert decided("file.read", **{**asked, "arguments": {"path": "stories/.env"}}) == "deny no-secrets"
    assert decided("dice", flags=("process",)) == "deny defaults.process"


def test_the_policy_of_the_readme_is_one() -> None:
    assert read_policy(blocks(ROOT / "plugins/tool-policy/README.md", "yaml")[0], "readme").text.rules


@pytest.mark.parametrize("name", ["policy_locked_down.yaml", "policy_permissive.yaml"])
def test_the_samples_are_those_of_the_package(name: str) -> None:
    path = ROOT / "docs/configs" / name
    assert read_policy(path.read_text(encoding="utf-8"), name).text.rules


async def test_cedar_takes_part_as_the_page_shows_it(tmp_path: Path) -> None:
    [code] = blocks(PAGE, "python")
    module: dict[str, Any] = {"__name__": "tta_cedar"}
    exec(compile(code, str(PAGE), "exec"), module)
    file = tmp_path / "policy.yaml"
    text = "version: 1\nrules: [{id: all, effect: allow, tools: ['*']}]\n...\n"
    file.write_text(text)
    async with running(ToolPolicy, {"cedar": module["CedarPlugin"]}, config={"file": str(file)}) as kernel:
        policy = kernel.get(POLICY)
        allowed = await policy.decide(ToolCall(tool="dice", version="1.0.0"))
        denied = await policy.decide(ToolCall(tool="math.add", version="1.0.0"))
        odd = await policy.decide(ToolCall(tool="dice", version="1.0.0", arguments={"n": 1.5}))
    assert (allowed.effect, allowed.rule) == ("allow", "all")
    assert (denied.effect, denied.rule, denied.reason) == ("deny", "hook:cedar:cedar", "cedar-deny")
    assert odd.effect == "deny"
