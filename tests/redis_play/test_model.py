"""A model tells the story over a real connection, each sentence checked; after a kill only the rest is asked for."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from typing import Any

import pexpect
import pytest

from .deployment import SHARED, Deployment, command_of
from .model import PATIENCE, ModelServer, serving

NAMES = (*SHARED, "safety-rules", "llm", "llm-memory")
WHERE = "TTA__PLUGINS__LLM_OPENAI__CONFIG__BASE_URL"
ONE, TWO, THREE = "A gull walks along the wall.", "It looks at you with one eye.", "Then it goes on its way."


def playing(deployment: Deployment, model: ModelServer, *arguments: str, **configs: Mapping[str, Any]) -> Any:
    config = deployment.config(NAMES, agents={"auto_register": True, "visibility": "2s"}, **configs)
    program, *more = command_of(config, "--seed", "7", *arguments)
    return pexpect.spawn(
        program, more, encoding="utf-8", timeout=PATIENCE, dimensions=(60, 200),
        env=deployment.environ() | {WHERE: model.url},
    )  # fmt: skip


@pytest.fixture
def halting() -> Iterator[ModelServer]:
    """A model that waits with its page's end, and says something else when it is asked again."""
    with serving((f"{ONE} ", f"{TWO} The", None, f"n {THREE[5:]}"), (f"{THREE} ", "The wall is warm.")) as server:
        yield server


def test_a_model_s_story_is_on_the_screen_sentence_by_sentence(deployment: Deployment, halting: ModelServer) -> None:
    terminal = playing(deployment, halting, "--session", "model", "--trace", "look", "around")
    try:
        terminal.expect_exact(ONE)  # The model has yet to write the page's end.
        assert halting.waiting.wait(PATIENCE)
        assert not halting.gone_on.is_set()
        halting.go()
        terminal.expect_exact("Then it goes")  # The line breaks somewhere behind it.
        terminal.expect(r"by\s+model,\s+prompt\s+narrate@\d+,\s+model\s+default/small")  # A cell may be wrapped.
        terminal.expect(r"story's text\s+safe by .*safety-rules")
    finally:
        terminal.close(force=True)
    [asked] = halting.asked
    assert asked["stream"] is True
    assert "tools" not in asked
    assert "model" not in asked.get("user", "")


def test_after_a_kill_in_mid_turn_only_the_rest_is_asked_for(deployment: Deployment, halting: ModelServer) -> None:
    short: Mapping[str, Mapping[str, Any]] = {
        "orchestration": {"hold": "1s", "allow_unchecked": False},
        "workflows_local": {"lease": "2s"},
    }
    terminal = playing(deployment, halting, "--session", "killed", **short)
    terminal.expect("0m>")
    terminal.send("look around\r")
    terminal.expect_exact(ONE)
    assert halting.waiting.wait(PATIENCE)
    terminal.kill(signal.SIGKILL)
    terminal.wait()
    halting.go()
    again = playing(deployment, halting, "--session", "killed", "--json", **short)
    try:
        again.expect(r"(\{.*\})\r\n")
        turn = json.loads(again.match[1])
    finally:
        again.close(force=True)
    assert (turn["turn"], turn["outcome"], turn["kept"]) == (1, "story", True)
    assert turn["text"].endswith(f"{ONE} {TWO} {THREE} The wall is warm.")
    assert turn["verdicts"]["story"]["status"] == "checked"
    assert turn["steps"][-1]["trace"]["by"] == "model"
    first, second = halting.asked
    told = [line for line in second["messages"][-1]["content"].split("\n") if ONE in line]
    assert told, "it is told what the player has read"
    assert "The page so far" not in first["messages"][-1]["content"]
