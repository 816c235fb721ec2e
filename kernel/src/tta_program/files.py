"""Files of plain data: YAML with no key twice, no alias and no tag, and messages that quote no value."""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import Any

from tta_kernel import ConfigError, Problem

LARGEST = 1_000_000
"""How many bytes are read of what is no file: a device may never end."""
WAIT = 5.0
"""Seconds to wait for the next ones."""
DEEPEST = 50
"""How many mappings and lists may lie in each other; who reads them goes down step by step, and would fall."""
TOO_DEEP = f"more than {DEEPEST} mappings and lists lie in each other"
_QUOTES = "a text that begins with & * ! @ % or looks like a date needs quotes"


def read_text(path: Path) -> str:
    """Read a UTF-8 file; raise a ValueError that says why not."""
    try:
        found = path.read_bytes() if path.is_file() else _read_at_once(path)
        return found.decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("cannot be read: it is not UTF-8") from None


def _read_at_once(path: Path) -> bytes:
    """Read what is no file, such as the pipe of a secret's program, which may never write, or never end."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:
        found = b""
        while select.select([file], [], [], WAIT)[0]:
            piece = file.read(LARGEST)
            found += piece
            if len(found) > LARGEST:
                raise ValueError(f"cannot be read: it has more than {LARGEST} bytes")
            if piece:
                continue
            if found or not path.is_fifo():
                return found
            break  # A pipe that nobody has opened for writing ends at once, too.
    raise ValueError("cannot be read: nobody writes into it, or not to the end")


def parse(text: str, where: str) -> Any:
    """Return what a YAML text says; raise a `ConfigError` with its place."""
    import yaml

    safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(safe):  # type: ignore[misc]  # one of two, as PyYAML was built
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            lines: dict[str, int] = {}
            for key, _ in node.value:
                if key.tag == "tag:yaml.org,2002:bool":
                    key.tag = "tag:yaml.org,2002:str"  # A key that is called `on` means no truth.
                name = str(key.value)
                if name in lines:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {name!r} is there twice",
                        problem_mark=key.start_mark,
                        note=f"merge both; the first is in line {lines[name]}",
                    )
                lines[name] = key.start_mark.line + 1
            return super().construct_mapping(node, deep)

    mark: Any = None
    try:
        depth = 0
        for event in yaml.parse(text, Loader=safe):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                mark = event.start_mark
                raise yaml.MarkedYAMLError(problem=TOO_DEEP, problem_mark=mark)
            if isinstance(event, yaml.AliasEvent):  # Ten of them unfold to gigabytes.
                mark = event.start_mark
                raise yaml.MarkedYAMLError(problem="aliases are refused", problem_mark=mark, note=_QUOTES)
        return yaml.load(text, Loader=Loader)  # noqa: S506  # it is a safe one
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "odd characters"
        hint = getattr(error, "note", None) or ""
        if "constructor for the tag" in what:
            what = "tags are refused, and nothing makes Python objects"  # not quoted: a password may begin with !
            hint = _QUOTES
        elif "cannot start any token" in what:
            hint = _QUOTES
    except (ValueError, TypeError, LookupError, AttributeError):  # PyYAML, on the 31st of February
        what = "there is no such number or date"
        hint = _QUOTES
    at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
    raise ConfigError(Problem(where + at, f"cannot be read as YAML: {what}", hint))
