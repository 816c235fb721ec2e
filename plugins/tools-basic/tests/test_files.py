"""Reading below a folder: no path, no link and nothing odd leads outside of it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tta_tools import Tool, ToolError
from tta_tools_basic import FileText, read_tool


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder beside a secret, with ways out of it."""
    (tmp_path / "secret").write_text("a secret of somebody's")
    (tmp_path / "folder-and-more").mkdir()
    (tmp_path / "folder-and-more/file").write_text("a secret of somebody's")
    folder = tmp_path / "folder"
    (folder / "letters").mkdir(parents=True)
    (folder / "letters/first.txt").write_text("Dear Ada, grüße")
    (folder / ".hidden").write_text("a secret of somebody's")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "relative").symlink_to("../secret")
    (folder / "inside").symlink_to("letters/first.txt")
    (folder / "up").symlink_to(tmp_path)
    (folder / "here").symlink_to(".")
    (folder / "loop").symlink_to("loop")
    (folder / "passwd").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(folder)
        server.bind("socket")
    (folder / "binary").write_bytes(b"\xff\xfe\x00")
    (folder / "long").write_text("x" * 101)
    return folder


@pytest.fixture(autouse=True)
def back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def read(folder: Path) -> Tool:
    return read_tool(folder, 100)


def test_a_text_below_the_folder_is_read(read: Tool) -> None:
    assert read(path="letters/first.txt") == FileText("Dear Ada, grüße", 17)


OUTSIDE = [
    "..", "../secret", "letters/../../secret", "letters/../letters/first.txt", "./letters/first.txt", "/etc/passwd",
    "//etc/passwd", "letters//first.txt", "letters/", "", ".", "/", ".hidden", "~/secret", "~root", "..\\secret",
    "letters\\..\\..\\secret", "..%2fsecret", "%2e%2e/secret", "..%c0%af..%c0%afsecret", "．．/secret", "‥/secret",
    "\u2024\u2024/secret", "letters/first.txt\x00", "\x00", "letters/first.txt\n", "../folder-and-more/file",
    "link", "relative", "inside", "up/secret", "here/letters/first.txt", "loop", "loop/x", "passwd",
    "letters/first.txt/x", "letters", "pipe", "socket", "missing", "letters/first.txt ", "\ud800", "a" * 300,
    "a/" * 15 + "a", "a/" * 16 + "a", "C:\\secret", "C:secret", "file:///etc/passwd", "letters/first.txt:$DATA",
    "/proc/self/environ", "/dev/stdin", "/dev/zero",

]  # fmt: skip


def test_no_path_leads_out_or_to_what_is_no_file(read: Tool) -> None:
    codes = {}
    for path in OUTSIDE:
        with pytest.raises(ToolError) as caught:
            read(path=path)
        assert "secret" not in str(caught.value)
        codes[path] = caught.value.code
    assert {path: code for path, code in codes.items() if code not in ("denied", "not_found")} == {}


def test_what_is_long_or_no_text_is_refused(read: Tool) -> None:
    with pytest.raises(ToolError, match="more than 100 bytes"):
        read(path="long")
    with pytest.raises(ToolError, match="no text in UTF-8"):
        read(path="binary")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Linux has files whose size is 0, and that have text")
def test_a_file_that_has_more_than_it_says_is_refused() -> None:
    with pytest.raises(ToolError, match="more than 10 bytes"):
        read_tool(Path("/proc/self"), 10)(path="stat")


def test_a_folder_that_has_gone_is_told_and_is_no_crash(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="folder can't be read") as caught:
        read_tool(tmp_path / "gone", 10)(path="file")
    assert caught.value.code == "unavailable"


def test_no_file_stays_open(read: Tool) -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    for path in ("letters/first.txt", "letters/missing", "link", "long", "binary", "up/secret"):
        try:
            read(path=path)
        except ToolError:
            continue
    assert len([*Path("/proc/self/fd").iterdir()]) == before
