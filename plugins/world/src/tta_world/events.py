"""What is told of the worlds of sessions: that two stores knew different ones, and which was taken."""

from __future__ import annotations

from typing import ClassVar, Literal

from tta_kernel import Event


class WorldRepaired(Event, frozen=True, tag="world.repaired"):
    """A person's session (``owner``), or the store of worlds, had an older version, and got the one of the other."""

    __shown__: ClassVar = ("part",)

    session: str
    part: Literal["session", "store"]
    version: int
    was: int
    owner: str = ""


class WorldConflicted(Event, frozen=True, tag="world.conflicted"):
    """A person's session (``owner``) and the store had two worlds of one version; the session's counts."""

    session: str
    version: int
    owner: str = ""
