"""Labelled texts in CSV or JSON lines, with the names that data sets use for the same things."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tta_safety import category

_NAMES: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "message", "content", "prompt", "post", "utterance", "response"),
    "label": ("label", "y", "target", "class", "is_crisis", "crisis", "unsafe", "flagged"),
    "category": ("category", "cat", "kind", "type", "crisis_type", "topic"),
    "group": ("group", "subset", "slice", "source"),
    "context": ("context", "ctx", "before", "previous"),
    "conversation": ("conversation", "conversation_id", "conv", "conv_id", "dialogue", "dialogue_id", "session"),
    "turn": ("turn", "turn_id", "turn_index", "index"),
    "id": ("id", "uid", "uuid", "key"),
}
_YES = frozenset({"1", "true", "yes", "y", "t", "positive", "pos", "unsafe", "crisis", "risk", "harmful", "flagged"})
_NO = frozenset({"0", "false", "no", "n", "f", "negative", "neg", "safe", "none", "ok", "benign", "harmless", "-"})
NONE = "none"
_LONGEST_FIELD = 1 << 24
MOST = 1_000_000


class ReadError(Exception):
    """A file can't be read as labelled texts; says which line and field, and the way out."""


class Row(msgspec.Struct, frozen=True):
    """One text: ``label`` is None where the file has none; ``category`` is "none" or as the file has it."""

    id: str
    text: str
    label: bool | None = None
    category: str = NONE
    group: str = ""
    context: str = ""
    conversation: str = ""
    turn: int = 0


def read_rows(path: Path) -> list[Row]:
    """Read a file; the turns of a conversation in their order."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ReadError(f"{path}: {exc.strerror or exc}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        raise ReadError(f"{path}:{line}: not UTF-8; convert it, such as by `iconv -t utf-8`") from None
    entries = _csv(path, text) if path.suffix.lower() in {".csv", ".tsv"} else _json(path, text)
    rows = []
    for line, entry in entries:
        rows.append(_row(f"{path}:{line}", entry, line))
        if len(rows) > MOST:
            raise ReadError(f"{path}:{line}: more than {MOST:,} texts; split the file")
    if not rows:
        raise ReadError(f"{path}: there is no text in it")
    return rows


def _csv(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    csv.field_size_limit(_LONGEST_FIELD)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    # Lines are kept as they are: a text may hold line breaks of its own.
    reader = csv.DictReader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    try:
        names = reader.fieldnames or []
        if not _named(names, "text"):
            wanted = ", ".join(_NAMES["text"])
            raise ReadError(f"{path}:1: no column for the text among {', '.join(names) or 'none'}; name one {wanted}")
        for entry in reader:
            if None in entry:
                raise ReadError(f"{path}:{reader.line_num}: more fields than the first line names; quote the text")
            yield reader.line_num, entry
    except csv.Error as exc:
        raise ReadError(f"{path}:{reader.line_num}: {exc}; is a quote missing?") from None


def _json(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as exc:
            why = str(exc) if isinstance(exc, ValueError) else "nested too deeply"
            raise ReadError(f"{path}:{number}: not JSON: {why}; one object a line is expected") from None
        if not isinstance(entry, dict):
            raise ReadError(f'{path}:{number}: {type(entry).__name__} instead of an object such as {{"text": …}}')
        yield number, entry


def _named(names: Iterable[str], wanted: str) -> str:
    """Return the name under which a file has what is wanted, "" if it hasn't."""
    lower = {name.strip().lower(): name for name in names}
    for alias in _NAMES[wanted]:
        if alias in lower:
            return lower[alias]
    return ""


def _row(where: str, entry: Mapping[str, Any], line: int) -> Row:
    found = {wanted: entry[name] for wanted in _NAMES if (name := _named(entry, wanted))}
    if not isinstance(text := found.get("text"), str):
        has = ", ".join(map(str, entry)) or "nothing"
        raise ReadError(f"{where}: no text (a string named {', '.join(_NAMES['text'])}); the line has {has}")
    label, named = _label(where, found.get("label"))
    return Row(
        id=_string(where, "id", found.get("id")) or str(line),
        text=text,
        label=label,
        category=named or _category(_string(where, "category", found.get("category"))),
        group=_string(where, "group", found.get("group")),
        context=_string(where, "context", found.get("context")),
        conversation=_string(where, "conversation", found.get("conversation")),
        turn=_turn(where, found.get("turn")),
    )


def _label(where: str, value: Any) -> tuple[bool | None, str]:
    """Return what a label says, and the category where it is one."""
    if value is None or value == "":
        return None, ""
    if isinstance(value, bool):
        return value, ""
    if isinstance(value, int | float):
        if value not in {0, 1}:
            raise ReadError(f"{where}: label: {value}; say 1 (crisis, unsafe) or 0")
        return bool(value), ""
    plain = str(value).strip().lower()
    if plain in _YES | _NO:
        return plain in _YES, ""
    if plain in {"0.0", "1.0"}:
        return plain == "1.0", ""
    try:
        return True, category(plain)
    except ValueError:
        raise ReadError(
            f"{where}: label: {value!r:.40}; say 1 or 0, true or false, safe or unsafe, or name a category"
        ) from None


def _category(name: str) -> str:
    if not name or name.lower() in _NO:
        return NONE
    try:
        return category(name)
    except ValueError:
        return name  # another's: it makes a row of its own in the report


def _string(where: str, field: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(value)
    raise ReadError(f"{where}: {field}: {type(value).__name__}; a string is expected")


def _turn(where: str, value: Any) -> int:
    if value is None or value == "":
        return 0
    try:
        turn = int(value)
    except (TypeError, ValueError, OverflowError):
        raise ReadError(f"{where}: turn: {value!r:.40}; a whole number is expected") from None
    if turn < 0:
        raise ReadError(f"{where}: turn: {turn}; a number from 0 on is expected")
    return turn
