"""A story on Redis outlives the process that told it, and a Redis that dies, is silent or comes back."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence

import pexpect
import pytest

from tta_redis.testing import RedisServer

from .deployment import (
    ALONE,
    PATIENCE,
    SECRET,
    SHARED,
    Deployment,
    command_of,
    environment,
    is_fallback,
    key_of,
    world,
)


def test_a_story_goes_on_where_its_process_was_killed(deployment: Deployment, server: RedisServer) -> None:
    config = deployment.config()
    first = deployment.start_player(config, "lasting")
    assert first.turn("I look around")["turn"] == 1
    there = first.turn("I walk to the lighthouse")
    assert (there["turn"], there["outcome"]) == (2, "story")
    before = world(server, "lasting")
    first.kill()
    assert world(server, "lasting") == before
    second = deployment.start_player(config, "lasting")
    here = second.turn("I look around")
    assert here["turn"] == 3
    assert "lighthouse" in here["text"].lower()
    after = world(server, "lasting")
    assert [after["seed"], after["player"]["visits"]] == [before["seed"], before["player"]["visits"]]
    assert after["turn"] == before["turn"] + 1
    assert second.leave() == 0
    assert server.command("HGET", key_of(server, "lasting"), "version") == b"3"
    assert server.command("PTTL", key_of(server, "lasting")) > 0


def test_the_world_survives_redis_being_killed_too(deployment: Deployment, server: RedisServer) -> None:
    player = deployment.start_player(deployment.config())
    assert player.turn("I take the lantern")["turn"] == 1
    server.kill()
    server.start()
    assert player.turn("I look around")["turn"] == 2
    assert player.leave() == 0


def test_two_processes_play_one_story_in_turns(deployment: Deployment) -> None:
    config = deployment.config()
    one, two = deployment.start_player(config), deployment.start_player(config)
    turns = [player.turn("I look around")["turn"] for player in (one, two, one, two)]
    assert turns == [1, 2, 3, 4]
    assert (one.leave(), two.leave()) == (0, 0)


def test_without_redis_the_player_is_told_where_it_was_looked_for(deployment: Deployment) -> None:
    player = deployment.start_player(
        deployment.config(redis={"url": "redis://:hunter2@127.0.0.1:1", "connect_timeout": "1s"})
    )
    assert player.process.wait(PATIENCE) == 3
    assert "127.0.0.1:1: connection refused" in player.errors
    assert "hunter2" not in player.errors


@pytest.mark.parametrize("names", [ALONE, SHARED], ids=["sessions alone", "agents, messages and sessions"])
def test_while_redis_is_dead_each_turn_is_a_fallback_and_then_the_story_goes_on(
    deployment: Deployment, server: RedisServer, names: Sequence[str]
) -> None:
    agents = {"auto_register": names is SHARED}
    player = deployment.start_player(deployment.config(names, agents=agents))
    before = player.turn("I walk to the green")
    server.kill()
    try:
        for _ in range(2):
            response = player.turn(f"I look around for my {SECRET}")
            is_fallback(response, "sessions.get", "unavailable", "timeout")
    finally:
        server.start()
    after = player.turn("I look around")
    assert (after["outcome"], after["turn"], after["kept"], after["failure"]) == ("story", 2, True, None)
    visits = [each["updated_context"]["world"]["player"]["visits"] for each in (before, after)]
    assert visits[0] == visits[1]
    assert player.leave() == 0
    # What comes before the logs are set up is plain text: on a busy machine, that an import takes its time.
    told = [json.loads(line) for line in player.errors.splitlines() if line.startswith("{")]
    critical = [line["event"] for line in told if line["level"] == "critical"]
    assert len(critical) == 2
    assert all(line.startswith("a turn went without its session: sessions.get: ") for line in critical)
    assert SECRET not in player.errors


def test_while_redis_is_silent_a_turn_is_a_fallback_within_its_limits(
    deployment: Deployment, server: RedisServer
) -> None:
    player = deployment.start_player(deployment.config(SHARED, agents={"auto_register": True}))
    player.turn("I look around")
    server.pause()
    try:
        response = player.turn("I look around")
        is_fallback(response, "sessions.get", "unavailable", "timeout")
        assert response["performance"]["total"] < 10
    finally:
        server.resume()
    assert player.turn("I look around")["turn"] == 2
    assert player.leave() == 0


def test_a_turn_in_which_redis_dies_is_not_kept_and_is_not_told(deployment: Deployment, server: RedisServer) -> None:
    player = deployment.start_player(deployment.slow(names=(*ALONE, "messages", "messages-redis")))
    player.turn("I look around")
    player.say("I wait, and walk to the green")
    deployment.began()
    server.kill()
    try:
        deployment.go()
        response = player.read_turn()
        is_fallback(response, "sessions.commit", "unavailable", "timeout")
        assert "hasn't happened" in response["text"]
    finally:
        server.start()
    after = player.turn("I look around")
    assert (after["outcome"], after["turn"], after["notices"]) == ("story", 2, [])
    assert after["updated_context"]["world"]["player"]["at"] == "bus-stop"
    assert player.leave() == 0


def test_a_turn_in_which_redis_is_restarted_goes_on(deployment: Deployment, server: RedisServer) -> None:
    serving = deployment.start_player(deployment.slow(), "other")
    player = deployment.start_player(deployment.slow(serve=False))
    serving.turn("I look around")
    player.say("I wait, and walk to the green")
    assert deployment.began() == serving.process.pid
    server.kill()
    server.start()
    deployment.go()
    response = player.read_turn()
    assert (response["outcome"], response["kept"]) == ("story", True)
    assert (player.leave(), serving.leave()) == (0, 0)


def test_a_session_that_is_damaged_begins_anew_and_the_player_hears_it_once(
    deployment: Deployment, server: RedisServer
) -> None:
    player = deployment.start_player(deployment.config(), "damaged")
    player.turn("I walk to the green")
    server.command("HSET", key_of(server, "damaged"), "context", b"\xc1 no msgpack")
    first, second = player.turn("I look around"), player.turn("I look around")
    assert (first["outcome"], first["turn"], first["kept"]) == ("story", 1, True)
    [notice] = first["notices"]
    assert "begins anew" in notice
    assert (second["turn"], second["notices"]) == (2, [])
    assert player.leave() == 0


def test_two_turns_of_one_story_at_the_same_time_are_both_played(deployment: Deployment) -> None:
    config = deployment.slow(names=(*ALONE, "messages", "messages-redis"))
    one, two = deployment.start_player(config), deployment.start_player(config)
    one.say("I wait, and look around")
    two.say("I wait, and look around")
    deployment.began()
    deployment.go()
    responses = [one.read_turn(), two.read_turn()]
    assert [response["outcome"] for response in responses] == ["story", "story"]
    assert sorted(response["turn"] for response in responses) == [1, 2]
    assert (one.leave(), two.leave()) == (0, 0)


def test_a_pipe_gets_a_line_for_a_line_also_while_redis_is_dead(deployment: Deployment, server: RedisServer) -> None:
    with subprocess.Popen(
        command_of(deployment.config()), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=environment(),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None

        def said(text: str) -> str:
            process.stdin.write(text + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            return process.stdout.readline()  # type: ignore[union-attr]

        said("look around")
        server.kill()
        try:
            assert "I'm here to support you" in said("look around")
            assert "can't be looked up just now" in said(":world")
        finally:
            server.start()
        assert "support" not in said("look around")
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_a_person_at_a_terminal_is_supported_while_redis_is_dead(deployment: Deployment, server: RedisServer) -> None:
    program, *arguments = command_of(deployment.config(), "--seed", "3")
    terminal = pexpect.spawn(
        program, arguments, encoding="utf-8", timeout=30, dimensions=(40, 140), env=environment()
    )  # fmt: skip
    terminal.expect("0m>")
    terminal.send("look around\r")
    terminal.expect("timetable")
    server.kill()
    try:
        terminal.send("look around\r")
        terminal.expect("open the book of your")
        terminal.send(":trace\r")
        terminal.expect("sessions.get: unavailable")
    finally:
        server.start()
    terminal.send("go west\r")
    terminal.expect("lime")
    terminal.send(":quit\r")
    terminal.expect(pexpect.EOF)
    terminal.wait()
    assert terminal.exitstatus == 0


def test_a_person_is_forgotten_by_name_and_somebody_else_kept_out_of_their_story(
    deployment: Deployment, server: RedisServer
) -> None:
    # With a journal in memory the command would say that it can't reach what the others keep there.
    config = deployment.config(SHARED)

    def tta(command: str, *arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
        line = [*command_of(config)[:-1], command, *arguments]
        return subprocess.run(
            line, input=input, capture_output=True, text=True, env=environment(), timeout=PATIENCE, check=False
        )  # fmt: skip

    assert tta("play", "--user", "anna", "--session", "hers", "--", "look").returncode == 0
    assert tta("play", "--user", "ben", "--session", "his", "--", "look").returncode == 0
    refused = tta("play", "--user", "ben", "--session", "hers", "--", "look")
    assert refused.returncode == 1
    assert refused.stdout.startswith("(this story belongs to somebody else")
    looked = tta("play", "--user", "ben", "--session", "hers", input=":world\n")
    assert looked.stdout.startswith("(this story belongs to somebody else")

    forgotten = tta("forget", "anna", "--json")
    assert forgotten.returncode == 0, forgotten.stderr
    assert json.loads(forgotten.stdout)["erased"]["sessions-redis"] == 1
    assert [it for it in server.command("KEYS", "*:session") if b"hers" in it] == []
    assert key_of(server, "his")
    again = tta("forget", "anna")
    assert again.returncode == 0
    assert re.search(r"sessions-redis +0$", again.stdout, re.MULTILINE)
