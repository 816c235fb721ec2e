"""The reference implementation of the store, in memory."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar
from uuid import uuid4

import anyio
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tta_kernel import check_count, check_duration

from .figures import Figures
from .model import Approval, ApprovalStatus, Status, ToolSpec
from .results import Results
from .store import (
    ApprovalPage,
    Build,
    Changes,
    Claim,
    Cleaned,
    NoSuchApproval,
    Registered,
    ToolPage,
    ToolStoreError,
)

S = TypeVar("S", bound=Struct)
REMEMBERED = 1000
"""Changes that are told by name; to whoever asks for older ones, any tool may have changed."""


class _Building(Struct):
    token: str
    by: str
    until: float
    tool: str = ""


class MemoryToolStore:
    """Keeps ``most`` tools, as many approvals, and results of ``size`` bytes in all."""

    durable = False

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        most: int = 10_000,
        size: int = 64 * 2**20,
        keep_figures: float = 30 * 86_400.0,
    ) -> None:
        check_count("most", most)
        check_count("size", size)
        check_duration("keep_figures", keep_figures, positive=True)
        self._clock, self._most, self._keep_figures = clock, most, keep_figures
        self._tools: dict[str, dict[str, ToolSpec]] = {}
        """By name, and then by version."""
        self._count = 0
        self._changes: deque[str] = deque(maxlen=REMEMBERED)
        self._number = 0
        self._changed = anyio.Event()
        self._builds: dict[str, _Building] = {}
        self._results = Results(clock, most=most, size=size)
        self._approvals: OrderedDict[str, Approval] = OrderedDict()
        self._figures: dict[str, Figures] = {}

    def __len__(self) -> int:
        """Count the tools."""
        return self._count

    @property
    def results(self) -> int:
        """Count the results and claims."""
        return len(self._results)

    async def register(self, spec: ToolSpec) -> Registered:
        return self._register(spec)

    def _register(self, spec: ToolSpec) -> Registered:
        there = self._tools.get(spec.name, {}).get(spec.version)
        if there is not None:
            if there.status == "deprecated" and there.idle and there.signature == spec.signature:
                there = replace(there, status="active", idle=False, seen_at=self._clock())
                self._put(there)
            return Registered(there, new=False)
        if self._count >= self._most:
            raise ToolStoreError(
                f"there are {self._most} tools, and no more may be: delete some by `tta tools cleanup`"
            )
        now = self._clock()
        stored = replace(_copy(spec), created_at=spec.created_at or now, seen_at=now, status="active", idle=False)
        self._put(stored)
        self._count += 1
        return Registered(stored, new=True)

    async def get(self, name: str, version: str) -> ToolSpec | None:
        return self._tools.get(name, {}).get(version)

    async def versions(self, name: str) -> Mapping[str, Status]:
        return {version: spec.status for version, spec in self._tools.get(name, {}).items()}

    async def page(self, prefix: str = "", cursor: str = "", limit: int = 50) -> ToolPage:
        ids = sorted(spec.id for spec in self._all() if spec.name.startswith(prefix) and spec.id > cursor)
        shown = [self._tools[name][version] for name, _, version in (id.partition(":") for id in ids[:limit])]
        return ToolPage(shown, shown[-1].id if len(ids) > limit else "")

    async def deprecate(self, name: str, version: str) -> bool:
        spec = self._tools.get(name, {}).get(version)
        if spec is not None:
            self._put(replace(spec, status="deprecated", idle=False))
        return spec is not None

    async def touch(self, name: str, version: str, *, used_at: float = 0.0, seen_at: float = 0.0) -> bool:
        spec = self._tools.get(name, {}).get(version)
        if spec is None:
            return False
        used, seen = max(spec.last_used_at, used_at), max(spec.seen_at, seen_at)
        self._tools[name][version] = replace(spec, last_used_at=used, seen_at=seen)
        return True

    async def cleanup(self, *, deprecate_before: float, prune_before: float) -> Cleaned:
        deprecated, pruned = [], []
        for spec in [*self._all()]:
            last = max(spec.created_at, spec.last_used_at, spec.seen_at)
            if spec.status == "deprecated" and last < prune_before:
                self._delete(spec)
                pruned.append(spec.id)
            elif spec.status == "active" and last < deprecate_before:
                self._put(replace(spec, status="deprecated", idle=True))
                deprecated.append(spec.id)
        return Cleaned(tuple(sorted(deprecated)), tuple(sorted(pruned)))

    async def changes(self, after: int, *, wait: float = 0.0) -> Changes:
        if after == self._number and wait > 0:
            changed = self._changed
            with anyio.move_on_after(wait):
                await changed.wait()
        missed = self._number - after
        if not 0 <= missed <= len(self._changes):
            return Changes(self._number, None)
        return Changes(self._number, tuple(dict.fromkeys([*self._changes][len(self._changes) - missed :])))

    async def claim_build(self, signature: str, *, by: str, ttl: float) -> Build:
        now = self._clock()
        found = self._builds.get(signature)
        if found is not None and found.tool and self._is_active(found.tool):
            return Build(tool=found.tool)
        if found is not None and not found.tool and found.until > now:
            return Build(by=found.by, left=found.until - now)
        self._drop_builds(now)
        self._builds[signature] = _Building(uuid4().hex, by, now + ttl)
        return Build(token=self._builds[signature].token)

    async def renew_build(self, signature: str, token: str, *, ttl: float) -> bool:
        found = self._our_build(signature, token)
        if found is not None:
            found.until = self._clock() + ttl
        return found is not None

    async def finish_build(self, signature: str, token: str, spec: ToolSpec | None) -> Registered | None:
        found = self._our_build(signature, token)
        if found is None:
            return None
        if spec is None:
            del self._builds[signature]
            return None
        registered = self._register(spec)
        found.tool = spec.id
        return registered

    async def claim(
        self, key: str, fingerprint: str, token: str, *, lease: float, ttl: float, again: bool, owner: str
    ) -> Claim:
        return self._results.claim(key, fingerprint, token, lease=lease, ttl=ttl, again=again, owner=owner)

    async def keep(self, key: str, token: str, value: bytes, *, ttl: float) -> bool:
        return self._results.keep(key, token, value, ttl=ttl)

    async def release(self, key: str, token: str) -> bool:
        return self._results.release(key, token)

    async def fetch(self, key: str) -> bytes | None:
        return self._results.fetch(key)

    async def put(self, key: str, value: bytes, *, ttl: float, owner: str) -> None:
        self._results.put(key, value, ttl=ttl, owner=owner)

    async def ask(self, approval: Approval) -> Approval:
        self._drop_approvals()
        for each in self._approvals.values():
            if each.binding == approval.binding and each.status != "taken":
                return each
        if len(self._approvals) >= self._most:
            raise ToolStoreError(f"{self._most} calls wait for an approval, and no more may: decide about some")
        self._approvals[approval.id] = _copy(approval)
        return approval

    async def decide(self, id: str, *, approved: bool, by: str, at: float) -> Approval:
        found = await self.approval(id)
        if found is None:
            raise NoSuchApproval("there is no approval of this id (any more)")
        if found.status == "pending":
            found = replace(found, status="approved" if approved else "refused", by=by, decided_at=at)
            self._approvals[id] = found
        return found

    async def take(self, binding: str, *, at: float) -> Approval | None:
        for each in self._approvals.values():
            if each.binding == binding and each.status == "approved" and each.expires_at > at:
                taken = replace(each, status="taken")
                self._approvals[each.id] = taken
                return taken
        return None

    async def give_back(self, id: str) -> bool:
        found = await self.approval(id)
        if found is None or found.status != "taken":
            return False
        if any(each.binding == found.binding and each.status != "taken" for each in self._approvals.values()):
            return False
        self._approvals[id] = replace(found, status="approved")
        return True

    async def approval(self, id: str) -> Approval | None:
        self._drop_approvals()
        return self._approvals.get(id)

    async def approvals(
        self, status: ApprovalStatus | Literal[""] = "", cursor: str = "", limit: int = 50
    ) -> ApprovalPage:
        self._drop_approvals()
        ordered = sorted(self._approvals.values(), key=place, reverse=True)
        found = [each for each in ordered if status in ("", each.status) and (not cursor or place(each) < cursor)]
        shown = found[:limit]
        return ApprovalPage(shown, place(shown[-1]) if len(found) > limit else "")

    async def count(self, figures: Mapping[str, Figures]) -> None:
        for id, more in figures.items():
            there = self._figures.get(id)
            if there is None and len(self._figures) >= self._most:
                self._drop_figures()
            if there is not None or len(self._figures) < self._most:
                self._figures[id] = more if there is None else there.plus(more)

    async def figures(self) -> Mapping[str, Figures]:
        self._drop_figures()
        return dict(self._figures)

    async def forget(self, owner: str) -> int:
        if not owner:
            return 0
        theirs = [id for id, each in self._approvals.items() if each.owner == owner]
        for id in theirs:
            del self._approvals[id]
        return len(theirs) + self._results.forget(owner)

    def _all(self) -> Iterator[ToolSpec]:
        for versions in self._tools.values():
            yield from versions.values()

    def _put(self, spec: ToolSpec) -> None:
        self._tools.setdefault(spec.name, {})[spec.version] = spec
        self._note(spec.name)

    def _delete(self, spec: ToolSpec) -> None:
        del self._tools[spec.name][spec.version]
        if not self._tools[spec.name]:
            del self._tools[spec.name]
        self._count -= 1
        self._note(spec.name)

    def _note(self, name: str) -> None:
        self._number += 1
        self._changes.append(name)
        self._changed.set()
        self._changed = anyio.Event()

    def _is_active(self, id: str) -> bool:
        name, _, version = id.partition(":")
        spec = self._tools.get(name, {}).get(version)
        return spec is not None and spec.status == "active"

    def _our_build(self, signature: str, token: str) -> _Building | None:
        found = self._builds.get(signature)
        return found if found is not None and found.token == token and found.until > self._clock() else None

    def _drop_builds(self, now: float) -> None:
        if len(self._builds) < self._most:
            return
        over = [key for key, each in self._builds.items() if (not each.tool and each.until <= now) or each.tool]
        _drop(self._builds, over)
        if len(self._builds) >= self._most:
            raise ToolStoreError(f"{self._most} tools are being built, and no more may be: wait for some")

    def _drop_approvals(self) -> None:
        now = self._clock()
        _drop(self._approvals, [id for id, each in self._approvals.items() if each.expires_at <= now])

    def _drop_figures(self) -> None:
        old = self._clock() - self._keep_figures
        _drop(self._figures, [id for id, each in self._figures.items() if each.last_used_at < old])


def place(approval: Approval) -> str:
    """Return where an approval stands among all, in the order of texts: by when it was asked for, then by its id."""
    return f"{max(0, round(approval.asked_at * 1000)):015d}.{approval.id}"


def _drop(entries: dict[str, Any], keys: Iterable[str]) -> None:
    for key in keys:
        del entries[key]


def _copy(struct: S) -> S:
    """Return it as it would come back from a store: what can't travel fails here."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(struct), type=type(struct))
