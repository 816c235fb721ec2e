"""How the verdicts of several checks make one: what is said of a text counts, and no doubt is lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from .model import KINDS, Channel, Level, Status, Verdict, category

_LEVELS: tuple[Level, ...] = ("safe", "warning", "blocked")
_STATUSES: tuple[Status, ...] = ("checked", "unchecked", "failed")
_MOST = 200
"""How many findings, kinds or flags a merged verdict holds: each part holds as many, and a turn has many sentences."""


def merge(verdicts: Iterable[Verdict]) -> Verdict:
    """Make one verdict of several: failed > unchecked > the highest level; none at all is unchecked.

    The worst findings stay where there are too many. The state is nobody's, as it belongs to one check.
    """
    given = list(verdicts)
    status: Status = max((v.status for v in given), key=_STATUSES.index, default="unchecked")
    level: Level | None = None
    if status == "checked":
        level = max((v.level for v in given if v.level), key=_LEVELS.index)
    found = [finding for v in given for finding in v.findings]
    if len(found) > _MOST:
        found.sort(key=lambda finding: (_LEVELS.index(finding.level), finding.severity), reverse=True)
    return Verdict(
        status, level, max((v.risk for v in given), default=0.0),
        tuple(sorted({kind for v in given for kind in v.kinds}))[:_MOST],
        tuple(dict.fromkeys(name for v in given for name in v.by)),
        tuple(found[:_MOST]),
        min((v.sentiment for v in given if v.sentiment is not None), default=None),
        min((v.appropriateness for v in given if v.appropriateness is not None), default=None),
        _alternative(given),
        tuple(dict.fromkeys(flag for v in given for flag in v.flags))[:_MOST],
    )  # fmt: skip


def judge(answers: Mapping[str, Verdict | Exception], channel: Channel | None = None) -> Verdict:
    """Make one verdict of what was answered to ``check_text``; see `each`."""
    return merge(each(answers, channel).values())


def each(answers: Mapping[str, Verdict | Exception], channel: Channel | None = None) -> dict[str, Verdict]:
    """Return each plugin's verdict, signed with its name; whatever isn't a verdict has failed.

    On another ``channel`` than the player's, kinds of a crisis block the text and are nobody's. Kinds are known ones
    (`known_kinds`), and an alternative is what a terminal can show.
    """
    verdicts = {}
    for name, answer in answers.items():
        try:
            # A Struct checks nothing when it is built, so a plugin's mistake shows only here: also what no store takes.
            if not isinstance(answer, Verdict):
                raise TypeError
            verdict = msgspec.msgpack.decode(msgspec.msgpack.encode(answer), type=Verdict)
        except (msgspec.ValidationError, TypeError, ValueError, OverflowError, RecursionError):
            verdicts[name] = Verdict("failed", by=(name,))
            continue
        verdict = msgspec.structs.replace(
            verdict, by=(name,), kinds=known_kinds(verdict.kinds), alternative=_printable(verdict.alternative)
        )  # fmt: skip
        verdicts[name] = verdict if channel in (None, "player") else _of_no_person(verdict)
    return verdicts


def _of_no_person(verdict: Verdict) -> Verdict:
    level: Level | None = "blocked" if verdict.kinds and verdict.status == "checked" else verdict.level
    return msgspec.structs.replace(verdict, level=level, kinds=(), state=b"")


def _alternative(given: list[Verdict]) -> str:
    """Return what the verdict that objects most would say, of those that would say something."""
    saying = [v for v in given if v.alternative]
    worst = max(saying, key=lambda v: (bool(v.kinds), _LEVELS.index(v.level or "safe"), v.risk), default=None)
    return worst.alternative if worst else ""


def known_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of crisis, each known one once; what a stranger calls otherwise counts as ``suicide``.

    A name that nobody knows must not be the reason why nobody is told: it gets the kind that is taken most seriously.
    """
    return tuple(dict.fromkeys(_kind(kind) for kind in kinds))


def _kind(name: str) -> str:
    try:
        known = category(name)
    except ValueError:
        return KINDS[0]
    return known if known in KINDS else KINDS[0]


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char for char in text if char.isprintable() or char == "\n")
