"""Rules that change while texts are checked: taken whole or not at all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import anyio
import pytest

from tta_kernel.testing import Outcome, Stranger, strangers
from tta_safety import About
from tta_safety.layers import RulesError
from tta_safety.rules import RuleSourceError, RuleText
from tta_safety.testing import MemoryRuleSource
from tta_safety_rules.checker import Checker
from tta_safety_rules.engine import Engine
from tta_safety_rules.loading import Loader, load_engine

LOG = logging.getLogger("test")
RULE = "rules: [{{id: house.lantern, version: {0}, category: boundary, level: {1}, patterns: [purple lantern]}}]"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "rules.yaml"
    found.write_text(RULE.format(1, "warning"))
    return found


def write(file: Path, text: str) -> None:
    """Write a file as an editor does."""
    file.write_text(text)


class Source:
    """A source of rules in memory."""

    def __init__(self, text: str) -> None:
        self.text = RuleText(text, "1", "the shared rules")

    async def read(self) -> RuleText | None:
        return self.text

    async def changed(self, tag: str) -> None:
        await anyio.sleep_forever()

    async def write(self, text: str, *, tag: str, ttl: float | None = None) -> str:
        self.text = RuleText(text, str(int(tag) + 1), "the shared rules")
        return self.text.tag


async def ignored(error: RulesError) -> None:
    """Hear that rules were refused."""


def loader(file: Path | None, source: Any = None, taken: list[Engine] | None = None) -> Loader:
    return Loader(file, source, LOG, changed=(taken if taken is not None else []).append, failed=ignored)


async def test_a_file_lies_over_the_built_in_rules_and_a_source_over_both(file: Path) -> None:
    engine = await loader(file, Source("rules: [{id: house.lantern, level: blocked}]")).start()
    rules = {rule.id: rule for rule in engine.rules.rules}

    assert (rules["house.lantern"].level, rules["house.lantern"].version) == ("blocked", 1)
    assert engine.rules.layers[-2:] == (str(file), "the shared rules")


@pytest.mark.parametrize("bad", ["rules: [", "rules: [{id: a, category: hate, patterns: ['(']}]", "rules: 3", ""])
async def test_a_bad_file_changes_nothing_and_is_told(file: Path, bad: str) -> None:
    taken: list[Engine] = []
    rules = loader(file, taken=taken)
    good = await rules.start()
    write(file, bad or "rules: [{id: suicide.act, enabled: false}]")  # a floor

    with pytest.raises(RulesError, match=r"rules\.yaml"):
        await rules.reload()

    assert (rules.engine, taken) == (good, [good])
    assert rules.trouble
    write(file, RULE.format(2, "blocked"))
    assert await rules.reload() is rules.engine is taken[-1]
    assert not rules.trouble


async def test_a_file_that_changes_is_taken_by_itself(file: Path) -> None:
    taken = anyio.Event()

    def changed(engine: Engine) -> None:
        if any(rule.version == 2 for rule in engine.rules.rules):
            taken.set()

    rules = Loader(file, None, LOG, changed=changed, failed=ignored)
    await rules.start()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(rules.watch, 0.01)
            write(file, RULE.format(2, "blocked"))
            await taken.wait()
            group.cancel_scope.cancel()


async def test_each_verdict_is_of_one_set_of_rules_while_they_change(file: Path) -> None:
    checker = Checker(load_engine(file, None))
    rules = Loader(file, None, LOG, changed=lambda engine: setattr(checker, "engine", engine), failed=ignored)
    await rules.start()
    seen: set[tuple[str, str]] = set()
    over = False

    async def change() -> None:
        nonlocal over
        for number, level in enumerate(("blocked", "warning") * 5, 2):
            write(file, RULE.format(number, level))
            await rules.reload()
        over = True

    async with anyio.create_task_group() as group:
        group.start_soon(change)
        while not over:
            verdict = (await checker.examine("a purple lantern", "player", About())).verdict
            [finding] = verdict.findings
            assert verdict.level == finding.level
            seen.add((finding.rule, finding.level))
            await anyio.lowlevel.checkpoint()

    assert all((int(rule.partition("@")[2]) % 2 == 0) == (level == "blocked") for rule, level in seen)
    assert len(seen) > 2


async def test_rules_that_did_not_change_are_not_tried_again(file: Path) -> None:
    known = load_engine(file, None)
    write(file, RULE.format(2, "warning"))

    assert load_engine(file, None, known).rules.digest != known.rules.digest


class Away(MemoryRuleSource):
    """A source that can be reached now, and then not."""

    away = ""

    async def read(self) -> RuleText | None:
        if self.away:
            raise RuleSourceError(self.away)
        return await super().read()

    async def changed(self, tag: str) -> None:
        if not self.away:
            await super().changed(tag)


async def test_without_a_source_that_can_t_be_read_it_begins_only_where_config_says_so(file: Path) -> None:
    source = Away()
    source.away = "connection refused\x1b"

    with pytest.raises(RulesError, match=r"connection refused\?; mend it; or .*config\.alone"):
        await loader(file, source).start()
    rules = Loader(file, source, LOG, changed=lambda engine: None, failed=ignored, alone=True)
    engine = await rules.start()

    assert any(rule.id == "house.lantern" for rule in engine.rules.rules)
    assert "connection refused?" in str(rules.trouble[0])


async def test_a_source_that_is_away_changes_nothing_and_is_told_once_until_it_is_back(file: Path) -> None:
    source, told, taken = Away(), list[RulesError](), list[Engine]()

    async def failed(error: RulesError) -> None:
        told.append(error)

    await source.write("rules: [{id: house.lantern, level: blocked}]", tag="")
    rules = Loader(file, source, LOG, changed=taken.append, failed=failed)
    good = await rules.start()
    for away in ("gone", "gone", "paused", "paused", ""):
        source.away = away
        await rules._try()
        assert rules.engine is good if away else rules.engine is not None
    source.away = "gone"
    await rules._try()

    assert [str(error).partition("read: ")[2] for error in told] == ["gone", "paused", "gone"]
    assert len(taken) == 2


LIMIT = 0.2


@pytest.mark.parametrize("stranger", strangers("async", returns=RuleText | None, limit=LIMIT), ids=str)
async def test_whatever_a_source_does_the_other_rules_are_in_force(stranger: Stranger, file: Path) -> None:
    class Odd(Source):
        async def read(self) -> RuleText | None:
            return await stranger()  # type: ignore[no-any-return]

    rules = Loader(file, Odd(""), LOG, changed=lambda engine: None, failed=ignored, alone=True, limit=LIMIT)
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            await rules.start()
        return
    try:
        engine = await rules.start()
    except RulesError as error:  # It answered in time, and what it has are no rules: nothing begins with half of them.
        assert stranger.outcome is not Outcome.TIME_LIMIT
        problems = str(error)
        assert problems.isprintable()
        return

    assert any(rule.id == "house.lantern" for rule in engine.rules.rules)
