"""Whatever an agent says, and whatever a check does, no text is read anywhere that no check has let pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tta_kernel.testing import logged
from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers
from tta_orchestration import ORCHESTRATION
from tta_orchestration.testing import telling
from tta_program import LayeredSettings
from tta_safety import About, Channel, Verdict

from .marks import AGENTS, MARK, SAFE, Approving, Leaky, Seen, play

BLOCKED = Verdict("checked", "blocked", 0.9)
CALLS: list[tuple[Channel, int]] = [("player", 0), ("story", 0), ("story", 1), ("story", 2), ("tool", 0)]
"""Every call of a check in a turn that `Leaky` tells."""
SAID = "my own secret words"


@pytest.fixture
def anyio_backend() -> str:
    """Play on asyncio alone: what is followed here are texts, and not tasks."""
    return "asyncio"


SETTINGS = LayeredSettings(hook_timeouts={"check_text": LIMIT})


async def test_every_text_is_seen_by_a_check_and_what_it_lets_pass_is_told(tmp_path: Path) -> None:
    check = Approving()
    with logged() as log:
        async with telling(check, teller=Leaky) as kernel:
            found = await play(kernel, SAID, log, tmp_path)
    assert check.asked == CALLS
    # JSON has bytes in base64; they are checked as the text that they may be.
    approved = set(MARK.findall("\n".join(check.approved)))
    assert set(MARK.findall(found.player["response"])) == approved - {"Zqrawx"}
    assert len(approved) == 7
    assert found.leaks(check.approved, SAID) == []


def test_a_leak_would_be_found() -> None:
    assert Seen({"a": "a Zqnamex", "b": "Zqtoldx"}, {"log": "Zqtoldx, my words"}).leaks(["Zqtoldx"], "my words") == [
        "Zqnamex on a: …a Zqnamex…", "Zqtoldx on log: …Zqtoldx, my words…", "what was said on log",
    ]  # fmt: skip


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0]} {call[1]}")
@pytest.mark.parametrize("stranger", strangers(returns=Verdict, answer=SAFE), ids=str)
async def test_no_text_passes_a_stranger_at_any_call(
    call: tuple[Channel, int], stranger: Stranger, tmp_path: Path
) -> None:
    check = Approving(*call, stranger)
    with logged() as log:
        async with telling(check, teller=Leaky, settings=SETTINGS) as kernel:
            if stranger.outcome is Outcome.STOP:
                with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                    await kernel.get(ORCHESTRATION).process_user_input(SAID, "s-1")
                return
            found = await play(kernel, SAID, log, tmp_path)
    if stranger.outcome is Outcome.NAMED:
        check.approved.append(check.judged)  # Its answer, a right one, may have come in time.
    assert found.leaks(check.approved, SAID) == []
    assert found.player["text"]


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.__name__)
@pytest.mark.parametrize("call", [None, *CALLS], ids=lambda call: f"{call[0]} {call[1]}" if call else "none")
async def test_no_text_of_an_agent_passes_a_check_that_objects(
    agent: type[Leaky], call: tuple[Channel, int] | None, tmp_path: Path
) -> None:
    async def objecting() -> Verdict:
        return BLOCKED

    check = Approving(*call, objecting) if call else Approving()
    with logged() as log:
        async with telling(check, teller=agent) as kernel:
            found = await play(kernel, SAID, log, tmp_path)
    assert found.leaks(check.approved, SAID) == []


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.__name__)
async def test_no_text_of_an_agent_passes_where_all_of_it_is_objected_to(agent: type[Leaky], tmp_path: Path) -> None:
    async def objecting(text: str, channel: Channel, about: About) -> Verdict:
        return SAFE if channel == "player" else BLOCKED

    with logged() as log:
        async with telling(objecting, teller=agent) as kernel:
            found = await play(kernel, SAID, log, tmp_path)
    assert found.leaks([], SAID) == []
