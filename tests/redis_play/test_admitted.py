"""A turn whose process is killed is finished by the next one: once, and beginning with what its player has read."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from typing import Any

import pexpect

from tta_redis.testing import RedisServer

from .deployment import SHARED, Deployment, command_of, context, key_of

HOLD = {"hold": "1s", "allow_unchecked": True}
SHORT: Mapping[str, Mapping[str, Any]] = {"orchestration": HOLD, "workflows_local": {"lease": "2s"}}
"""Limits so short that nobody waits long for a process that is gone."""


def version(server: RedisServer, session: str) -> int:
    return int(server.command("HGET", key_of(server, session), "version"))


def test_a_turn_whose_process_was_killed_before_it_told_anything_is_finished(
    deployment: Deployment, server: RedisServer
) -> None:
    config = deployment.slow(configs=SHORT)
    first = deployment.start_player(config, "killed")
    assert first.turn("I look around")["turn"] == 1
    first.say("I wait, and walk to the green")
    deployment.began()
    first.kill()
    deployment.go()
    second = deployment.start_player(config, "killed")
    resumed = second.read_turn()
    assert (resumed["turn"], resumed["outcome"], resumed["kept"]) == (2, "story", True)
    assert resumed["updated_context"]["history"][-1]["said"] == "I wait, and walk to the green"
    assert second.turn("I look around")["turn"] == 3
    assert second.leave() == 0
    assert version(server, "killed") == 3


def test_what_was_read_of_a_turn_that_was_killed_is_the_beginning_of_what_is_kept(
    deployment: Deployment, server: RedisServer
) -> None:
    names = (*SHARED, "pausing")
    config = deployment.slow(names=names, configs=SHORT)
    program, *arguments = command_of(config, "--session", "middle", "--seed", "7")
    terminal = pexpect.spawn(
        program, arguments, encoding="utf-8", timeout=30, dimensions=(60, 200), env=deployment.environ()
    )  # fmt: skip
    terminal.expect("0m>")
    terminal.send("I look around and pause\r")
    terminal.expect("The bus puts you down")
    deployment.began()
    terminal.kill(signal.SIGKILL)
    shown = str(terminal.after) + re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.read())
    terminal.wait()
    deployment.go()
    second = deployment.start_player(config, "middle")
    resumed = second.read_turn()
    assert (resumed["turn"], resumed["outcome"]) == (1, "story")
    assert words(resumed["text"]).startswith(words(shown))
    assert len(words(resumed["text"])) > len(words(shown))
    assert second.leave() == 0
    assert version(server, "middle") == 1


def test_after_the_commit_nothing_is_finished_again(deployment: Deployment, server: RedisServer) -> None:
    config = deployment.config(SHARED, agents={"auto_register": True}, orchestration=HOLD)
    first = deployment.start_player(config, "after")
    assert first.turn("I look around")["turn"] == 1
    first.kill()
    second = deployment.start_player(config, "after")
    assert second.turn("I look around")["turn"] == 2
    assert second.leave() == 0
    assert version(server, "after") == 2


def test_of_a_process_that_was_paused_and_one_that_went_on_one_commits(
    deployment: Deployment, server: RedisServer
) -> None:
    config = deployment.slow(configs=SHORT)
    first = deployment.start_player(config, "paused")
    first.say("I wait, and walk to the green")
    deployment.began()
    os.kill(first.process.pid, signal.SIGSTOP)
    deployment.go()
    second = deployment.start_player(config, "paused")
    resumed = second.read_turn()
    os.kill(first.process.pid, signal.SIGCONT)
    late = first.read_turn()
    assert (resumed["outcome"], resumed["kept"]) == ("story", True)
    assert (late["kept"], late["failure"]["code"]) == (False, "taken_over")
    assert version(server, "paused") == 1
    assert second.leave() == 0


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def test_two_processes_answer_many_inputs_once_and_in_order(deployment: Deployment, server: RedisServer) -> None:
    config = deployment.config(SHARED, agents={"auto_register": True}, orchestration=HOLD)
    one, two = deployment.start_player(config, "many"), deployment.start_player(config, "many")
    for number in range(40):
        one.say(f"I look around {number}")
        two.say(f"I look around {number}")
    turns = [each.read_turn()["turn"] for _ in range(40) for each in (one, two)]
    assert sorted(turns) == [*range(1, 81)]
    assert [turns[::2], turns[1::2]] == [sorted(turns[::2]), sorted(turns[1::2])]
    assert (one.leave(), two.leave()) == (0, 0)
    # Summaries are stored beside the turns, and so the version says nothing of these.
    assert context(server, "many")["turn"] == 80
