"""The layer of rules that many processes share, as long as the plugin that has it runs; and what is said when not."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from tta_safety.rules import RuleSource, RuleSourceError, RuleText

LOOK = 5.0
"""Seconds after which it is looked at again whether that plugin runs."""


class ProvidedRules:
    """The source that ``find`` returns, looked for in each call: its plugin may come later, or go while others run.

    Where it isn't there that is an error, and not a layer without rules: floors that all processes share would be out
    of force, and nobody would hear of it. ``plugin`` is the name of the one that is to have it.
    """

    def __init__(self, find: Callable[[], RuleSource | None], plugin: str) -> None:
        self._find, self._plugin = find, plugin

    async def read(self) -> RuleText | None:
        return await self._there().read()

    async def changed(self, tag: str) -> None:
        """Return when the rules may be others than those with this tag; that the plugin is gone is such a change."""
        source = self._find()
        if source is None:
            await anyio.sleep(LOOK)
            return
        with anyio.move_on_after(LOOK):
            await source.changed(tag)

    async def write(self, text: str, *, tag: str, ttl: float | None = None) -> str:
        return await self._there().write(text, tag=tag, ttl=ttl)

    def _there(self) -> RuleSource:
        source = self._find()
        if source is None:
            raise RuleSourceError(f"plugin {self._plugin!r}, which has them, doesn't run; `tta health` says why")
        return source
