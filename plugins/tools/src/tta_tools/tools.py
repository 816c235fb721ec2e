"""The tools of a deployment: the registry, the calls and the approvals, as one service."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from tta_http import ANONYMOUS, Principal
from tta_kernel import Event
from tta_sessions import Sessions
from tta_tool_policy import Explanation, Policy, ToolCall
from tta_workflows import Workflows

from .approving import Approvals
from .building import Builds, Factory
from .calls import Asked, Calls
from .declaring import OnProgress, Tool
from .figures import Figures
from .isolated import InProcess
from .keeping import Keeping
from .making import Check, Maker
from .model import Approval, ApprovalStatus, Status, ToolError, ToolResult, ToolSpec
from .registry import Registry
from .service import DryRun
from .settings import Config
from .store import ApprovalPage, Cleaned, NoSuchApproval, ToolPage, ToolStore, ToolStoreError, guard
from .waking import Waking

T = TypeVar("T")
_MOST_LISTED = 500


class StoredTools:
    """Tools of a store that others may share; see `Tools`."""

    def __init__(
        self, store: ToolStore, config: Config, log: logging.Logger, *, policy: Policy | None,
        sessions: Sessions | None, check: Check, isolated: InProcess, publish: Callable[[Event], None], node: str,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._store = guarded = guard(store, limit=config.store_limit)
        self._config, self._clock = config, clock
        self.policy = policy
        self.durable = bool(getattr(store, "durable", False))
        """Whether another process sees the same."""
        self.registry = Registry(guarded, config, log, publish=publish)
        self.maker = Maker(config, isolated, check)
        self._approvals = Approvals(guarded, config, publish=publish, clock=clock)
        self._builds = Builds(self.registry, guarded, config, node=node)
        self.calls = Calls(
            self.registry, self.maker, Keeping(guarded, config.keep_keys), self._approvals, config, policy=policy,
            sessions=sessions, publish=publish,
        )  # fmt: skip
        self.counts: Mapping[Status, int] = {}
        """How many tools there are, as of the last look."""

    async def register(self, tool: Tool | ToolSpec, *, by: str = "") -> ToolSpec:
        return await self.registry.register(tool, by=by)

    async def get(self, name: str, version: str = "") -> ToolSpec:
        return await self.registry.get(name, version)

    async def page(self, prefix: str = "", cursor: str = "", limit: int = 50) -> ToolPage:
        return await self._asked(self._store.page(prefix, cursor, limit))

    async def deprecate(self, name: str, version: str) -> None:
        await self.registry.deprecate(name, version)

    async def touch(self, name: str, version: str) -> None:
        if not await self._asked(self._store.touch(name, version, used_at=self._clock())):
            raise ToolError("not_found", f"there is no tool {name:.128}:{version:.96}")

    async def cleanup(self, max_idle: float | None = None) -> Cleaned:
        now = self._clock()
        idle = self._config.max_idle if max_idle is None else max_idle
        before = now - idle
        await self._asked(self.registry.announce(now))
        cleaned = await self._asked(
            self._store.cleanup(deprecate_before=before, prune_before=before - self._config.prune_after)
        )
        self.registry.forget_look_ups()
        return cleaned

    async def create_or_get(self, signature: str, factory: Factory) -> ToolSpec:
        return await self._builds.create_or_get(signature, factory)

    async def run(
        self, name: str, arguments: Mapping[str, Any], *, version: str = "", key: str = "", session: str = "",
        owner: str = "", agent: str = "", principal: Principal = ANONYMOUS, on_progress: OnProgress | None = None,
    ) -> ToolResult:  # fmt: skip
        asked = Asked(principal, session, owner, agent)
        return await self.calls.run(name, arguments, asked, version=version, key=key, on_progress=on_progress)

    async def dry_run(
        self, name: str, arguments: Mapping[str, Any], *, version: str = "", session: str = "", owner: str = "",
        agent: str = "", principal: Principal = ANONYMOUS,
    ) -> DryRun:  # fmt: skip
        return await self.calls.dry_run(name, arguments, Asked(principal, session, owner, agent), version=version)

    async def explain(
        self, name: str, arguments: Mapping[str, Any], *, version: str = "", session: str = "", owner: str = "",
        agent: str = "", principal: Principal = ANONYMOUS,
    ) -> Explanation:  # fmt: skip
        """Say which rule of the policy decides about a call, and why the others don't."""
        if self.policy is None:
            raise ToolError("denied", "there is no policy, so every call is denied: enable tool-policy")
        asked = Asked(principal, session, owner, agent)
        wanted: ToolCall = await self.calls.wanted(name, arguments, asked, version=version)
        return self.policy.explain(wanted)

    async def approvals(
        self, status: ApprovalStatus | Literal[""] = "", cursor: str = "", limit: int = 50
    ) -> ApprovalPage:
        return await self._asked(self._approvals.page(status, cursor, limit))

    async def decide(self, id: str, *, approved: bool, by: str) -> Approval:
        return await self._asked(self._approvals.decide(id, approved=approved, by=by))

    async def figures(self) -> Mapping[str, Figures]:
        await self.flush()
        return await self._asked(self._store.figures())

    async def flush(self) -> None:
        """Hand what was counted in this process to the store."""
        await self.calls.statistics.flush(self._store)

    async def all(self) -> Sequence[ToolSpec]:
        """Return all tools there are."""
        found: list[ToolSpec] = []
        cursor = ""
        while True:
            page = await self.page("", cursor, _MOST_LISTED)
            found += page.specs
            if not page.cursor or page.cursor == cursor:
                return found
            cursor = page.cursor

    async def count(self) -> None:
        """Look how many tools there are."""
        counts: dict[Status, int] = {"active": 0, "deprecated": 0}
        found = await self.all()
        self.registry.drop_all_but([spec.id for spec in found])
        for spec in found:
            counts[spec.status] += 1
        self.counts = counts

    def waking(self, workflows: Workflows) -> Waking:
        """Return what tells workflows of a human's decisions."""
        return Waking(self._store, workflows, self._config.poll)

    async def forget(self, owner: str) -> int:
        return await self._asked(self._store.forget(owner))

    async def _asked(self, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except NoSuchApproval as exc:
            raise ToolError("not_found", str(exc)) from None
        except ToolStoreError as exc:
            raise ToolError("unavailable", f"the store of tools can't be used: {exc}") from exc
