"""Whatever breaks beside a check, no text is read that no check has let pass."""

from __future__ import annotations

from contextlib import AsyncExitStack
from itertools import cycle
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest

from tta_kernel import Kernel
from tta_kernel.testing import logged
from tta_orchestration.testing import telling
from tta_safety.rules import RULES, RuleText
from tta_safety_rules import SafetyRules
from tta_safety_rules.scores import Weighing
from tta_sessions import SESSIONS, Admission, Session, SessionsError
from tta_sessions.memory import MemorySessions

from .marks import PIECES, Approving, Leaky, Seen, play

SAID = "look around"
BLOCKING = """
rules:
- id: no-mark
  category: method
  level: blocked
  floor: true
  channels: [story, tool]
  patterns: [zqtwox, zqnamex]
  validation: keyword
  why: a mark
  match: [zqtwox is told]
  no_match: [nothing is told]
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Source:
    """A layer of rules that is there when it is read first, and then ``next``."""

    def __init__(self, after: str | None) -> None:
        self._texts = [BLOCKING, after]
        self.reads = 0

    async def read(self) -> RuleText | None:
        text = self._texts[min(self.reads, 1)]
        self.reads += 1
        return RuleText(text, str(self.reads), "a test") if text is not None else None

    async def changed(self, tag: str) -> None:
        if self.reads > 1:
            await anyio.sleep_forever()

    async def write(self, text: str, *, tag: str, ttl: float | None = None) -> str:
        raise AssertionError("nobody writes here")


class Exhausted:
    """A deep head for which there is no memory left."""

    name = "deep@test"
    thresholds: ClassVar[dict[Any, Any]] = {}
    weighing = Weighing()

    async def score(self, text: str, before: str = "") -> Any:
        raise MemoryError


class WithoutMemory(SafetyRules):
    async def _open_deep_head(self, stack: AsyncExitStack) -> Any:
        return Exhausted()


class Away(MemorySessions):
    """Sessions that can't be committed, as where Redis is gone."""

    async def commit(self, session: Session, admission: Admission | None = None) -> Session:
        raise SessionsError("connection refused")


async def played(kernel: Kernel, log: list[str], folder: Path) -> Seen:
    async with kernel:
        return await play(kernel, SAID, log, folder)


@pytest.mark.parametrize("half", ["rules:\n- id: no-mark\n  patt", "\0", "rules: 7"])
async def test_where_rules_are_half_written_the_last_good_ones_object(half: str, tmp_path: Path) -> None:
    source = Source(half)
    kernel = telling(teller=Leaky, services={RULES: source}, plugins={"safety-rules": SafetyRules})
    with logged() as log:
        async with kernel:
            with anyio.fail_after(20):
                while source.reads < 2:  # noqa: ASYNC110 - what reads it tells nobody
                    await anyio.sleep(0.01)
            found = await play(kernel, SAID, log, tmp_path)
    assert found.leaks([PIECES[0], "Zqkeyx"], SAID) == []
    assert "Zqonex" in found.player["pieces"]


async def test_where_a_head_has_no_memory_left_nothing_is_told(tmp_path: Path) -> None:
    with logged() as log:
        found = await played(telling(teller=Leaky, plugins={"safety-rules": WithoutMemory}), log, tmp_path)
    assert found.leaks([], SAID) == []
    assert found.player["text"]


async def test_where_clocks_jump_all_is_checked_as_ever(tmp_path: Path) -> None:
    times = cycle([1e9, 2e9, 0.0, 1.5e9])
    sessions = MemorySessions(lambda: next(times), ttl=1000, limit=10)
    check = Approving()
    with logged() as log:
        found = await played(telling(check, teller=Leaky, services={SESSIONS: sessions}), log, tmp_path)
    assert found.leaks(check.approved, SAID) == []


async def test_where_the_store_of_sessions_is_gone_only_what_was_checked_was_told(tmp_path: Path) -> None:
    sessions = Away(lambda: 1e9, ttl=1000, limit=10)
    check = Approving()
    with logged() as log:
        found = await played(telling(check, teller=Leaky, services={SESSIONS: sessions}), log, tmp_path)
    assert found.leaks(check.approved, SAID) == []
    assert "Zqnamex" not in found.player["response"]
