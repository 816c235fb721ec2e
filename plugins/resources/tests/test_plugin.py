"""The plugin: its samples, figures, routes and command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from tta_http import HttpPlugin
from tta_http.testing import Caller
from tta_kernel.testing import problems, running
from tta_resources import RESOURCES, Disk, Memory, Own, Processors, ResourcesPlugin, Sample, Stall
from tta_resources.disks import Disks
from tta_resources.history import History
from tta_resources.picture import picture, size
from tta_resources.portable import PortableSampler
from tta_resources.sampling import Sampling
from tta_resources.thresholds import Thresholds
from tta_resources.watching import Watching

GIB = 1 << 30


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def sample(at: float, memory: float = 0.5) -> Sample:
    return Sample(
        at, Memory(4 * GIB, int(memory * 4 * GIB), int((1 - memory) * 4 * GIB), memory, kills=1),
        Processors(2.5, 0.25, throttled=3, throttled_seconds=1.0), Own(GIB, 1.5), {"cpu": Stall(1.5, 1.0, 0.0, 0.0)},
        [Disk("/", 8 * GIB, 2 * GIB)], {"own": "OSError: no"},
    )  # fmt: skip


class Counting:
    """Samples that are numbered."""

    def __init__(self, enough: int) -> None:
        self.count = 0
        self.enough = anyio.Event()
        self._enough = enough

    def sample(self) -> Sample:
        self.count += 1
        if self.count == self._enough:
            self.enough.set()
        return sample(float(self.count))

    def close(self) -> None:
        """Nothing is kept open."""


async def test_samples_are_taken_again_and_again_and_the_oldest_go() -> None:
    counting = Counting(enough=9)
    sampling = Sampling(
        counting, Disks([]), Watching(Thresholds()), interval=0.001, size=5, changed=lambda change: None
    )  # fmt: skip
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sampling.run)
        with anyio.fail_after(60):
            await counting.enough.wait()
        tasks.cancel_scope.cancel()
    times = [each.at for each in sampling.history()]
    assert times == [times[0] + step for step in range(5)]
    assert sampling.last().at == times[-1]


def test_a_history_is_thinned_out_evenly_and_the_newest_stays() -> None:
    history = History(100)
    for at in range(1, 101):
        history.add(sample(float(at)))
    assert [each.at for each in history.history(most=10)] == [float(at) for at in range(10, 101, 10)]
    assert [each.at for each in history.history(since=98.0)] == [99.0, 100.0]
    assert [each.at for each in history.history(most=1)] == [100.0]


async def test_it_samples_and_serves_what_it_has_seen() -> None:
    async with running(ResourcesPlugin, HttpPlugin, config={"metrics_interval": "100ms", "node": "story-1"}) as kernel:
        caller = Caller(kernel.hooks)
        with anyio.fail_after(60):
            while not kernel.get(RESOURCES).last().disks:  # noqa: ASYNC110 - nothing tells of a sample
                await anyio.sleep(0.01)
        now = await caller.get("/resources")
        assert now["node"] == "story-1"
        assert now["sample"]["memory"]["total"] > 0
        assert now["sample"]["disks"][0]["path"] == "/"
        found = await caller.get("/resources/history?most=2")
        assert 1 <= len(found["samples"]) <= 2


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"metrics_interval": 0.01}, "metrics_interval"),
        ({"history": 1}, "history"),
        ({"disks": "/"}, "disks"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_a_wrong_config_is_refused_before_anything_starts(config: Any, where: str) -> None:
    [problem] = problems(ResourcesPlugin, config=config)
    assert problem.startswith(f"plugins.resources.config.{where}: ")


async def test_a_file_system_that_is_not_there_is_an_error_beside_the_others() -> None:
    disks = Disks(["/", "/there/is/no/such/folder"])
    await disks.look()
    assert [disk.path for disk in disks.found] == ["/"]
    assert 0 < disks.found[0].free <= disks.found[0].total
    assert disks.errors == {"disk./there/is/no/such/folder": "FileNotFoundError: No such file or directory"}


def test_it_looks_where_there_is_no_linux() -> None:
    looking = PortableSampler()
    first, second = looking.sample(), looking.sample()
    assert first.processors is not None
    assert second.processors is not None
    assert first.processors.fraction is None
    assert second.processors.fraction is not None
    assert second.memory is not None
    assert 0 < second.memory.fraction < 1
    assert second.own.memory > 0


def test_a_picture_shows_how_full_it_is() -> None:
    lines = picture([sample(0.0, 0.0), sample(1.0, 1.0)], "story-1")
    assert lines[0] == "story-1  1970-01-01T00:00:01Z"
    text = "\n".join(lines)
    assert f"memory       {'█' * 30}  100%  4.0 GiB of 4.0 GiB, 0 B available; killed for it: 1" in text
    assert "of 2.5 cores; throttled 3 times, 1 s" in text
    assert f"disk /       {'█' * 22}{'░' * 8}   75%  2.0 GiB of 8.0 GiB free" in text
    assert "memory        █" in text
    assert lines[-1] == "own: OSError: no"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * GIB, "5.0 GiB"), (2**70, "1048576.0 PiB")]
)
def test_bytes_are_shown_as_people_read_them(count: int, text: str) -> None:
    assert size(count) == text


def tta(*words: str) -> subprocess.CompletedProcess[str]:
    command: Sequence[str] = [sys.executable, "-m", "tta_program", "resources", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_shows_what_there_is_and_refuses_what_is_none() -> None:
    shown = tta("--json", "--pid", str(os.getpid()))
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert found["own"]["memory"] > 0
    assert found["processors"]["fraction"] is not None
    assert tta("--every", "0").returncode == 2
    wrong = tta("--pid", "nobody")
    assert wrong.returncode == 2
    assert "--pid nobody" in wrong.stderr
