"""The verdict on a text, and how several of them make one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Literal

import msgspec

from tta_kernel import Event

Channel = Literal["player", "story"]
"""Whose text it is: ``player`` wrote it, ``story`` is about to be told."""
Level = Literal["safe", "warning", "blocked"]
_Status = Literal["checked", "unchecked", "failed"]
_LEVELS = ("safe", "warning", "blocked")
_STATUSES: tuple[_Status, ...] = ("checked", "unchecked", "failed")


TOLD = 1000
"""How many characters of what was told before a check is shown at most; so a long story costs what its length says."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a check may know of a text besides the text itself.

    ``user`` owns the session, "" being nobody. ``turn`` counts from 1, and is 0 where the session could
    not be read. ``told`` is what was told in this turn right before the text: the last `TOLD` characters,
    from the beginning of a word. ``before`` is what the player wrote, where the text is a story.
    """

    user: str = ""
    turn: int = 0
    told: str = ""
    before: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """What a check found: ``level`` is None unless checked, ``risk`` runs from 0 up to 1.

    ``kinds`` names the kinds of crisis that were seen, ``by`` the plugins that looked.
    ``unchecked`` and ``failed`` are never shown or counted as safe.
    """

    status: _Status = "unchecked"
    level: Level | None = None
    risk: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    kinds: tuple[str, ...] = ()
    by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.status == "checked") != (self.level is not None):
            raise ValueError(f"a verdict has a level exactly if it is checked, not {self.status!r} with {self.level!r}")

    @property
    def objects(self) -> bool:
        """Whether the text must not stand as it is: blocked, or a crisis was seen."""
        return self.level == "blocked" or bool(self.kinds)


def merge(verdicts: Iterable[Verdict]) -> Verdict:
    """Make one verdict of several: failed > unchecked > the highest level; none at all is unchecked."""
    given = list(verdicts)
    status: _Status = max((v.status for v in given), key=_STATUSES.index, default="unchecked")
    level: Level | None = None
    if status == "checked":
        level = max((v.level for v in given if v.level), key=_LEVELS.index)
    kinds = tuple(sorted({kind for v in given for kind in v.kinds}))
    by = tuple(dict.fromkeys(name for v in given for name in v.by))
    return Verdict(status, level, max((v.risk for v in given), default=0.0), kinds, by)


def judge(answers: Mapping[str, Verdict | Exception]) -> Verdict:
    """Make one verdict of what was answered to ``check_text``; whatever isn't a verdict has failed."""
    verdicts = []
    for name, answer in answers.items():
        if not isinstance(answer, Verdict):
            verdicts.append(Verdict("failed", by=(name,)))
            continue
        try:
            # A Struct checks nothing when it is built, so a plugin's mistake shows only here: also what no store takes.
            checked = msgspec.msgpack.decode(msgspec.msgpack.encode(answer), type=Verdict)
            verdicts.append(msgspec.structs.replace(checked, by=(name,)))
        except (msgspec.ValidationError, TypeError, ValueError, OverflowError, RecursionError):
            verdicts.append(Verdict("failed", by=(name,)))
    return merge(verdicts)


class CheckFailed(Event, frozen=True, tag="safety.check-failed"):
    """A check raised, was late or answered nonsense: the player got the fallback, a human must look."""

    __shown__: ClassVar = ("channel", "plugins")

    session: str
    channel: str
    plugins: tuple[str, ...]
    owner: str = ""
