from __future__ import annotations

from pathlib import Path

import pytest

from tta_kernel import Kernel
from tta_kernel.testing import problems, running
from tta_safety import About, Channel, SafetyPlugin, Verdict, check_text, judge
from tta_safety_rules import SafetyRules


def kernel(config: dict[str, object] | None = None) -> Kernel:
    return running(SafetyRules, SafetyPlugin, config=config or {})


async def asked(running: Kernel, text: str, channel: Channel = "player", about: About | None = None) -> Verdict:
    return judge(await running.ask(check_text, text, channel, "session", about or About()))


async def test_a_crisis_is_named_and_a_story_is_not() -> None:
    async with kernel() as running:
        crisis = await asked(running, "I want to kill myself")
        story = await asked(running, "I kill the dragon with my sword")

    assert (crisis.status, crisis.kinds, crisis.by) == ("checked", ("suicide",), ("safety-rules",))
    assert (story.status, story.level, story.kinds) == ("checked", "safe", ())


async def test_what_may_be_said_instead_fits_the_country_and_the_language() -> None:
    async with kernel() as running:
        crisis = await asked(running, "I want to kill myself", about=About(locale="de-AT", country="AT"))
        foreign = await asked(running, "Мне сегодня очень плохо и грустно", about=About(locale="ru"))

    assert "Telefonseelsorge (Telefon 142" in crisis.alternative
    assert foreign.status == "unchecked"
    assert "Я понимаю только: English." in foreign.alternative


async def test_what_may_be_said_instead_names_the_operator_s_own_lines(tmp_path: Path) -> None:
    file = tmp_path / "lines.yaml"
    line = "{name: Own, phone: '12 34', topics: [any], source: 'https://x.org/', verified_on: 2026-11-20}"
    file.write_text(f"countries: {{KE: {{lines: [{line}]}}}}")
    async with running(SafetyRules, SafetyPlugin, configs={"safety": {"lines_file": str(file)}}) as kernel:
        crisis = await asked(kernel, "I want to kill myself", about=About(country="KE"))
        foreign = await asked(kernel, "Мне сегодня очень плохо и грустно", about=About(country="KE"))

    assert "Own (call 12 34)" in crisis.alternative
    assert "Own (call 12 34)" in foreign.alternative


def test_an_unknown_key_is_refused_before_anything_starts() -> None:
    [problem] = problems(SafetyRules, config={"colour": "blue"})

    assert problem.startswith("plugins.safety-rules.config.colour: ")


def test_a_file_that_is_no_good_is_told_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("rules: [{id: a, category: hate, patterns: ['(']}]")

    [problem] = problems(SafetyRules, config={"file": str(file)})

    assert "rules.yaml: rule a: pattern 1: missing )" in problem


@pytest.mark.parametrize("text", ["", "\0", "\ud800 kill me", "a" * 100_000, "e" + "\u0301" * 100_000])
async def test_any_text_gets_a_verdict(text: str) -> None:
    async with kernel() as running:
        assert (await asked(running, text)).status in ("checked", "unchecked")
