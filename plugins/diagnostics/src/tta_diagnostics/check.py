"""What is wrong with where the server is to listen, before anything starts."""

from __future__ import annotations

from collections.abc import Iterator

from tta_access import ACCESS
from tta_kernel import Hooks, Problem

from .config import RATES, Config

KEY = "plugins.diagnostics.config"
PROOF = "make a key by `tta keys create`, set plugins.access.config.oidc or mtls, or listen on 127.0.0.1"


def problems(config: Config, hooks: Hooks) -> Iterator[Problem]:
    """Find all that is wrong."""
    if not config.listeners:
        yield Problem(f"{KEY}.listeners", "nothing would listen", "leave it out, or disable diagnostics")
    seen: dict[tuple[str, int] | str, int] = {}
    for number, listener in enumerate(config.listeners):
        where = f"{KEY}.listeners.{number}"
        place = str(listener.socket) if listener.socket else (listener.host, listener.port)
        if not listener.is_local and ACCESS not in hooks.providers:
            what = f"{listener.host} can be reached from other machines, and no enabled plugin provides {ACCESS}"
            yield Problem(f"{where}.host", what, f"enable access; then {PROOF}")
        if listener.port or listener.socket:
            first = seen.setdefault(place, number)
            if first != number:
                yield Problem(where, f"listens where listeners.{first} does", "take one of them out")
    for kind in config.rates:
        if kind not in RATES:
            yield Problem(f"{KEY}.rates.{kind}", "there is no such class", f"there are {', '.join(RATES)}")
