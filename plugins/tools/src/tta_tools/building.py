"""One build of a tool, however many ask for it at once, here and in other processes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from tta_kernel import as_failure, raised_at

from .declaring import Tool
from .model import ToolError, ToolSpec
from .registry import Registry, agree
from .settings import Config
from .sharing import Shared
from .store import Build, Registered, ToolStore, ToolStoreError

log = logging.getLogger("tta.tools")
Factory = Callable[[], Awaitable[Tool | ToolSpec]]
_LONGEST_SIGNATURE = 256
_LOOK_AGAIN = 0.5
"""Seconds after which a build of another process is looked at again, where nothing was heard of it."""


class Builds:
    """Builds of this process, which ``node`` names: each by one of those who ask, while the others wait for it."""

    def __init__(self, registry: Registry, store: ToolStore, config: Config, *, node: str) -> None:
        self._registry, self._store, self._config, self._node = registry, store, config, node
        self._shared = Shared[ToolSpec]()

    async def create_or_get(self, signature: str, factory: Factory) -> ToolSpec:
        """Return the tool of a signature; see `Tools.create_or_get`."""
        if not 0 < len(signature) <= _LONGEST_SIGNATURE or not signature.isprintable():
            raise ToolError("invalid_arguments", f"a signature is a text of 1 to {_LONGEST_SIGNATURE} characters")
        spec, _ = await self._shared.call(signature, lambda: self._found_or_built(signature, factory))
        return spec

    async def _found_or_built(self, signature: str, factory: Factory) -> ToolSpec:
        by = "another process"
        with anyio.move_on_after(self._config.build_wait):
            while True:
                build = await self._asked(
                    self._store.claim_build(signature, by=self._node, ttl=self._config.build_lease)
                )
                if build.token:
                    by = "this process"
                    return await self._built(signature, build, factory)
                if build.tool:
                    name, _, version = build.tool.partition(":")
                    return await self._registry.get(name, version)
                by = build.by
                await anyio.sleep(min(build.left, _LOOK_AGAIN))
        raise ToolError(
            "building", f"{by:.128} builds this tool, and isn't done after {self._config.build_wait:g} s: ask again"
        )  # fmt: skip

    async def _built(self, signature: str, build: Build, factory: Factory) -> ToolSpec:
        try:
            made = await self._renewed(signature, build, factory)
            spec = made.spec if isinstance(made, Tool) else made
            await self._registry.examine(spec)
            registered = await self._finish(signature, build, spec)
        except BaseException:
            with anyio.move_on_after(self._config.store_limit, shield=True):
                await self._give_up(signature, build)
            raise
        if registered is None:
            raise ToolError("building", "another process has taken the build over, since this one took too long")
        if not agree(registered.spec, spec):
            raise ToolError(
                "conflict", f"{spec.id} is there already, and says otherwise: give yours a version of its own"
            )
        if isinstance(made, Tool):
            self._registry.hold(made)
        self._registry.tell(registered, by=self._node)
        return registered.spec

    async def _renewed(self, signature: str, build: Build, factory: Factory) -> Tool | ToolSpec:
        """Let the factory build while the lease is renewed."""
        made: Tool | ToolSpec | ToolError
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._renew, signature, build.token)
            try:
                made = await _made(factory)
            except ToolError as exc:  # A task group would put it into a group.
                made = exc
            tasks.cancel_scope.cancel()
        if isinstance(made, ToolError):
            raise made
        return made

    async def _renew(self, signature: str, token: str) -> None:
        while True:
            await anyio.sleep(self._config.build_lease / 3)
            try:
                await self._store.renew_build(signature, token, ttl=self._config.build_lease)
            except ToolStoreError as exc:
                log.warning("a build can't be renewed: %s", exc)

    async def _finish(self, signature: str, build: Build, spec: ToolSpec) -> Registered | None:
        found: Registered | None = await self._asked(self._store.finish_build(signature, build.token, spec))
        return found

    async def _give_up(self, signature: str, build: Build) -> None:
        try:
            await self._store.finish_build(signature, build.token, None)
        except ToolStoreError as exc:
            log.warning("a build that failed holds until its lease is over: %s", exc)

    async def _asked(self, answer: Awaitable[Any]) -> Any:
        try:
            return await answer
        except ToolStoreError as exc:
            raise ToolError("unavailable", f"the store of tools can't be used: {exc}") from exc


async def _made(factory: Factory) -> Tool | ToolSpec:
    """Let a stranger's factory build; whatever else it does is a `ToolError`."""
    try:
        made: object = await factory()
    except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
        failure = as_failure(exc)
        if isinstance(failure, ToolError):
            raise failure from None
        raise ToolError("failed", f"the factory raised {type(failure).__name__} at {raised_at(exc)}") from failure
    if not isinstance(made, Tool | ToolSpec):
        raise ToolError("failed", f"the factory made {type(made).__name__}, and no tool")
    return made
