"""What one policy would decide differently from another: by their rules, and on recorded calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from tta_audit import Record
from tta_http import Principal
from tta_kernel import Problem

from .engine import Engine, rules_by_id
from .model import ToolCall
from .reading import PolicyError
from .recording import ARGUMENTS, DECISION

Change = Literal["added", "removed", "changed", "moved"]
Judgement = Literal["same", "changed", "undecidable"]

LONGEST = 64_000_000
"""How many bytes are read at once: a list that was printed, or a line."""


class RuleChange(msgspec.Struct, frozen=True):
    """What became of a rule, or of the ``defaults``; ``keys`` are those that say something else."""

    rule: str
    change: Change
    keys: tuple[str, ...] = ()


class CallChange(msgspec.Struct, frozen=True):
    """A recorded call that is decided otherwise, or of which nobody can tell; how often it was made."""

    judgement: Judgement
    who: str
    target: str
    before: str
    after: str
    times: int


def rule_changes(old: Engine, new: Engine) -> Iterator[RuleChange]:
    """Say which rules came, went, changed and moved."""
    if keys := _differences(old.text.defaults, new.text.defaults):
        yield RuleChange("defaults", "changed", keys)
    before, after = rules_by_id(old.text), rules_by_id(new.text)
    for id in before:
        if id not in after:
            yield RuleChange(id, "removed")
    for id, rule in after.items():
        if id not in before:
            yield RuleChange(id, "added")
        elif keys := _differences(before[id], rule):
            yield RuleChange(id, "changed", keys)
    stayed = [id for id in after if id in before]
    order = [id for id in before if id in after]
    floor = {rule.id for rule in old.text.deny} ^ {rule.id for rule in new.text.deny}
    for id, other in zip(stayed, order, strict=True):
        if id != other or id in floor:
            yield RuleChange(id, "moved")


def call_changes(old: Engine, new: Engine, records: Iterable[Record]) -> tuple[int, Sequence[CallChange]]:
    """Decide recorded calls anew by both policies; return how many there were, and what isn't the same."""
    number = 0
    found: dict[tuple[Judgement, str, str, str, str], int] = {}
    for record in records:
        if record.what != DECISION:
            continue
        number += 1
        call, whole = call_of(record)
        before, after = old.decide(call), new.decide(call)
        judgement: Judgement = "same" if before.effect == after.effect else "changed"
        if not (_is_sure(old, call, whole=whole) and _is_sure(new, call, whole=whole)):
            judgement = "undecidable"
        if judgement == "same":
            continue
        told = [f"{each.effect} ({each.rule})" for each in (before, after)]
        if judgement == "undecidable":
            told = ["?", "?"]
        key = (judgement, record.who, record.target, told[0], told[1])
        found[key] = found.get(key, 0) + 1
    return number, [CallChange(*key, times) for key, times in found.items()]


def call_of(record: Record) -> tuple[ToolCall, bool]:
    """Return the call of a recorded decision, and whether its arguments were kept."""
    details = record.details
    tool, _, version = record.target.partition(":")
    kept = details.get(ARGUMENTS)
    arguments: Any = None
    if isinstance(kept, Sequence):
        try:
            arguments = msgspec.json.decode("".join(kept))
        except msgspec.DecodeError:
            arguments = None
    kind: Any = record.kind
    call = ToolCall(
        tool=tool,
        version=version,
        callable=str(details.get("tta.tool.callable", "")),
        flags=_texts(details.get("tta.tool.flags")),
        tags=_texts(details.get("tta.tool.tags")),
        arguments=arguments if isinstance(arguments, dict) else {},
        principal=Principal(record.who, kind, _texts(details.get("user.roles"))),
        agent=str(details.get("gen_ai.agent.name", "")),
    )
    return call, isinstance(arguments, dict)


def read_records(path: Path) -> Iterator[Record]:
    """Read records from a file, or a folder of them: as `audit-file` writes them, or as `tta audit list` prints."""
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise PolicyError(
            Problem(str(path), "there are no records (*.jsonl)", "name the folder of audit-file, or a file")
        )
    for file in files:
        try:
            yield from _read(file)
        except OSError as error:
            raise PolicyError(Problem(str(file), f"cannot be read: {error.strerror}")) from None
        except msgspec.MsgspecError:
            hint = "expected lines of audit-file, or what `tta audit list --json` prints"
            raise PolicyError(Problem(str(file), "holds what is no record", hint)) from None


def _read(file: Path) -> Iterator[Record]:
    with file.open("rb") as lines:
        first = lines.readline(LONGEST)
        try:
            yield msgspec.json.decode(first, type=Record)
        except msgspec.MsgspecError:
            # It is no line of a chain, so it is one whole list.
            whole = first + lines.read(LONGEST - len(first) + 1)
            if len(whole) > LONGEST:
                what = f"is a list of more than {LONGEST:,} bytes, or none"
                raise PolicyError(Problem(str(file), what, "name the folder of audit-file")) from None
            printed = msgspec.json.decode(whole)
            found = printed.get("records") if isinstance(printed, Mapping) else printed
            yield from msgspec.convert(found, list[Record])
            return
        while line := lines.readline(LONGEST):
            if line.endswith(b"\n"):  # A crash leaves the beginning of one.
                yield msgspec.json.decode(line, type=Record)


def _is_sure(engine: Engine, call: ToolCall, *, whole: bool) -> bool:
    """Say whether what wasn't kept of a call can't matter: no rule that asks for it is reached."""
    for rule in engine.concerning(call):
        if rule.session is not None:
            return False
        if rule.arguments or rule.schema is not None or rule.unless_schema is not None:
            if not whole:
                return False
            continue
        return True
    return True


def _differences(one: msgspec.Struct, other: msgspec.Struct) -> tuple[str, ...]:
    names = [field.name for field in msgspec.structs.fields(one)]
    return tuple(name for name in names if name != "why" and getattr(one, name) != getattr(other, name))


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return ()
    return tuple(str(each) for each in value)
