"""Where tools, their results and approvals are kept, and how any implementation of it is held to its word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, cast, get_type_hints

from msgspec import Struct

from tta_kernel import Service
from tta_kernel.shapes import fits
from tta_messages.guard import Check, Guarded

from .figures import Figures
from .model import Approval, ApprovalStatus, Status, ToolSpec

CALL_LIMIT = 2.0
"""How long, in seconds, a call of a store may take beyond what it may wait."""


class ToolStoreError(Exception):
    """The store can't be used now, or has no room; nothing is known of what a change came to."""


class NoSuchApproval(ToolStoreError):
    """There is no approval of this id, or not any more."""


class Registered(Struct, frozen=True):
    """What is stored under a tool's id; ``new``: it wasn't there before."""

    spec: ToolSpec
    new: bool


class ToolPage(Struct, frozen=True):
    """Tools by name and then as the store has their versions; ``cursor`` goes on after them, empty at the end."""

    specs: Sequence[ToolSpec]
    cursor: str = ""


class Changes(Struct, frozen=True):
    """How many changes there were, and of which tools, by name; None is that any may have changed."""

    number: int
    names: tuple[str, ...] | None = ()


class Cleaned(Struct, frozen=True):
    """What a clean-up has deprecated and what it has pruned, by ``name:version``."""

    deprecated: tuple[str, ...] = ()
    pruned: tuple[str, ...] = ()


class Build(Struct, frozen=True, kw_only=True):
    """What is known of a build: ``tool`` is there already; or it is ours, by a ``token``; or ``by`` has it.

    Theirs is over after ``left`` seconds, unless they renew it.
    """

    tool: str = ""
    token: str = ""
    by: str = ""
    left: float = 0.0


class Claim(Struct, frozen=True, kw_only=True):
    """What is known of a call's key.

    ``claimed``: it is ours now. ``kept``: the call was made, and ``value`` is what it came to. ``running``: somebody
    has it, for ``left`` seconds. ``in_doubt``: somebody had it and never said what it came to. ``other``: the same key
    was used for another call.
    """

    state: Literal["claimed", "kept", "running", "in_doubt", "other"]
    value: bytes = b""
    left: float = 0.0


class ApprovalPage(Struct, frozen=True):
    """Approvals, the newest first; ``cursor`` goes on after them, empty at the end."""

    approvals: Sequence[Approval]
    cursor: str = ""


class ToolStore(Protocol):
    """The memory of tools; ``durable``: another process finds what is in it. Any call may raise `ToolStoreError`.

    Each change is made whole or not at all, and is seen by everybody from then on. All that is kept for somebody has a
    time to live, in seconds, and there is a bound to each kind of it.
    """

    durable: bool

    async def register(self, spec: ToolSpec) -> Registered:
        """Store a tool unless its id is taken; one that was deprecated for being idle, of this signature, is active."""

    async def get(self, name: str, version: str) -> ToolSpec | None:
        """Return a tool; None also for one that can't be read, which is set aside."""

    async def versions(self, name: str) -> Mapping[str, Status]:
        """Return the versions of a tool, in no order, and which of them are deprecated."""

    async def page(self, prefix: str = "", cursor: str = "", limit: int = 50) -> ToolPage:
        """Return tools whose name begins with ``prefix``, up to ``limit`` after ``cursor``; deprecated ones, too."""

    async def deprecate(self, name: str, version: str) -> bool:
        """Mark a tool as deprecated; False where there is none."""

    async def touch(self, name: str, version: str, *, used_at: float = 0.0, seen_at: float = 0.0) -> bool:
        """Note when a tool was last used, or last seen in a process; neither goes back. False where there is none."""

    async def cleanup(self, *, deprecate_before: float, prune_before: float) -> Cleaned:
        """Deprecate what was created, used and seen before the one time only; delete the deprecated before the other.

        It looks at all tools, and changes each by itself.
        """

    async def changes(self, after: int, *, wait: float = 0.0) -> Changes:
        """Say which tools were registered, deprecated or deleted since change ``after``.

        Where there is none, it waits up to ``wait`` seconds for one. A store that can't tell them says None.
        """

    async def claim_build(self, signature: str, *, by: str, ttl: float) -> Build:
        """Begin to build what has this signature, for ``ttl`` seconds, unless it is there or somebody builds it."""

    async def renew_build(self, signature: str, token: str, *, ttl: float) -> bool:
        """Go on with a build for ``ttl`` seconds more; False where it isn't ours any more."""

    async def finish_build(self, signature: str, token: str, spec: ToolSpec | None) -> Registered | None:
        """Register what was built, or None to give the build up; None where the build isn't ours any more.

        The tool and what is known of the build change at once.
        """

    async def claim(
        self, key: str, fingerprint: str, token: str, *, lease: float, ttl: float, again: bool, owner: str
    ) -> Claim:
        """Claim a call's key, so that it is made once; ``fingerprint`` tells its arguments from others.

        The claim holds for ``lease`` seconds; afterwards it can be claimed anew where the call may be made ``again``,
        and otherwise it is in doubt, until ``ttl`` seconds after it was claimed.
        """

    async def keep(self, key: str, token: str, value: bytes, *, ttl: float) -> bool:
        """Keep for ``ttl`` seconds what a claimed call came to; False where the claim isn't ours any more."""

    async def release(self, key: str, token: str) -> bool:
        """Give a claim back: the call wasn't made. False where it isn't ours any more."""

    async def fetch(self, key: str) -> bytes | None:
        """Return a result that was `put`."""

    async def put(self, key: str, value: bytes, *, ttl: float, owner: str) -> None:
        """Keep a result for other calls; the oldest go where there are too many."""

    async def ask(self, approval: Approval) -> Approval:
        """Store an approval until it expires; or return the one of its binding that is there and isn't taken."""

    async def decide(self, id: str, *, approved: bool, by: str, at: float) -> Approval:
        """Approve or refuse; one that was decided before stays as it is. Raises `NoSuchApproval`."""

    async def take(self, binding: str, *, at: float) -> Approval | None:
        """Take the approval of a binding, if it is approved and hasn't expired; nobody else gets it."""

    async def give_back(self, id: str) -> bool:
        """Let a taken approval be taken once more; False where it has gone, or another was asked for since."""

    async def approval(self, id: str) -> Approval | None:
        """Return an approval."""

    async def approvals(
        self, status: ApprovalStatus | Literal[""] = "", cursor: str = "", limit: int = 50
    ) -> ApprovalPage:
        """Return approvals that haven't expired, of a status or all."""

    async def count(self, figures: Mapping[str, Figures]) -> None:
        """Add to the figures of tools, by ``name:version``; those of one that nobody calls go after some time."""

    async def figures(self) -> Mapping[str, Figures]:
        """Return the figures of all tools that were called."""

    async def forget(self, owner: str) -> int:
        """Erase a person's results, claims and approvals, and return how many; nobody ("") has none."""


TOOL_STORE = Service[ToolStore]("tool-store")
"""The memory of tools."""


def guard(store: ToolStore, *, limit: float = CALL_LIMIT) -> ToolStore:
    """Return ``store`` such that each call ends within ``limit`` seconds, rightly or with a `ToolStoreError`.

    What it returns has the calls, and not ``durable``.
    """
    return cast(ToolStore, store if isinstance(store, Guarded) else Guarded(store, _CHECKS, ToolStoreError, limit))


def _check_of(wanted: Any) -> Check:
    return lambda answer, *_: fits(answer, wanted)


_CHECKS = {
    name: _check_of(get_type_hints(method)["return"])
    for name, method in vars(ToolStore).items()
    if not name.startswith("_")
}
