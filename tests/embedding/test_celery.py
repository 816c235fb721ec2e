"""Celery's prefork workers, on a real broker: a kernel in each process, and none in their parent."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tta_redis.testing import RedisServer, redis_server
from tta_redis.testing.server import wait_until

from .host import PAGE, Gate, Host, Process, program

CALL = """\
import sys

import tasks

session, limit = sys.argv[1:]
print(tasks.play.apply_async(("look around", session), soft_time_limit=float(limit)).get(timeout=30))
"""
COMMAND = "celery --app tasks worker --concurrency 2"


class Workers:
    """The page's Celery, and programs that give it tasks."""

    def __init__(self, host: Host, broker: RedisServer) -> None:
        self.host = host
        self._environment = {"BROKER_URL": broker.url}
        host.write("story.py", program("One kernel for each process"))
        host.write("tasks.py", program("Celery"))
        host.write("call.py", CALL)
        assert COMMAND in PAGE
        module, *arguments = COMMAND.split()
        self.process = host.start(module, *arguments, environment=self._environment)
        wait_until(lambda: self.process.alive and len(host.running) == 2, "each process has a kernel", limit=30)
        assert self.process.pid not in host.running

    def call(self, session: str, *, soft_time_limit: float = 30) -> Process:
        """Start a program that has a turn played, and prints it."""
        return self.host.start("call", session, str(soft_time_limit), environment=self._environment)


@contextmanager
def working(folder: Path) -> Iterator[Workers]:
    with redis_server(own=True) as broker, Gate() as gate, Host(folder, gate) as host:
        yield Workers(host, broker)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Give workers for the tests that leave them running."""
    with working(tmp_path_factory.mktemp("celery")) as workers:
        yield workers


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Workers]:
    """Give workers that the test may end."""
    with working(tmp_path) as workers:
        yield workers


@pytest.mark.xdist_group("celery")
def test_a_task_plays_a_turn_in_each_process_at_once(shared: Workers) -> None:
    callers = [shared.call("held-1"), shared.call("held-2")]
    held = [shared.host.gate.arrival(), shared.host.gate.arrival()]
    for each in held:
        each.go()
    for caller in callers:
        assert caller.wait() == 0, caller.output
        assert len(caller.output.split()) > 20


@pytest.mark.xdist_group("celery")
def test_a_soft_time_limit_cancels_the_turn(shared: Workers) -> None:
    caller = shared.call("held-3", soft_time_limit=1)
    held = shared.host.gate.arrival()
    held.until_it_ends()
    assert caller.wait() == 1
    assert "SoftTimeLimitExceeded" in caller.output


@pytest.mark.xdist_group("celery")
def test_a_process_that_is_killed_is_replaced_and_the_new_one_has_a_kernel_of_its_own(shared: Workers) -> None:
    # One that is killed before Celery is ready ends it all.
    assert shared.call("first").wait() == 0
    killed = shared.host.running[0]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: shared.process.alive and len(shared.host.running) == 3, "a new one has a kernel", limit=30)
    assert shared.call("second").wait() == 0


@pytest.mark.timeout(120)
def test_a_turn_that_is_being_played_is_played_to_its_end_and_the_kernels_stopped(own: Workers) -> None:
    caller = own.call("held")
    held = own.host.gate.arrival()
    own.process.signal(signal.SIGTERM)
    own.process.until_it_says("Warm shutdown")
    held.go()
    assert caller.wait() == 0, caller.output
    # A process of billiard's that doesn't hear that its last result has arrived waits 30 s before it ends.
    assert own.process.wait(60) == 0, own.process.output
    assert own.host.running == []
