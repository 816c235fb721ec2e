"""A session's profile, over HTTP and as a command: shown by its sizes, changed beside turns, refused with a reason."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from tta_http import HttpPlugin, HttpProblem, Principal
from tta_http.testing import EVERYTHING, Caller
from tta_kernel import Kernel
from tta_kernel.testing import running
from tta_program import Subcommands
from tta_sessions import SESSIONS, Profile, Session, SessionsMemory, SessionsPlugin, commands, profile_of
from tta_sessions.memory import MemorySessions

PLUGINS = {"http": HttpPlugin, "sessions": SessionsPlugin, "sessions-memory": SessionsMemory}
READER = Principal("reader", "key", permissions=EVERYTHING.permissions | {"text:read"})


async def test_a_profile_is_set_and_its_lines_are_shown_to_who_may_read_them() -> None:
    async with Kernel(plugins=PLUGINS) as kernel:
        await kernel.get(SESSIONS).commit(Session("s-1", "anna", context={"turn": 2}))
        body = {"goals": ["sleep"], "avoid": ["dogs", "fire"], "pace": "slow"}
        put = await Caller(kernel.hooks).ask("PUT", "/sessions/s-1/profile", body)
        shown = await Caller(kernel.hooks).get("/sessions/s-1/profile")
        whole = await Caller(kernel.hooks, READER).get("/sessions/s-1/profile?text=true")
        with pytest.raises(HttpProblem, match="forbidden"):
            await Caller(kernel.hooks).get("/sessions/s-1/profile?text=true")
        session = await kernel.get(SESSIONS).get("s-1")
    assert put == shown
    assert (shown["pace"], shown["goals"], shown["avoid"], shown["profile"]) == ("slow", 1, 2, None)
    assert whole["profile"]["avoid"] == ["dogs", "fire"]
    assert profile_of(session) == Profile(goals=("sleep",), avoid=("dogs", "fire"), pace="slow")
    assert session is not None
    assert session.context["turn"] == 2


async def test_a_profile_of_no_session_is_not_found_and_one_that_is_too_long_is_invalid() -> None:
    async with Kernel(plugins=PLUGINS) as kernel:
        with pytest.raises(HttpProblem, match="not-found"):
            await Caller(kernel.hooks).ask("PUT", "/sessions/nobody/profile", {"pace": "slow"})
        with pytest.raises(HttpProblem, match="invalid"):
            await Caller(kernel.hooks).ask("PUT", "/sessions/nobody/profile", {"goals": ["x"] * 11})


class Shared(MemorySessions):
    """Stands for a store that the running processes share."""


def shared() -> Shared:
    return Shared(lambda: 1000.0, ttl=60.0, limit=10)


async def tta_profile(sessions: object, *words: str) -> int:
    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    options = parser.parse_args(["sessions", "profile", *words])
    async with running(SessionsPlugin, services={SESSIONS: sessions}) as kernel:
        return int(await options.command.run(kernel, options))


async def test_a_profile_is_set_line_by_line_or_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sessions = shared()
    await sessions.commit(Session("s-1", "anna"))
    file = tmp_path / "profile.yaml"
    file.write_text("goals: [sleep]\ntone: calm\n")
    assert await tta_profile(sessions, "s-1", "--set", str(file)) == 0
    assert await tta_profile(sessions, "s-1", "--avoid", "dogs", "--avoid", "fire", "--pace", "slow") == 0
    capsys.readouterr()
    assert await tta_profile(sessions, "s-1") == 0
    expected = {"goals": ["sleep"], "themes": [], "avoid": ["dogs", "fire"], "pace": "slow", "tone": "calm"}
    assert json.loads(capsys.readouterr().out) == expected


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("gaols: [sleep]\n", "unknown field `gaols`"), ("goals: sleep\n", "goals"), ("{", "profile.yaml"),
        ("x" * 100_001, "more than 100000 bytes"),
    ],
)  # fmt: skip
async def test_a_file_that_is_no_profile_changes_nothing(
    written: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sessions = shared()
    first = await sessions.commit(Session("s-1", "anna"))
    file = tmp_path / "profile.yaml"
    file.write_text(written)
    assert await tta_profile(sessions, "s-1", "--set", str(file)) == 1
    assert why in capsys.readouterr().err
    assert await sessions.get("s-1") == first


async def test_a_session_that_is_not_there_or_in_another_process_is_said_to_be_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await tta_profile(shared(), "nobody") == 1
    assert "there is no session 'nobody'" in capsys.readouterr().err
    assert await tta_profile(MemorySessions(lambda: 1000.0, ttl=60.0, limit=10), "s-1", "--pace", "slow") == 1
    assert "only the running one can look" in capsys.readouterr().err
