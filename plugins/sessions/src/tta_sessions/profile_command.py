"""The command ``tta sessions profile``: how a story is best told to a session's person, shown or set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, get_args

import msgspec

from tta_kernel import Kernel
from tta_program import DONE, Subcommands, fail, print_json

from .memory import MemorySessions
from .model import SESSIONS, SessionConflict, Sessions, SessionsError, SessionTooLarge, is_text
from .profile import Pace, Profile, Tone, profile_of, set_profile

_LONGEST = 100_000
"""Bytes of a file with a profile."""
_IN_MEMORY = "sessions are kept in memory, and this process has none: only the running one can look"


class ProfileFile(Profile, frozen=True, forbid_unknown_fields=True):
    """A profile as somebody has written it: what is misspelt in it is told."""


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    subcommands.group("sessions", help="look at what is kept between turns")
    # It shows, or changes, what a person or who cares for them has written: so it is audited, without the name.
    parser = subcommands.add(
        "sessions profile", _profile, requires=(SESSIONS,), mutates=True,
        help="show or set how a story is best told to a session's person; it is audited",
    )  # fmt: skip
    parser.add_argument("session", help="its name, as `tta play --session` has it")
    parser.add_argument("--set", dest="file", type=Path, metavar="FILE", help="set all of it, from a file in YAML")
    for name, what in (
        ("goal", "what the person would like to come to"), ("theme", "what the story may touch on"),
        ("avoid", "what it keeps away from"),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", action="append", default=None, metavar="LINE", help=f"{what}; may be repeated")
    parser.add_argument("--pace", choices=get_args(Pace), help="how quickly it goes on")
    parser.add_argument("--tone", choices=get_args(Tone), help="how it is told")


async def _profile(kernel: Kernel, options: argparse.Namespace) -> int:
    sessions = kernel.get(SESSIONS)
    if type(sessions) is MemorySessions:  # The fallback, of this process; what derives from it may be shared.
        return fail("sessions", _IN_MEMORY)
    try:
        return await _shown(sessions, options)
    except SessionConflict:
        return fail("sessions", "others commit the session all the while; try again")
    except SessionTooLarge as exc:
        return fail("sessions", str(exc))
    except SessionsError as exc:
        return fail("sessions", f"the store can't be reached: {exc}")
    except (ValueError, OSError) as exc:
        return fail("sessions", f"nothing was changed: {exc}")


async def _shown(sessions: Sessions, options: argparse.Namespace) -> int:
    name = options.session
    session = await sessions.get(name) if is_text(name) else None
    if session is None:
        return fail("sessions", f"there is no session {name!a:.100} (any more)")
    before = _read(options.file) if options.file is not None else profile_of(session)
    profile = msgspec.structs.replace(before, **_changes(options))
    if options.file is not None or _changes(options):
        profile = await set_profile(sessions, session.id, session.user, profile)
    print_json(profile)
    return DONE


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the options say of a profile: the lines of each kind that is named replace those that are there."""
    lines = {"goals": options.goal, "themes": options.theme, "avoid": options.avoid}
    changes: dict[str, Any] = {name: tuple(said) for name, said in lines.items() if said is not None}
    changes |= {name: said for name in ("pace", "tone") if (said := getattr(options, name)) is not None}
    return changes


def _read(path: Path) -> Profile:
    with path.open("rb") as file:
        written = file.read(_LONGEST + 1)
    if len(written) > _LONGEST:
        raise ValueError(f"{path} has more than {_LONGEST} bytes")
    try:
        read = msgspec.yaml.decode(written, type=ProfileFile)
    except msgspec.DecodeError as exc:
        raise ValueError(f"{path}: {exc}") from None
    return msgspec.convert(msgspec.to_builtins(read), Profile)
