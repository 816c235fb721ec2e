from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from tta_kernel import Kernel
from tta_kernel.testing import running
from tta_program import Subcommands
from tta_safety import SafetyPlugin
from tta_safety.layers import RulesError
from tta_safety.rules import RULES
from tta_safety.testing import MemoryRuleSource
from tta_safety_rules import SafetyRules, commands
from tta_safety_rules.importing import imported
from tta_safety_rules.loading import load_engine

OLD = """
{"rules": [
  {"id": "crisis_house", "category": "crisis_detection", "priority": 100, "level": "blocked",
   "pattern": "purple (lantern|lamp)",
   "flags": "i", "validation_type": "crisis_detection", "crisis_type": "suicidal_ideation", "sensitivity": 0.7,
   "escalation_threshold": 0.95, "alternative_template": "Let us look at the sea."},
  {"id": "sentiment_severe", "validation_type": "sentiment", "level": "warning", "category": "sentiment"}],
 "monitoring": {"enabled": true}}
"""


async def tta(config: dict[str, object], *arguments: str, shared: MemoryRuleSource | None = None) -> int:
    """Run a command as the program does, beside a kernel that runs."""
    parser = argparse.ArgumentParser()
    file = config.get("file")
    commands.add(Subcommands(parser), Path(str(file)) if file else None)
    options = parser.parse_args(["safety", *arguments])
    services = {RULES: shared} if shared is not None else {}
    kernel: Kernel = running(SafetyRules, SafetyPlugin, config=config, services=services)
    async with kernel:
        code: int = await options.command.run(kernel, options)
    return code


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_check_says_what_was_found_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert await tta({}, "check", "I want to kill myself", "--json") == 1
    verdict = json.loads(capsys.readouterr().out)

    assert verdict["kinds"] == ["suicide"]
    assert verdict["findings"][0]["span"][1] == 21
    assert await tta({}, "check", "I take the lantern") == 0
    assert capsys.readouterr().out.startswith("checked: safe")


async def test_rules_are_added_listed_switched_off_and_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, new = tmp_path / "rules.yaml", tmp_path / "new.yaml"
    file.write_text("rules: []")
    config: dict[str, object] = {"file": str(file)}
    new.write_text("{id: house.lantern, category: boundary, patterns: [purple lantern], match: [a purple lantern]}")

    assert await tta(config, "rules", "add", str(new)) == 0
    assert await tta(config, "rules", "list", "--category", "boundary") == 0
    assert "house.lantern@1" in capsys.readouterr().out
    assert await tta(config, "rules", "remove", "depression.hopeless") == 0
    assert not {it.id: it for it in load_engine(file, None).rules.rules}["depression.hopeless"].enabled
    assert await tta(config, "rules", "remove", "house.lantern") == 0
    assert "house.lantern" not in file.read_text()
    capsys.readouterr()
    assert await tta(config, "rules", "export") == 0
    exported = tmp_path / "all.yaml"
    exported.write_text(capsys.readouterr().out)
    assert await tta(config, "rules", "check", str(exported)) == 0


async def test_rules_that_many_processes_share_are_added_listed_and_taken_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared, new = MemoryRuleSource(), tmp_path / "new.yaml"
    new.write_text("{id: house.lantern, category: boundary, patterns: [purple lantern], match: [a purple lantern]}")

    assert await tta({}, "rules", "add", str(new), "--shared", shared=shared) == 0
    assert await tta({}, "rules", "list", "--category", "boundary", shared=shared) == 0
    assert "house.lantern@1" in capsys.readouterr().out
    assert await tta({}, "check", "a purple lantern", shared=shared) == 1
    assert await tta({}, "rules", "remove", "house.lantern", "--shared", shared=shared) == 0
    assert await tta({}, "check", "a purple lantern", shared=shared) == 0
    assert await tta({}, "rules", "add", str(new), "--shared") == 1
    assert "enable a plugin that has one, such as safety-redis" in capsys.readouterr().err


async def test_what_would_make_the_rules_useless_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, new = tmp_path / "rules.yaml", tmp_path / "new.yaml"
    file.write_text("rules: []")
    new.write_text("{id: bad, category: hate, patterns: ['(']}")

    assert await tta({"file": str(file)}, "rules", "add", str(new)) == 1
    assert await tta({"file": str(file)}, "rules", "remove", "suicide.act") == 1
    assert await tta({}, "rules", "add", str(new)) == 1
    told = capsys.readouterr().err

    assert file.read_text() == "rules: []"
    assert "rule bad: pattern 1: missing )" in told
    assert "is a floor rule" in told
    assert "no file of rules is configured" in told


async def test_rules_of_the_predecessor_are_brought_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, old = tmp_path / "rules.yaml", tmp_path / "old.json"
    file.write_text("rules: []")
    old.write_text(OLD)

    assert await tta({"file": str(file)}, "rules", "import", str(old), "--write") == 0
    rule = {it.id: it for it in load_engine(file, None).rules.rules}["crisis_house"]

    assert (rule.kind, rule.level, rule.priority, rule.escalation_threshold) == ("suicide", "blocked", 100, 0.95)
    assert "monitoring: has no counterpart" in capsys.readouterr().err
    assert await tta({"file": str(file)}, "check", "a purple lamp") == 1


@pytest.mark.parametrize("text", ["[]", "rules: [{}]", "{", "rules: 3"])
def test_what_is_no_file_of_the_predecessor_says_so(text: str) -> None:
    with pytest.raises(RulesError):
        imported(text, "old.json")
