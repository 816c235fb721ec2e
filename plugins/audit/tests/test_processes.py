"""Many processes record at once, and some are killed in the midst of it: chains are whole or torn, never broken."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tta_audit import FileAudit
from tta_audit.testing import an_entry

# a test waits for its own files


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


WRITER = """
import sys, anyio
from pathlib import Path
from tta_audit import FileAudit, Limits
from tta_audit.testing import an_entry

async def main():
    audit = FileAudit(Path(sys.argv[1]), Limits(file=20_000, total=10_000_000), sync="never")
    number = 0
    while number < int(sys.argv[2]):
        await audit.record(an_entry(target=f"{sys.argv[3]}-{number}", owner=f"u{number % 5}"))
        number += 1
        if number == 20:
            print("twenty", flush=True)

anyio.run(main)
"""


def writer(folder: Path, count: int, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), str(count), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def test_processes_that_record_at_once_lose_nothing_and_share_pseudonyms(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    writers = [writer(folder, 60, f"p{number}") for number in range(3)]
    assert [each.wait(timeout=60) for each in writers] == [0, 0, 0]
    audit = FileAudit(folder)
    assert [each.status for each in await audit.verify()] == ["whole"] * 3
    found = await audit.read(limit=10_000, what="runs.cancel")
    assert {each.target for each in found} == {f"p{name}-{number}" for name in range(3) for number in range(60)}
    assert len({each.owner for each in found}) == 5
    for each in writers:
        assert each.stdout is not None
        each.stdout.close()


async def test_a_process_that_is_killed_leaves_what_it_recorded_and_half_a_record_at_most(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    for _ in range(2):
        with writer(folder, 10**9, "killed") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "twenty\n"
            process.send_signal(signal.SIGKILL)
    audit = FileAudit(folder)
    await audit.record(an_entry(target="after"))
    found = await audit.verify()
    assert {each.status for each in found} <= {"whole", "torn"}
    ends = sorted(each.last for each in found)
    assert ends[0] == 2
    assert len(ends) == 3
    assert ends[1] > 20
    assert (await audit.read(limit=1))[0].target == "after"
    audit.close()
