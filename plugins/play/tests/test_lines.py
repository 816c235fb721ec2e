"""Lines, however they come: in pieces, at once, without an end, too long, or no text."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tta_play.lines import LONGEST, Unreadable, lines


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


async def read(descriptor: int) -> list[str | Unreadable]:
    return [line async for line in lines(descriptor)]


async def test_lines_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes("\xef\xbb\xbfone\r\n\nzwölf\n\xff\n".encode("latin-1") + b"last")
    with path.open("rb") as file:
        assert await read(file.fileno()) == [
            "one", "", Unreadable("that isn't UTF-8 text; send UTF-8"), Unreadable("that isn't UTF-8 text; send UTF-8"),
            "last",
        ]  # fmt: skip


async def test_nothing_is_no_line() -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    try:
        assert await read(descriptor) == []
    finally:
        os.close(descriptor)


async def test_a_line_that_comes_in_pieces_is_one(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    found: list[str | Unreadable] = []
    arrived = anyio.Event()

    async def collect() -> None:
        async for line in lines(reading):
            found.append(line)
            arrived.set()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect)
            for piece in ("😀".encode()[:2], "😀".encode()[2:], b" look", b"\nnext"):
                os.write(writing, piece)
                await anyio.wait_writable(writing)
            await arrived.wait()
            assert found == ["😀 look"]
            os.close(writing)
    assert found == ["😀 look", "next"]


async def test_waiting_for_a_line_can_be_given_up(pipe: tuple[int, int]) -> None:
    with anyio.move_on_after(0.01) as scope:
        await read(pipe[0])
    assert scope.cancelled_caught
    os.close(pipe[1])


async def test_a_line_without_end_is_refused_and_the_next_one_read(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"a" * (3 * LONGEST) + b"\n" + b"b" * LONGEST + b"\nlook\n" + b"c" * (LONGEST + 1))
    with path.open("rb") as file:
        first, second, third, last = await read(file.fileno())
    assert isinstance(first, Unreadable)
    assert "too long" in first.why
    assert (second, third) == ("b" * LONGEST, "look")
    assert isinstance(last, Unreadable)
