"""The contract that every `RuleSource` passes, and one in memory for whoever tests what reads it."""

from __future__ import annotations

import anyio
import pytest

from tta_safety.rules import RulesChanged, RuleSource, RuleText

_LIMIT = 10.0


class MemoryRuleSource:
    """A source of rules in memory, which two in one process may share."""

    def __init__(self) -> None:
        self._text: RuleText | None = None
        self._until = float("inf")
        self._writes = 0
        self._changed = anyio.Event()

    async def read(self) -> RuleText | None:
        return self._text if anyio.current_time() < self._until else None

    async def changed(self, tag: str) -> None:
        while True:
            changed = self._changed
            found = await self.read()
            if (found.tag if found else "") != tag:
                return
            with anyio.move_on_at(self._until):
                await changed.wait()

    async def write(self, text: str, *, tag: str, ttl: float | None = None) -> str:
        found = await self.read()
        if (found.tag if found else "") != tag:
            raise RulesChanged("somebody else has written it since")
        self._writes += 1
        self._text = RuleText(text, str(self._writes), "rules in memory") if text else None
        self._until = float("inf") if ttl is None else anyio.current_time() + ttl
        self._changed.set()
        self._changed = anyio.Event()
        return self._text.tag if self._text else ""


class RuleSourceContract:
    """Subclass this, and give two fixtures.

    ``sources`` are two that share what they have, as two processes do, and which is nothing yet.
    """

    @pytest.fixture
    def rules(self, sources: tuple[RuleSource, RuleSource]) -> RuleSource:
        return sources[0]

    async def test_where_nothing_was_written_there_is_none(self, rules: RuleSource) -> None:
        assert await rules.read() is None

    async def test_what_one_has_written_the_other_reads(self, sources: tuple[RuleSource, RuleSource]) -> None:
        one, two = sources
        tag = await one.write("rules: []  # \N{SNOWMAN}", tag="")
        found = await two.read()
        assert found is not None
        assert (found.text, found.tag) == ("rules: []  # \N{SNOWMAN}", tag)
        assert found.where

    async def test_of_two_who_write_at_once_one_is_told(self, sources: tuple[RuleSource, RuleSource]) -> None:
        one, two = sources
        first = await one.write("rules: []", tag="")
        with pytest.raises(RulesChanged):
            await two.write("parts: {}", tag="")
        second = await two.write("parts: {}", tag=first)
        with pytest.raises(RulesChanged):
            await one.write("rules: [{}]", tag=first)
        found = await one.read()
        assert found is not None
        assert (found.text, found.tag) == ("parts: {}", second)

    async def test_the_same_text_written_again_has_another_tag(self, rules: RuleSource) -> None:
        first = await rules.write("rules: []", tag="")
        assert await rules.write("rules: []", tag=first) != first

    async def test_a_layer_is_taken_away_and_written_anew(self, rules: RuleSource) -> None:
        first = await rules.write("rules: []", tag="")
        assert await rules.write("", tag=first) == ""
        assert await rules.read() is None
        assert await rules.write("rules: []", tag="") != first

    async def test_a_layer_for_a_while_goes_by_itself(self, rules: RuleSource) -> None:
        tag = await rules.write("rules: []", tag="", ttl=0.2)
        with anyio.fail_after(_LIMIT):
            await rules.changed(tag)
        assert await rules.read() is None

    async def test_whoever_waits_hears_of_a_change(self, sources: tuple[RuleSource, RuleSource]) -> None:
        one, two = sources
        tag = await one.write("rules: []", tag="")
        async with anyio.create_task_group() as group:
            with anyio.fail_after(_LIMIT):
                group.start_soon(self._write, two, tag)
                await one.changed(tag)
        found = await one.read()
        assert found is not None
        assert found.text == "parts: {}"

    async def test_whoever_has_another_tag_need_not_wait(self, rules: RuleSource) -> None:
        await rules.write("rules: []", tag="")
        with anyio.fail_after(_LIMIT):
            await rules.changed("an older one")

    async def _write(self, source: RuleSource, tag: str) -> None:
        await anyio.wait_all_tasks_blocked()
        await source.write("parts: {}", tag=tag)
