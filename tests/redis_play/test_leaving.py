"""Processes that leave give back what they serve, and others go on with it."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from .deployment import (
    PATIENCE,
    Deployment,
    Player,
)


def terminate(player: Player) -> None:
    player.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("leave", [Player.quit, terminate])
def test_a_call_that_a_leaving_player_serves_goes_on_at_another(
    deployment: Deployment, leave: Callable[[Player], None]
) -> None:
    config = deployment.slow()
    serving = [deployment.start_player(config, "one"), deployment.start_player(config, "two")]
    for each in serving:
        each.turn("I look around")
    player = deployment.start_player(deployment.slow(serve=False), "three")
    player.say("I wait, and look around")
    pid = deployment.began()
    [leaving] = [each for each in serving if each.process.pid == pid]
    leave(leaving)
    assert leaving.process.wait(PATIENCE) in (0, 128 + signal.SIGTERM)
    assert "Traceback" not in leaving.errors
    assert deployment.began(pid) in {each.process.pid for each in serving}
    deployment.go()
    response = player.read_turn()
    assert (response["outcome"], response["turn"]) == ("story", 1)


def test_a_player_who_leaves_ends_first_what_others_wait_for(deployment: Deployment) -> None:
    config = deployment.slow(drain="8s")
    serving = [deployment.start_player(config, "one"), deployment.start_player(config, "two")]
    for each in serving:
        each.turn("I look around")
    player = deployment.start_player(deployment.slow(serve=False), "three")
    player.say("I wait, and look around")
    pid = deployment.began()
    [leaving] = [each for each in serving if each.process.pid == pid]
    leaving.quit()
    deployment.go()
    assert player.read_turn()["outcome"] == "story"
    assert leaving.process.wait(PATIENCE) == 0
    assert len(list(deployment.folder.glob("began-*"))) == 1


def test_the_last_words_of_a_server_that_leaves_are_heard(deployment: Deployment) -> None:
    serving = deployment.start_player(deployment.slow(drain="8s"), "one")
    serving.turn("I look around")
    player = deployment.start_player(deployment.slow(serve=False), "two")
    player.say("I wait, and look around")
    assert deployment.began() == serving.process.pid
    serving.quit()
    deployment.go()
    assert player.read_turn()["outcome"] == "story"
