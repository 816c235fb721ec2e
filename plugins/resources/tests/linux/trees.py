"""Trees of `/proc` and `/sys` as hosts and containers have them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

MIB = 1 << 20
NONE_V1 = 9_223_372_036_854_771_712

HOST: Mapping[str, str] = {
    "proc/meminfo": "MemTotal:  8192000 kB\nMemFree:   1024000 kB\nMemAvailable:   4096000 kB\nBuffers: 1 kB\n",
    "proc/uptime": "1000.00 1500.00\n",
    "proc/self/statm": "4141 3390 1667 1 0 2019 0\n",
    "proc/pressure/cpu": "some avg10=1.50 avg60=0.80 avg300=0.10 total=12\n",
    "proc/pressure/memory": (
        "some avg10=3.00 avg60=2.00 avg300=1.00 total=9\nfull avg10=0.50 avg60=0.25 avg300=0.00 total=5\n"
    ),
}
V2_MOUNT = "30 23 0:26 {inside} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V2 = {
    **HOST,
    "proc/self/cgroup": "0::/tta.slice/story.service\n",
    "proc/self/mountinfo": "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + V2_MOUNT.format(inside="/"),
    "sys/fs/cgroup/cgroup.controllers": "cpu memory io\n",
    "sys/fs/cgroup/cpu.stat": "usage_usec 99000000\n",
    "sys/fs/cgroup/tta.slice/cgroup.controllers": "cpu memory\n",
    "sys/fs/cgroup/tta.slice/memory.max": f"{2000 * MIB}\n",
    "sys/fs/cgroup/tta.slice/memory.high": "max\n",
    "sys/fs/cgroup/tta.slice/memory.current": f"{1500 * MIB}\n",
    "sys/fs/cgroup/tta.slice/memory.stat": f"anon 1\ninactive_file {500 * MIB}\n",
    "sys/fs/cgroup/tta.slice/cpu.max": "150000 100000\n",
    "sys/fs/cgroup/tta.slice/cpu.stat": "usage_usec 5000000\nnr_periods 9\nnr_throttled 4\nthrottled_usec 2500000\n",
    "sys/fs/cgroup/tta.slice/story.service/cgroup.controllers": "cpu memory\n",
    "sys/fs/cgroup/tta.slice/story.service/memory.max": "max\n",
    "sys/fs/cgroup/tta.slice/story.service/memory.high": f"{800 * MIB}\n",
    "sys/fs/cgroup/tta.slice/story.service/memory.current": f"{300 * MIB}\n",
    "sys/fs/cgroup/tta.slice/story.service/memory.stat": f"anon 1\ninactive_file {100 * MIB}\n",
    "sys/fs/cgroup/tta.slice/story.service/memory.events": "low 0\nhigh 7\nmax 3\noom 2\noom_kill 1\n",
    "sys/fs/cgroup/tta.slice/story.service/memory.pressure": (
        "some avg10=20.00 avg60=10.00 avg300=1.00 total=9\nfull avg10=5.00 avg60=2.00 avg300=0.00 total=5\n"
    ),
    "sys/fs/cgroup/tta.slice/story.service/cpu.max": "max 100000\n",
    "sys/fs/cgroup/tta.slice/story.service/cpu.stat": "usage_usec 1\n",
}
IN_A_CONTAINER = {
    **HOST,
    "proc/self/cgroup": "0::/\n",
    "proc/self/mountinfo": V2_MOUNT.format(inside="/"),
    "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
    "sys/fs/cgroup/memory.max": f"{512 * MIB}\n",
    "sys/fs/cgroup/memory.high": "max\n",
    "sys/fs/cgroup/memory.current": f"{256 * MIB}\n",
    "sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 0\n",
    "sys/fs/cgroup/memory.events": "oom 0\noom_kill 0\n",
    "sys/fs/cgroup/cpu.max": "50000 100000\n",
    "sys/fs/cgroup/cpu.stat": "usage_usec 1000000\nnr_throttled 1\nthrottled_usec 100000\n",
}
_V1_MOUNTS = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 {inside} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 {inside} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)


def _v1(place: str) -> dict[str, str]:
    return {
        f"sys/fs/cgroup/memory{place}/memory.limit_in_bytes": f"{1000 * MIB}\n",
        f"sys/fs/cgroup/memory{place}/memory.usage_in_bytes": f"{700 * MIB}\n",
        f"sys/fs/cgroup/memory{place}/memory.stat": f"inactive_file 1\ntotal_inactive_file {200 * MIB}\n",
        f"sys/fs/cgroup/memory{place}/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        f"sys/fs/cgroup/cpu,cpuacct{place}/cpu.cfs_quota_us": "50000\n",
        f"sys/fs/cgroup/cpu,cpuacct{place}/cpu.cfs_period_us": "100000\n",
        f"sys/fs/cgroup/cpu,cpuacct{place}/cpu.stat": "nr_periods 9\nnr_throttled 5\nthrottled_time 1500000000\n",
        f"sys/fs/cgroup/cpu,cpuacct{place}/cpuacct.usage": "3000000000\n",
    }


_V1_ROOT = {
    "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{NONE_V1}\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{5000 * MIB}\n",
    "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 0\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
}
V1 = {
    **HOST,
    **_V1_ROOT,
    "proc/self/cgroup": "5:cpu,cpuacct:/story\n4:memory:/story\n1:name=systemd:/\n",
    "proc/self/mountinfo": _V1_MOUNTS.format(inside="/"),
    **_v1("/story"),
}
V1_IN_A_CONTAINER = {
    **HOST,
    "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n",
    "proc/self/mountinfo": _V1_MOUNTS.format(inside="/docker/abc"),
    **_v1(""),
}
HYBRID = {
    **V1,
    "proc/self/cgroup": "5:cpu,cpuacct:/story\n4:memory:/story\n0::/elsewhere\n",
    "proc/self/mountinfo": (
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n" + _V1_MOUNTS.format(inside="/")
    ),
    "sys/fs/cgroup/unified/cgroup.controllers": "\n",
}
WITHOUT = {**HOST, "proc/self/cgroup": "0::/\n", "proc/self/mountinfo": "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n"}


def plant(root: Path, files: Mapping[str, str]) -> Path:
    """Write files below ``root``."""
    for name, text in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return root
