"""Which tools there are: looked up in memory, registered once, and never against those who call them."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from logging import Logger
from typing import Any

import anyio
from msgspec import Struct

from tta_capabilities.versions import version as semantic
from tta_kernel import Event

from .checking import breaking, may_break, problems
from .declaring import Tool
from .events import ToolDeprecated, ToolRegistered
from .model import ToolError, ToolSpec, is_name, is_version
from .settings import Config
from .store import Registered, ToolStore, ToolStoreError

_STATED = ("reference", "idempotent", "shared", "told", "audit")
"""What, besides its signature, is the same in every process that has a tool."""


class _Found(Struct):
    spec: ToolSpec
    until: float


class Registry:
    """Tools of the store, of which the last ones are held in memory, and those that this process can run."""

    def __init__(
        self, store: ToolStore, config: Config, log: Logger, *, publish: Callable[[Event], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._store, self._config, self._log, self._publish = store, config, log, publish
        self._monotonic = monotonic
        self._local: dict[str, Tool] = {}
        """By ``name:version``."""
        self._declared: set[str] = set()
        """Those of them that plugins bring: they stay as long as this process."""
        self._unregistered: dict[str, str] = {}
        """Tools of this process that the store hasn't got yet, and whose they are."""
        self._found: OrderedDict[tuple[str, str], _Found] = OrderedDict()
        self._generation = 0
        self._number = 0
        self.hits = 0
        self.misses = 0
        self.trouble = ""
        """Why the store can't be used; empty when it can."""
        self.refused: dict[str, str] = {}
        """Tools that a plugin declares, and why they aren't registered."""

    def __len__(self) -> int:
        """Count the look-ups that are held."""
        return len(self._found)

    @property
    def local(self) -> Sequence[Tool]:
        """Tools that this process can run."""
        return tuple(self._local.values())

    def runnable(self, id: str) -> Tool | None:
        """Return the tool of this ``name:version``, if this process has it."""
        return self._local.get(id)

    async def get(self, name: str, version: str = "") -> ToolSpec:
        """Return a tool: of this version, or of the highest active one that is no pre-release; or ``not_found``."""
        found = self._found.get((name, version))
        if found is not None and found.until > self._monotonic():
            self.hits += 1
            self._found.move_to_end((name, version))
            return found.spec
        self.misses += 1
        # A model may have made the name up, of a person's words: nobody else hears of it.
        if not is_name(name) or (version and not is_version(version)):
            raise ToolError("not_found", "no tool has such a name or version: it reads like `kg.query`, and `1.2.0`")
        generation = self._generation
        try:
            spec = await self._look(name, version)
        except ToolStoreError as exc:
            return self._without_store(name, version, exc)
        # What was read before a change isn't held after it.
        if generation == self._generation and self._config.cache_ttl:
            self._found[name, version] = _Found(spec, self._monotonic() + self._config.cache_ttl)
            while len(self._found) > self._config.cache_max_items:
                self._found.popitem(last=False)
        return spec

    async def _look(self, name: str, version: str) -> ToolSpec:
        chosen = version or await self._latest(name)
        spec = await self._store.get(name, chosen) if chosen else None
        if spec is None or (spec.name, spec.version) != (name, chosen):
            raise _not_found(name, version)
        return spec

    async def _latest(self, name: str) -> str:
        versions = await self._store.versions(name)
        active = [each for each, status in versions.items() if status == "active"]
        if versions and not active:
            raise ToolError("not_found", f"all versions of {name} are deprecated: name the one that you mean")
        return _highest(active)

    def _without_store(self, name: str, version: str, exc: ToolStoreError) -> ToolSpec:
        """Return a tool that this process has, while the store can't say whether another has a newer one."""
        here = [tool.spec.version for tool in self._local.values() if tool.spec.name == name]
        chosen = version if version in here else "" if version else _highest(here)
        if chosen:
            return self._local[f"{name}:{chosen}"].spec
        raise ToolError(
            "unavailable", f"{name}: the store of tools can't be used, and this process hasn't got it"
        ) from exc

    async def register(self, tool: Tool | ToolSpec, *, by: str = "") -> ToolSpec:
        """Register a tool, and return it as it is stored; see `Tools.register`."""
        spec = tool.spec if isinstance(tool, Tool) else tool
        await self.examine(spec)
        registered = await self._asked(self._store.register, spec)
        stored: ToolSpec = registered.spec
        if not agree(stored, spec):
            raise ToolError(
                "conflict", f"{spec.id} is there already, and says otherwise: give yours a version of its own"
            )  # fmt: skip
        if isinstance(tool, Tool):
            self._local[spec.id] = tool
        self.tell(registered, by=by)
        return stored

    def tell(self, registered: Registered, *, by: str) -> None:
        """Tell of what was registered, if it is new."""
        spec = registered.spec
        self.forget_look_ups(spec.name)
        if registered.new:
            self._publish(ToolRegistered(tool=spec.name, version=spec.version, by=by))

    async def examine(self, spec: ToolSpec) -> None:
        """Raise a `ToolError` where a tool can't be registered: it is none, or it would break callers."""
        if wrong := next(problems(spec, self._config), None):
            raise ToolError("invalid_arguments", f"{spec.id:.256} {wrong}")
        versions = await self._asked(self._store.versions, spec.name)
        below = [each for each in versions if semantic(each) < semantic(spec.version)]
        before = max(below, key=semantic, default="")
        if not before or may_break(before, spec.version):
            return
        old = await self._asked(self._store.get, spec.name, before)
        if old is not None and (broken := next(breaking(old, spec), None)):
            raise ToolError(
                "conflict", f"{spec.id} would break callers of {before}: {broken}; give it a new major version"
            )

    def hold(self, tool: Tool) -> None:
        """Have a tool run in this process."""
        self._local[tool.spec.id] = tool

    def declare(self, tool: Tool, plugin: str) -> None:
        """Have a plugin's tool run in this process, and register it as soon as the store can be used."""
        self._local[tool.spec.id] = tool
        self._declared.add(tool.spec.id)
        self._unregistered[tool.spec.id] = plugin

    async def register_declared(self) -> None:
        """Register what plugins declare and the store hasn't got; what can't be registered isn't run here either."""
        for id, plugin in [*self._unregistered.items()]:
            tool = self._local[id]
            try:
                await self.register(tool, by=plugin)
            except ToolError as exc:
                if exc.code == "unavailable":
                    self._note(exc.detail)
                    return
                self.refused[id] = exc.detail
                self._log.error("tool %s of plugin %s is refused: %s", id, plugin, exc.detail)
                del self._local[id]
                self._declared.discard(id)
            self._unregistered.pop(id, None)
        self._note("")

    async def deprecate(self, name: str, version: str) -> None:
        """Let nobody have this version who doesn't ask for it."""
        if not await self._asked(self._store.deprecate, name, version):
            raise _not_found(name, version)
        self.forget_look_ups(name)
        self._publish(ToolDeprecated(tool=name, version=version))

    async def watch(self) -> None:
        """Forget look-ups that another process's changes concern, for as long as this runs."""
        while True:
            try:
                changes = await self._store.changes(self._number, wait=self._config.poll)
            except ToolStoreError as exc:
                self._note(str(exc))
                await anyio.sleep(self._config.poll)
                continue
            self._note("")
            self._number = changes.number
            if changes.names is None:
                self.forget_look_ups()
            for name in changes.names or ():
                self.forget_look_ups(name)
            # A store that answers at once, though it was to wait, isn't asked in a circle.
            await anyio.sleep(0.01)

    def forget_look_ups(self, name: str = "") -> None:
        """Look a tool up anew when it is asked for again, or all of them."""
        self._generation += 1
        for key in [key for key in self._found if not name or key[0] == name]:
            del self._found[key]

    async def announce(self, now: float) -> None:
        """Tell the store which tools plugins of this process bring, so that none of them counts as idle."""
        for id in [*self._declared]:
            name, _, version = id.partition(":")
            await self._store.touch(name, version, seen_at=now)

    def drop_all_but(self, ids: Collection[str]) -> None:
        """Let go of tools that were built or registered here, and that are gone from the store since."""
        for id in self._local.keys() - self._declared - {*ids}:
            del self._local[id]

    def _note(self, trouble: str) -> None:
        if trouble and not self.trouble:
            self._log.warning("the store of tools can't be used: %s", trouble)
        self.trouble = trouble

    async def _asked(self, call: Callable[..., object], *args: object) -> Any:
        try:
            return await call(*args)  # type: ignore[misc]
        except ToolStoreError as exc:
            raise ToolError("unavailable", f"the store of tools can't be used: {exc}") from exc


def agree(stored: ToolSpec, spec: ToolSpec) -> bool:
    """Say whether two declarations of one id are of one tool; words for people may differ."""
    return stored.signature == spec.signature and all(getattr(stored, name) == getattr(spec, name) for name in _STATED)


def _highest(versions: Sequence[str]) -> str:
    return max((each for each in versions if not semantic(each).prerelease), key=semantic, default="")


def _not_found(name: str, version: str) -> ToolError:
    what = f"{name}:{version}" if version else name
    return ToolError("not_found", f"there is no tool {what}: `tta tools list` shows those that there are")
