"""Records in memory and in files, and what a file shows of those who change it, and of crashes."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from tta_audit import Audit, AuditError, FileAudit, Limits, MemoryAudit, Verdict
from tta_audit.testing import AuditContract, SharedAuditContract, an_entry

# ruff: noqa: ASYNC240  # a test waits for its own files


class TestMemory(AuditContract):
    @pytest.fixture
    def audit(self) -> Audit:
        return MemoryAudit(100)


class TestFiles(SharedAuditContract):
    @pytest.fixture
    def audit(self, tmp_path: Path) -> Iterator[Audit]:
        audit = FileAudit(tmp_path / "audit")
        yield audit
        audit.close()

    @pytest.fixture
    def other(self, tmp_path: Path) -> Iterator[Audit]:
        audit = FileAudit(tmp_path / "audit", sync="never")
        yield audit
        audit.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


async def written(folder: Path, *targets: str, limits: Limits | None = None) -> Path:
    """Let a process record something and end; return its last file."""
    audit = FileAudit(folder, limits)
    for each in targets:
        await audit.record(an_entry(target=each))
    audit.close()
    return max(folder.glob("*.jsonl"), key=lambda file: (file.stat().st_mtime_ns, file.name))


async def judged(folder: Path) -> dict[str, Verdict]:
    return {each.chain: each for each in await FileAudit(folder).verify()}


async def verdict(folder: Path) -> Verdict:
    (found,) = (await judged(folder)).values()
    return found


async def test_nothing_is_written_before_the_first_entry(folder: Path) -> None:
    audit = FileAudit(folder)
    assert await audit.verify() == []
    assert await audit.read() == []
    assert await audit.forget("anna") == 0
    audit.close()
    assert not folder.exists()


async def test_only_its_owner_can_read_what_is_written(folder: Path) -> None:
    audit = FileAudit(folder)
    await audit.record(an_entry(owner="anna"))
    audit.close()
    found = [folder, *folder.rglob("*")]
    assert {stat.S_IMODE(each.stat().st_mode) for each in found if each.is_dir()} == {0o700}
    assert {stat.S_IMODE(each.stat().st_mode) for each in found if each.is_file()} == {0o600}


async def test_no_file_names_a_person_nor_has_a_name_of_theirs(folder: Path) -> None:
    audit = FileAudit(folder)
    await audit.record(an_entry(owner="anna.of.the.lighthouse"))
    audit.close()
    for each in folder.rglob("*"):
        assert "anna" not in each.name
        assert each.is_dir() or b"anna" not in each.read_bytes()


@pytest.mark.parametrize("number", range(5))
async def test_whatever_is_changed_in_a_record_breaks_the_chain_there(folder: Path, number: int) -> None:
    file = await written(folder, "a", "b", "c", "d")
    lines = file.read_bytes().splitlines(keepends=True)
    for place in range(0, len(lines[number]) - 1, 7):
        changed = bytearray(lines[number])
        changed[place] ^= 1
        file.write_bytes(b"".join([*lines[:number], bytes(changed), *lines[number + 1 :]]))
        found = await judged(folder)
        assert [each.status for each in found.values()] == ["broken"]
        assert f"after record {number}" in next(iter(found.values())).why
    file.write_bytes(b"".join(lines))
    assert (await verdict(folder)).status == "whole"


@pytest.mark.parametrize("number", range(1, 4))
async def test_a_record_that_is_taken_out_is_missed(folder: Path, number: int) -> None:
    file = await written(folder, "a", "b", "c", "d")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:number] + lines[number + 1 :]))
    found = await verdict(folder)
    assert found.status == "broken"
    assert f"record {number + 1} is missing" in found.why


async def test_records_that_were_put_in_or_have_changed_places_are_seen(folder: Path) -> None:
    file = await written(folder, "a", "b", "c")
    lines = file.read_bytes().splitlines(keepends=True)
    for wrong in (
        [lines[0], lines[2], lines[1], lines[3]],
        [lines[0], lines[1], lines[1], *lines[2:]],
        [*lines[1:], lines[0]],
    ):
        file.write_bytes(b"".join(wrong))
        assert (await verdict(folder)).status == "broken"


async def test_a_record_made_anew_with_a_right_digest_of_its_own_is_seen(folder: Path) -> None:
    file = await written(folder, "a", "b", "c")
    lines = file.read_bytes().splitlines(keepends=True)
    forged = json.loads(lines[1])
    body = {name: value for name, value in forged.items() if name != "digest"} | {"user.name": "somebody-else"}
    data = json.dumps(body, separators=(",", ":")).encode()
    line = data[:-1] + b',"digest":"' + hashlib.sha256(data).hexdigest().encode() + b'"}\n'
    file.write_bytes(b"".join([lines[0], line, *lines[2:]]))
    found = await verdict(folder)
    assert (found.status, found.why) == ("broken", "record 3 doesn't follow from 2")


async def test_half_a_record_at_the_end_is_a_crash_and_no_tampering(folder: Path) -> None:
    file = await written(folder, "a", "b", "c")
    data = file.read_bytes()
    last = data.rstrip(b"\n").rfind(b"\n") + 1
    for length in (last + 1, (last + len(data)) // 2, len(data) - 1):
        file.write_bytes(data[:length])
        found = await verdict(folder)
        assert (found.status, found.last) == ("torn", 3)


async def test_half_a_record_with_more_after_it_is_no_crash(folder: Path) -> None:
    first = await written(folder, "a", "b", limits=Limits(file=1))
    second = min(folder.glob("*.jsonl"))
    assert first != second
    second.write_bytes(second.read_bytes()[:-20])
    assert (await verdict(folder)).status == "broken"


async def test_half_a_record_whose_write_failed_is_no_harm_where_the_chain_goes_on_in_the_next_file(
    folder: Path,
) -> None:
    await written(folder, "a", "b", limits=Limits(file=1))
    first = min(folder.glob("*.jsonl"))
    first.write_bytes(first.read_bytes() + b'{"v":1,"chain":"')
    assert (await verdict(folder)).status == "whole"


async def test_a_process_that_crashed_in_its_first_record_is_torn(folder: Path) -> None:
    file = await written(folder, "a")
    file.write_bytes(file.read_bytes()[:30])
    assert (await verdict(folder)).status == "torn"
    assert [each.target for each in await FileAudit(folder).read()] == []


async def test_records_cut_off_at_the_end_are_missed_by_whoever_began_later(folder: Path) -> None:
    first = await written(folder, "a", "b", "c")
    await written(folder, "d")
    lines = first.read_bytes().splitlines(keepends=True)
    first.write_bytes(b"".join(lines[:2]))
    broken = [each for each in (await judged(folder)).values() if each.status == "broken"]
    assert [each.why for each in broken] == ["the records from 3 to 4 are missing: they were there once"]


async def test_a_chain_that_is_gone_is_missed_by_whoever_began_later(folder: Path) -> None:
    first = await written(folder, "a", "b", "c")
    await written(folder, "d")
    first.unlink()
    broken = [each for each in (await judged(folder)).values() if each.status == "broken"]
    assert [each.why for each in broken] == ["the records from 1 to 4 are missing: they were there once"]


async def test_a_part_that_is_gone_is_missed(folder: Path) -> None:
    await written(folder, "a", "b", "c", "d", limits=Limits(file=1))
    parts = sorted(folder.glob("*.jsonl"))
    assert len(parts) > 2
    parts[0].unlink()
    found = await verdict(folder)
    assert found.status == "broken"
    assert "nothing says that they were dropped" in found.why


async def test_one_chain_goes_on_through_all_its_files(folder: Path) -> None:
    audit = FileAudit(folder, Limits(file=500))
    for number in range(20):
        await audit.record(an_entry(target=f"run-{number}"))
    audit.close()
    assert len([*folder.glob("*.jsonl")]) > 5
    found = await verdict(folder)
    assert (found.status, found.first, found.last) == ("whole", 1, 21)


async def test_what_is_dropped_leaves_a_digest_that_the_rest_is_held_to(folder: Path) -> None:
    limits = Limits(file=1000, total=5000)
    for process in range(6):
        audit = FileAudit(folder, limits)
        for number in range(12):
            await audit.record(an_entry(target=f"{process}-{number}"))
        audit.close()
    found = await judged(folder)
    assert {each.status for each in found.values()} == {"whole"}
    assert sum(file.stat().st_size for file in folder.glob("*.jsonl")) < 5000 + 2 * 2000
    newest = await FileAudit(folder).read(limit=1)
    assert newest[0].target == "5-11"
    # One more of them gone, which nothing tells of, is seen.
    min(folder.glob("*.jsonl")).unlink()
    assert "broken" in {each.status for each in (await judged(folder)).values()}


async def test_files_that_are_too_old_are_dropped(folder: Path) -> None:
    old = await written(folder, "a")
    os.utime(old, (1e9, 1e9))
    await written(folder, "b")
    assert not old.exists()
    assert {each.status for each in (await judged(folder)).values()} == {"whole"}


async def test_a_file_that_a_process_still_writes_to_is_never_dropped(folder: Path) -> None:
    audit = FileAudit(folder)
    await audit.record(an_entry(target="a"))
    (mine,) = folder.glob("*.jsonl")
    os.utime(mine, (1e9, 1e9))
    await written(folder, "b")
    await audit.record(an_entry(target="c"))
    audit.close()
    assert {each.target for each in await FileAudit(folder).read()} >= {"a", "b", "c"}


async def test_while_it_is_written_to_a_chain_is_whole(folder: Path) -> None:
    audit = FileAudit(folder)
    await audit.record(an_entry())
    (mine,) = folder.glob("*.jsonl")
    with mine.open("ab") as file:
        file.write(b'{"half a rec')
    assert (await verdict(folder)).status == "whole"
    audit.close()


async def test_a_write_that_fails_is_told_and_the_next_goes_on_where_the_last_good_one_was(folder: Path) -> None:
    audit = FileAudit(folder, Limits(file=1))
    await audit.record(an_entry(target="a"))
    kept = folder.rename(folder.with_name("kept"))
    folder.write_bytes(b"a file in the folder's place")
    with pytest.raises(AuditError):
        await audit.record(an_entry(target="lost"))
    assert audit.trouble
    folder.unlink()
    kept.rename(folder)
    await audit.record(an_entry(target="b"))
    audit.close()
    assert audit.trouble == ""
    assert [each.target for each in await FileAudit(folder).read() if each.what == "runs.cancel"] == ["b", "a"]
    assert (await verdict(folder)).status == "whole"


async def test_nobody_is_told_that_an_entry_is_written_which_another_one_kept_from_it(folder: Path) -> None:
    audit = FileAudit(folder)
    told: dict[str, str] = {}

    async def record(target: str, outcome: Any = "done") -> None:
        try:
            await audit.record(msgspec.structs.replace(an_entry(target=target), outcome=outcome))
        except AuditError:
            told[target] = "error"
        else:
            told[target] = "written"

    async with anyio.create_task_group() as tasks:
        for target in ("first", "second", "third"):
            # What no JSON can say: whoever asks wasn't held to what an entry declares.
            tasks.start_soon(record, target, object() if target == "second" else "done")
    found = {each.target for each in await audit.read() if each.target}
    audit.close()
    assert found == {target for target, what in told.items() if what == "written"}
    assert told["second"] == "error"


async def test_a_newer_release_s_records_are_verified_and_read(folder: Path) -> None:
    file = await written(folder, "a")
    lines = file.read_bytes().splitlines(keepends=True)
    raw = json.loads(lines[1])
    del raw["digest"]
    data = json.dumps({**raw, "v": 2, "new": {"x": 1}}, separators=(",", ":")).encode()
    file.write_bytes(lines[0] + data[:-1] + b',"digest":"' + hashlib.sha256(data).hexdigest().encode() + b'"}\n')
    assert (await verdict(folder)).status == "whole"
    assert [each.v for each in await FileAudit(folder).read()] == [2, 1]


async def test_a_line_is_named_as_opentelemetry_has_it(folder: Path) -> None:
    file = await written(folder, "a")
    line = msgspec.json.decode(file.read_bytes().splitlines()[1])
    assert {"timestamp", "event.name", "user.name", "outcome", "target", "digest", "previous"} <= line.keys()


async def test_memory_drops_the_oldest_and_is_held_to_where_that_was() -> None:
    audit = MemoryAudit(10)
    for number in range(25):
        await audit.record(an_entry(target=f"{number}", owner=f"u{number}"))
    (found,) = await audit.verify()
    assert (found.status, found.first, found.last) == ("whole", 16, 25)
