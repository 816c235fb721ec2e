"""Read a file below one folder, and nothing outside of it, wherever a path or a link may lead."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from tta_kernel import ConfigPath, Size
from tta_tools import Tool, ToolError

_NAME = "file.read"
_DEEPEST = 16

RelativePath = Annotated[str, Meta(min_length=1, max_length=1024, description="such as letters/first.txt")]


class FilesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Which ``folder`` may be read from, and up to how many bytes of a file; without a folder there is no such tool."""

    folder: ConfigPath | None = None
    max_bytes: Annotated[Size, Meta(ge=1, le=2**24)] = 131_072


class FileText(Struct, frozen=True):
    """The text of a file, and its size in bytes."""

    text: str
    bytes: int


def read_tool(folder: Path, max_bytes: int) -> Tool:
    """Make the tool."""

    def read(path: RelativePath) -> FileText:
        with _opened(folder, _parts(path)) as file:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise _refused("it is no file")
            if found.st_size > max_bytes:
                raise _too_large(max_bytes)
            # It may grow meanwhile.
            data = _read(file, max_bytes + 1)
        if len(data) > max_bytes:
            raise _too_large(max_bytes)
        try:
            return FileText(data.decode(), len(data))
        except UnicodeDecodeError:
            raise ToolError("failed", f"{_NAME}: the file is no text in UTF-8") from None

    return Tool.of(
        read,
        name=_NAME,
        version="1.0.0",
        description="Read a text file below the folder that this deployment allows.",
        capabilities=("files",),
        safety_flags=("filesystem",),
        idempotent=True,
        shared=True,
        told=True,
    )


def _parts(path: str) -> list[str]:
    parts = path.split("/")
    if len(parts) > _DEEPEST:
        raise _refused(f"it has more than {_DEEPEST} parts")
    for part in parts:
        # Also an empty one, with which an absolute path begins, and hidden files, which hold what is nobody's business.
        if not part or part.startswith(".") or not part.isprintable() or "\\" in part:
            raise _refused("its parts are names that don't begin with a dot, joined by /")
    return parts


@contextmanager
def _opened(folder: Path, parts: list[str]) -> Iterator[int]:
    """Open a file, from folder to folder: no name is looked up twice, and none is followed if it is a link."""
    try:
        here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise ToolError("unavailable", f"{_NAME}: its folder can't be read: {exc.strerror}") from None
    try:
        for part in parts[:-1]:
            there = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = there
        # To open a device does something, and a pipe waits for somebody.
        if not stat.S_ISREG(os.stat(parts[-1], dir_fd=here, follow_symlinks=False).st_mode):
            raise _refused("it is no file")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        file = os.open(parts[-1], flags, dir_fd=here)
    except UnicodeEncodeError:
        raise _refused("it can't be written as UTF-8") from None
    except OSError:
        # Whether it isn't there, or is a link, or may not be read, is the same to whoever asks.
        raise ToolError("not_found", f"{_NAME}: there is no such file") from None
    finally:
        os.close(here)
    try:
        yield file
    finally:
        os.close(file)


def _read(file: int, most: int) -> bytes:
    data = b""
    while len(data) < most and (piece := os.read(file, most - len(data))):
        data += piece
    return data


def _refused(why: str) -> ToolError:
    return ToolError("denied", f"{_NAME}: this path is not read: {why}")


def _too_large(max_bytes: int) -> ToolError:
    return ToolError("too_large", f"{_NAME}: the file has more than {max_bytes} bytes")
