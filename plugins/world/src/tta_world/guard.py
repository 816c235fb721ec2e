"""A store of worlds, whoever wrote it: whatever it does instead of answering is a `WorldError`, in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast, get_type_hints

from tta_kernel.shapes import fits
from tta_messages.guard import Guarded

from .store import Head, Snapshot, Stored, WorldError, WorldRefused, WorldStore


def guard(store: WorldStore, *, limit: float) -> WorldStore:
    """Return ``store`` such that each call ends within ``limit`` seconds, rightly, refused, or with a `WorldError`.

    The error names the store, and where in it something was raised, and quotes nothing. A subscription has no limit,
    and isn't guarded: who wants one asks the store itself.
    """
    return cast(WorldStore, Guarded(store, _CHECKS, WorldError, limit, passes=(WorldRefused,)))


def _check(wanted: Any) -> Callable[..., bool]:
    return lambda answer, *args: fits(answer, wanted) and (not args or _is_of(answer, args[0]))


def _is_of(answer: object, asked: object) -> bool:
    """Whether the answer is about the session that was asked for."""
    match answer:
        case Head():
            return answer.session == asked
        case Stored() | Snapshot():
            return answer.head.session == asked
        case _:
            return True


_CHECKS = {
    name: _check(get_type_hints(method)["return"])
    for name, method in vars(WorldStore).items()
    if callable(method) and not name.startswith("_") and name != "subscribe"
}
