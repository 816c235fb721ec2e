"""What a session says of its person besides the story: whether it pauses, what they agreed to, how old they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from . import kept
from .model import Session, Sessions

AgeBand = Literal["unknown", "child", "teen", "adult"]
"""``child``: under 13; ``teen``: under 18. Nobody is asked for a date of birth."""
KEY = "flags"
"""Where they stand in a session's context."""
TRIES = kept.TRIES


class Consent(msgspec.Struct, frozen=True):
    """What the person agreed to: that their trusted contact is told of a crisis, that others read what they wrote."""

    contact: bool = False
    data: bool = False


class Flags(msgspec.Struct, frozen=True):
    """What holds for a session until somebody changes it; each default is the careful one.

    ``paused``: the story waits, and the conversation goes on. ``went_on``: the last turn in which their story went on
    since they asked for it; what concerns an earlier turn must not pause it any more. ``locale`` is a language tag,
    such as ``en-GB``, and ``country`` a code of ISO 3166. ``contact`` is the name of their trusted contact, as the
    roster of notifications has it.
    """

    paused: bool = False
    went_on: Annotated[int, Meta(ge=0)] = 0
    consent: Consent = Consent()
    age_band: AgeBand = "unknown"
    locale: Annotated[str, Meta(max_length=35)] = ""
    country: Annotated[str, Meta(max_length=2)] = ""
    contact: Annotated[str, Meta(max_length=200)] = ""


def flags_of(session: Session | None) -> Flags:
    """Return a session's flags: the defaults where it has none, and for each one that is damaged its default."""
    return kept.read(session, KEY, Flags)


async def set_flags(
    sessions: Sessions, id: str, user: str, *, unless: Callable[[Flags], bool] = lambda flags: False, **changes: Any
) -> Flags:  # fmt: skip
    """Change flags of a session, one that is there or a new one of ``user``'s, and return all of them.

    Nothing is changed where ``unless`` says yes to them as they are.

    What somebody else commits meanwhile stays. Raises ValueError for what is no flag, or for a session of somebody
    else's; `SessionConflict` where others commit all the while; and what the store raises.
    """
    changed = _checked(changes)

    def make(session: Session) -> Mapping[str, Any] | None:
        before = flags_of(session)
        if unless(before):
            return None
        flags = msgspec.structs.replace(before, **changed)
        return {**session.context, KEY: msgspec.to_builtins(flags)}

    return flags_of(await kept.change(sessions, id, user, make))


def _checked(changes: dict[str, Any]) -> dict[str, Any]:
    fields = {field.name: field.type for field in msgspec.structs.fields(Flags)}
    if unknown := sorted(changes.keys() - fields.keys()):
        raise ValueError(f"a session has no flag {unknown[0]!r}; there are {', '.join(fields)}")
    # As they will be read: a Struct checks nothing when it is built.
    return {name: msgspec.convert(msgspec.to_builtins(value), fields[name]) for name, value in changes.items()}
