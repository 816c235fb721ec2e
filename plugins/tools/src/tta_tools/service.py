"""What can be done with tools, for whoever requires them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol

from msgspec import Struct

from tta_http import ANONYMOUS, Principal
from tta_kernel import Service
from tta_tool_policy import Decision

from .declaring import OnProgress, Tool
from .figures import Figures
from .model import Approval, ApprovalStatus, ToolResult, ToolSpec
from .store import ApprovalPage, Cleaned, ToolPage


class DryRun(Struct, frozen=True, kw_only=True):
    """What would become of a call: what the policy says, and what else is in its way; nothing is called.

    ``problem`` is empty where nothing is, and where the policy denies the call: then nobody looked further.
    """

    tool: str
    version: str
    decision: Decision
    problem: str = ""


class Tools(Protocol):
    """The tools of a deployment. Whatever comes to nothing is a `ToolError`."""

    async def register(self, tool: Tool | ToolSpec, *, by: str = "") -> ToolSpec:
        """Register a tool, and return it as it is stored; the same one again does no harm.

        Raises ``conflict`` where another one has its name and version, or where it breaks callers of the version before
        without a new major version.
        """

    async def get(self, name: str, version: str = "") -> ToolSpec:
        """Return a tool: of this version, or of the highest active one that is no pre-release; or ``not_found``."""

    async def page(self, prefix: str = "", cursor: str = "", limit: int = 50) -> ToolPage:
        """Return tools whose name begins with ``prefix``, deprecated ones, too."""

    async def deprecate(self, name: str, version: str) -> None:
        """Let nobody have this version who doesn't ask for it."""

    async def touch(self, name: str, version: str) -> None:
        """Note that a tool was used; each call does that by itself."""

    async def cleanup(self, max_idle: float | None = None) -> Cleaned:
        """Deprecate what nobody has used for ``max_idle`` seconds, and delete what is deprecated for long enough."""

    async def create_or_get(self, signature: str, factory: Callable[[], Awaitable[Tool | ToolSpec]]) -> ToolSpec:
        """Return the tool of a signature, and build it where there is none: once, however many ask at once.

        ``signature`` is a word of the caller's, such as `ToolSpec.signature`. A factory that fails leaves nothing:
        whoever asks next builds anew. Raises ``building``, naming who builds, where that takes too long.
        """

    async def run(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        version: str = "",
        key: str = "",
        session: str = "",
        owner: str = "",
        agent: str = "",
        principal: Principal = ANONYMOUS,
        on_progress: OnProgress | None = None,
    ) -> ToolResult:
        """Call a tool, if the policy allows it; the enclosing cancel scope is the deadline.

        With a ``key`` the call is made once: another one with it, by the same owner in the same session, returns what
        the first came to. ``owner`` is the person whose data the arguments carry.
        """

    async def dry_run(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        version: str = "",
        session: str = "",
        owner: str = "",
        agent: str = "",
        principal: Principal = ANONYMOUS,
    ) -> DryRun:
        """Say what would become of a call."""

    async def approvals(
        self, status: ApprovalStatus | Literal[""] = "", cursor: str = "", limit: int = 50
    ) -> ApprovalPage:
        """Return what waits for a human, or was decided of late."""

    async def decide(self, id: str, *, approved: bool, by: str) -> Approval:
        """Approve or refuse a call, as ``by``, who must not be whoever asked for it."""

    async def figures(self) -> Mapping[str, Figures]:
        """Return how all tools have done, in all processes, by ``name:version``."""

    async def forget(self, owner: str) -> int:
        """Erase what is kept of a person's calls."""


TOOLS = Service[Tools]("tools")
"""The tools of a deployment, under its policy."""
