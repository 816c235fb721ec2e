"""Whatever becomes of the file, the last good policy stays, and no call is decided by half of one."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import anyio
import pytest

from tta_kernel import Problem
from tta_tool_policy import PolicyError, ToolCall
from tta_tool_policy.loading import KEPT, Loader
from tta_tool_policy.reading import Overrides

LOCKED = "version: 1\nrules:\n  - id: dice\n    effect: allow\n    tools: [dice]\n    roles: [operator]\n...\n"
CALL = ToolCall(tool="dice", version="1.0.0")


def vanishes(path: Path) -> None:
    path.unlink()


def is_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def is_a_link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def becomes(text: str | bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    return write


FAULTS: dict[str, Callable[[Path], None]] = {
    "vanishes": vanishes,
    "is a folder": is_a_folder,
    "is a link to itself": is_a_link_to_itself,
    "is empty": becomes(""),
    "is cut in a rule": becomes(LOCKED[: LOCKED.index("    roles")]),
    "is cut in a word": becomes(LOCKED[:-9]),
    "ends in zeros": becomes(LOCKED[:-9] + "\0" * 9),
    "is no YAML": becomes("version: ["),
    "is of a wrong type": becomes("version: 1\ndefaults: {network: 'yes please'}\nrules: []\n...\n"),
    "is the predecessor's": becomes("callable_allowlist: []\nallow_process_tools: true\n...\n"),
    "has an unknown effect": becomes(LOCKED.replace("allow", "permit")),
    "has no Unicode": becomes(b"version: 1\n# \xff\n...\n"),
    "is too large": becomes("#" * 2_000_001),
    "is bombed with aliases": becomes("a: &a [x]\nb: &b [*a, *a]\nversion: 1\n...\n"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_file_that_can_not_be_used_opens_nothing_at_the_start_nor_later(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(LOCKED)
    clock = count(1000)
    told: list[Sequence[Problem]] = []
    loader = Loader(path, Overrides(), refused=told.append, clock=lambda: float(next(clock)))
    await loader.start()
    before = loader.status()

    FAULTS[fault](path)
    with pytest.raises(PolicyError):
        await Loader(path, Overrides()).start()
    with pytest.raises(PolicyError):
        await loader.prepare(path, Overrides())
    await loader.look()
    found = await loader.reload()

    assert not found.ok
    assert str(path) in found.error
    status = loader.status()
    assert (status.hash, status.since) == (before.hash, before.since)
    assert status.degraded_since is not None
    assert len(told) == 2
    assert not loader.engine.decide(CALL).allowed
    await loader.reload()
    assert loader.status().degraded_since == status.degraded_since, "it says since when, and not when it was tried last"

    if path.is_symlink() or path.exists():
        path.rename(tmp_path / "away")
    path.write_text(LOCKED.replace("dice", "cube"))
    assert (await loader.reload()).ok
    assert loader.status().degraded_since is None
    assert loader.engine.digest != before.hash


async def test_a_file_that_takes_too_long_to_read_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(LOCKED)
    loader = Loader(path, Overrides(), limit=1.0)
    await loader.start()
    before = loader.engine
    path.unlink()
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR)  # Somebody is about to write into it, and never does.
    threads = threading.active_count()
    try:
        found = [await loader.reload() for _ in range(3)]
    finally:
        os.close(pipe)
    assert "could not be read within 1 s" in found[0].error
    assert threading.active_count() - threads <= 2, "behind what hangs one waits, and one that has just given up"
    assert not any(each.ok for each in found)
    assert loader.engine is before
    assert loader.status().degraded_since is not None


async def test_a_look_notices_and_puts_nothing_in_force(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(LOCKED)
    loader = Loader(path, Overrides())
    await loader.start()
    before = loader.engine
    path.write_text("version: 1\n")
    await loader.look()
    assert loader.degraded_since is not None
    path.write_text(LOCKED.replace("operator", "night"))
    await loader.look()
    assert loader.status().degraded_since is None
    assert loader.engine is before


async def test_only_the_last_reloads_are_remembered_and_a_clock_that_jumps_is_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(LOCKED)
    times = iter([0.0, 1e12, -1e12] * 100)
    loader = Loader(path, Overrides(), clock=lambda: next(times))
    await loader.start()
    for _ in range(KEPT + 5):
        assert (await loader.reload()).ok
    assert len(loader.history) == KEPT


async def test_each_of_many_decisions_is_made_by_one_whole_policy_while_the_file_is_replaced(tmp_path: Path) -> None:
    # Each version allows one tool, and says in the time limit which version it is: a mixture would show.
    def version(number: int) -> str:
        rule = f"  - {{id: v{number}, effect: allow, tools: [t{number}], timeout: {number + 1}}}\n"
        padding = "".join(f"  - {{id: p{n}, effect: deny, tools: [p{n}]}}\n" for n in range(5))
        return f"version: 1\nrules:\n{padding}{rule}...\n"

    path = tmp_path / "policy.yaml"
    path.write_text(version(0))
    loader = Loader(path, Overrides())
    await loader.start()
    hashes = {loader.engine.digest: 0}
    replaced = anyio.Event()

    async def replace() -> None:
        for number in range(1, 101):
            if number % 2:
                path.write_text(version(number))  # in place
            else:
                (tmp_path / "new").write_text(version(number))
                (tmp_path / "new").replace(path)
            assert (await loader.reload()).ok
            hashes[loader.engine.digest] = number
        replaced.set()

    decided = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(replace)
        while decided < 10_000 or not replaced.is_set():
            engine = loader.engine
            for number in (0, 50, 100):
                found = loader.engine.decide(ToolCall(tool=f"t{number}", version="1.0.0"))
                assert found.policy == engine.digest
                if found.allowed:
                    assert found.rule == f"v{number}"
                    assert found.limits.timeout == number + 1
                decided += 1
            if decided % 30 == 0:
                await anyio.lowlevel.checkpoint()
    assert len(hashes) == 101


@pytest.mark.parametrize("watchfiles", [True, False], ids=["watchfiles", "polling"])
async def test_a_changed_file_is_put_in_force_where_it_is_watched_and_a_bad_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, watchfiles: bool
) -> None:
    if not watchfiles:
        monkeypatch.setitem(sys.modules, "watchfiles", None)
    path = tmp_path / "policy.yaml"
    path.write_text(LOCKED)
    events: list[str] = []
    changed = anyio.Event()

    def note(what: str) -> None:
        nonlocal changed
        events.append(what)
        changed.set()
        changed = anyio.Event()

    loader = Loader(path, Overrides(), taken=lambda it: note(it.digest), refused=lambda it: note("refused"))
    await loader.start()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(loader.watch, 0.01)
            path.write_text(LOCKED.replace("operator", "night"))
            await changed.wait()
            second = loader.engine.digest
            path.write_text(LOCKED.replace("allow", "5"))
            await changed.wait()
            tasks.cancel_scope.cancel()
    assert events[1:] == [second, "refused"]
    assert [each.ok for each in loader.history] == [True, True, False]
    assert loader.engine.digest == second
