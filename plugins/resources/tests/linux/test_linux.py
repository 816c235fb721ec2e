"""What holds for a process, on hosts and in containers of each kind, and what psutil says of this one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from tta_resources import Sample
from tta_resources.linux import LinuxSampler
from tta_resources.sampling import sampler

from . import trees
from .trees import MIB, plant

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks at Linux")
CORES = float(len(os.sched_getaffinity(0)))
HOST_TOTAL, HOST_AVAILABLE = 8_192_000 * 1024, 4_096_000 * 1024


def looked(root: Path, files: Mapping[str, str]) -> Sample:
    found = LinuxSampler(root=plant(root, files))
    try:
        return found.sample()
    finally:
        found.close()


@pytest.mark.parametrize(
    ("files", "total", "used", "available", "fraction", "ooms", "kills"),
    [
        # The service may have 800 MiB and uses 200; its slice may have 2,000, and 1,000 are in use.
        pytest.param(trees.V2, 800 * MIB, 200 * MIB, 600 * MIB, 0.5, 2, 1, id="v2, nested"),
        pytest.param(trees.IN_A_CONTAINER, 512 * MIB, 256 * MIB, 256 * MIB, 0.5, 0, 0, id="v2, in a container"),
        pytest.param(trees.V1, 1000 * MIB, 500 * MIB, 500 * MIB, 0.5, 3, 3, id="v1"),
        pytest.param(trees.V1_IN_A_CONTAINER, 1000 * MIB, 500 * MIB, 500 * MIB, 0.5, 3, 3, id="v1, in a container"),
        pytest.param(trees.HYBRID, 1000 * MIB, 500 * MIB, 500 * MIB, 0.5, 3, 3, id="both, memory in v1"),
        pytest.param(trees.WITHOUT, HOST_TOTAL, HOST_AVAILABLE, HOST_AVAILABLE, 0.5, 0, 0, id="no cgroups"),
    ],
)
def test_memory_is_that_of_the_smallest_limit(
    tmp_path: Path, files: Mapping[str, str], total: int, used: int, available: int, fraction: float, ooms: int,
    kills: int,
) -> None:  # fmt: skip
    sample = looked(tmp_path, files)
    assert sample.errors == {}
    assert sample.memory is not None
    assert (sample.memory.total, sample.memory.used, sample.memory.available) == (total, used, available)
    assert sample.memory.fraction == pytest.approx(fraction)
    assert (sample.memory.ooms, sample.memory.kills) == (ooms, kills)


def test_a_limit_further_up_that_is_fuller_counts(tmp_path: Path) -> None:
    more = {"sys/fs/cgroup/tta.slice/memory.current": f"{2450 * MIB}\n"}
    memory = looked(tmp_path, {**trees.V2, **more}).memory
    assert memory is not None
    assert (memory.total, memory.used, memory.available) == (800 * MIB, 200 * MIB, 50 * MIB)
    assert memory.fraction == pytest.approx(0.975)


def test_a_limit_above_what_the_host_has_is_none(tmp_path: Path) -> None:
    more = {"sys/fs/cgroup/memory.max": str(2**50)}
    memory = looked(tmp_path, {**trees.IN_A_CONTAINER, **more}).memory
    assert memory is not None
    assert (memory.total, memory.available) == (HOST_TOTAL, HOST_AVAILABLE)


@pytest.mark.parametrize(
    ("files", "quota", "throttled", "seconds"),
    [
        pytest.param(trees.V2, 1.5, 4, 2.5, id="v2, nested"),
        pytest.param(trees.IN_A_CONTAINER, 0.5, 1, 0.1, id="v2, in a container"),
        pytest.param(trees.V1, 0.5, 5, 1.5, id="v1"),
        pytest.param(trees.V1_IN_A_CONTAINER, 0.5, 5, 1.5, id="v1, in a container"),
        pytest.param(trees.HYBRID, 0.5, 5, 1.5, id="both"),
        pytest.param(trees.WITHOUT, CORES, 0, 0.0, id="no cgroups"),
    ],
)
def test_cores_are_those_of_the_tightest_quota(
    tmp_path: Path, files: Mapping[str, str], quota: float, throttled: int, seconds: float
) -> None:
    processors = looked(tmp_path, files).processors
    assert processors is not None
    assert processors.cores == min(quota, CORES)
    assert (processors.throttled, processors.fraction) == (throttled, None)
    assert processors.throttled_seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("files", "usage"),
    [
        (trees.IN_A_CONTAINER, {"sys/fs/cgroup/cpu.stat": "usage_usec 3000000\n"}),
        (trees.V1, {"sys/fs/cgroup/cpu,cpuacct/story/cpuacct.usage": "5000000000\n"}),
    ],
    ids=["v2", "v1"],
)
def test_how_busy_it_was_is_said_by_the_quota_or_by_the_host(
    tmp_path: Path, files: Mapping[str, str], usage: Mapping[str, str]
) -> None:
    now = [100.0]
    found = LinuxSampler(root=plant(tmp_path, files), clock=lambda: now[0])
    fractions = []
    host = os.cpu_count() or 1
    # Ten seconds in which the host is idle, and the cgroup uses two seconds of five; then it is the other way round.
    for idle, more in ((0.0, {}), (10.0 * host, usage), (12.5 * host, {})):
        plant(tmp_path, {**more, "proc/uptime": f"1000.00 {1500 + idle:.2f}\n"})
        processors = found.sample().processors
        assert processors is not None
        fractions.append(processors.fraction)
        now[0] += 10.0
    found.close()
    assert fractions == [None, pytest.approx(0.4), pytest.approx(0.75)]


def test_pressure_is_the_cgroup_s_where_it_has_one_and_the_host_s_otherwise(tmp_path: Path) -> None:
    stalls = looked(tmp_path, trees.V2).stalls
    assert set(stalls) == {"cpu", "memory"}
    assert (stalls["memory"].some10, stalls["memory"].full60) == (20.0, 2.0)
    assert (stalls["cpu"].some10, stalls["cpu"].full10) == (1.5, 0.0)


@pytest.mark.parametrize("missing", ["proc/meminfo", "proc/uptime", "proc/self/mountinfo", "proc/self/cgroup"])
def test_what_cannot_be_read_is_said_and_the_rest_is_there(tmp_path: Path, missing: str) -> None:
    sample = looked(tmp_path, {name: text for name, text in trees.V1.items() if name != missing})
    assert sample.errors
    assert all("FileNotFoundError" in why for why in sample.errors.values())
    assert (sample.memory is None) == (missing == "proc/meminfo")
    assert (sample.processors is None) == (missing == "proc/uptime")


@pytest.mark.parametrize("text", ["", "nonsense", "0::", "5:memory", "\0", "a" * 100_000])
@pytest.mark.parametrize("name", ["proc/self/cgroup", "proc/self/mountinfo", "proc/uptime", "proc/pressure/cpu"])
def test_rubbish_is_an_error_and_no_crash(tmp_path: Path, name: str, text: str) -> None:
    sample = looked(tmp_path, {**trees.V2, name: text})
    assert sample.memory is not None


def test_a_cgroup_that_goes_and_another_that_comes_are_noticed(tmp_path: Path) -> None:
    now = [100.0]
    found = LinuxSampler(root=plant(tmp_path, trees.V2), clock=lambda: now[0])
    found.sample()
    plant(tmp_path, {"proc/self/cgroup": "0::/tta.slice\n"})
    now[0] += 60.0
    memory = found.sample().memory
    found.close()
    assert memory is not None
    assert (memory.total, memory.used) == (2000 * MIB, 1000 * MIB)


def test_this_process_is_as_psutil_says() -> None:
    found = sampler()
    first = found.sample()
    begun = time.process_time()
    while time.process_time() < begun + 0.05:
        pass
    second = found.sample()
    found.close()
    assert second.errors == {}
    assert second.memory is not None
    assert second.processors is not None
    assert second.processors.fraction is not None
    host = psutil.virtual_memory()
    assert second.memory.total <= host.total
    assert second.memory.available <= host.total
    assert second.own.memory == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    times = psutil.Process().cpu_times()
    assert first.own.seconds + 0.04 <= second.own.seconds <= times.user + times.system + 0.05


def test_another_process_can_be_looked_at() -> None:
    parent = str(os.getppid())
    found = sampler(parent)
    own = found.sample().own
    found.close()
    assert own.memory > 0
