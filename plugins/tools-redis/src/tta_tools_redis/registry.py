"""Tools on Redis, and who builds one."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
import msgspec
from msgspec.structs import replace

from tta_redis import Redis, Replication, Signal
from tta_tools import Status, ToolSpec, ToolStoreError
from tta_tools.store import Build, Changes, Cleaned, Registered, ToolPage

from . import registering
from .layout import FORMAT, RegistryKeys
from .part import Part, log, milliseconds, newer, store_errors

_spec = msgspec.msgpack.Decoder(ToolSpec)
_AT_ONCE = 100
_REMEMBERED = 7 * 86_400_000
"""For how many milliseconds it is known what was built, since it was last asked for."""


class Registry(Part):
    """The tools of all processes that share a Redis.

    Changes are heard at once, and looked for every ``poll`` seconds where no notification comes. What can't be read is
    set aside for ``quarantine`` seconds.
    """

    def __init__(
        self, redis: Redis, replication: Replication, *, most: int, poll: float = 5.0, quarantine: float = 30 * 86_400.0
    ) -> None:
        super().__init__(redis, replication, most=most)
        self._keys = RegistryKeys(redis)
        self._poll, self._quarantine = poll, milliseconds(quarantine)
        self._read = redis.script(registering.READ)
        self._register = redis.script(registering.REGISTER)
        self._deprecate = redis.script(registering.DEPRECATE)
        self._touch = redis.script(registering.TOUCH)
        self._clean = redis.script(registering.CLEAN)
        self._set_aside = redis.script(registering.SET_ASIDE)
        self._read_changes = redis.script(registering.CHANGES)
        self._claim_build = redis.script(registering.CLAIM_BUILD)
        self._renew_build = redis.script(registering.RENEW_BUILD)
        self._give_up_build = redis.script(registering.GIVE_UP_BUILD)
        self._finish_build = redis.script(registering.FINISH_BUILD)
        self._heard = anyio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hear of changes for as long as the block."""
        async with self._redis.subscribe(self._keys.channel, callback=self._hear):
            yield

    def _hear(self, signal: Signal | None) -> None:
        self._heard.set()

    async def register(self, spec: ToolSpec) -> Registered:
        arguments = self._arguments(spec)
        with store_errors:
            for _ in range(2):
                answer = await self._replication.run(self._register, self._places(spec.id), arguments)
                # What is there and can't be read is set aside, and makes room.
                if (registered := await self._registered(spec.id, answer)) is not None:
                    return registered
        raise _unreadable(spec.id)

    async def get(self, name: str, version: str) -> ToolSpec | None:
        with store_errors:
            [spec] = await self._specs([f"{name}:{version}"])
        return spec

    async def versions(self, name: str) -> Mapping[str, Status]:
        with store_errors:
            ids = await self._ids(f"{name}:")
            return {spec.version: spec.status for spec in await self._specs(ids) if spec is not None}

    async def page(self, prefix: str = "", cursor: str = "", limit: int = 50) -> ToolPage:
        with store_errors:
            ids = await self._ids(prefix, cursor, limit + 1)
            specs = [spec for spec in await self._specs(ids[:limit]) if spec is not None]
        return ToolPage(specs, ids[limit - 1] if len(ids) > limit else "")

    async def deprecate(self, name: str, version: str) -> bool:
        places = self._places(f"{name}:{version}")
        with store_errors:
            return bool(await self._replication.run(self._deprecate, places, [name, self._keys.channel]))

    async def touch(self, name: str, version: str, *, used_at: float = 0.0, seen_at: float = 0.0) -> bool:
        with store_errors:
            key = self._keys.tool(f"{name}:{version}")
            return bool(await self._touch([key], [repr(used_at), repr(seen_at)], retry=True))

    async def cleanup(self, *, deprecate_before: float, prune_before: float) -> Cleaned:
        found: dict[bytes, list[str]] = {b"": [], b"deprecated": [], b"pruned": []}
        last = ""
        with store_errors:
            while ids := await self._ids("", last, _AT_ONCE):
                last = ids[-1]
                arguments = [repr(deprecate_before), repr(prune_before), self._keys.channel, *ids]
                places = [*self._keys.lists, *self._keys.both(ids)]
                done = await self._replication.run(self._clean, places, arguments)
                for id, what in zip(ids, done, strict=True):
                    found[what].append(id)
        return Cleaned(tuple(found[b"deprecated"]), tuple(found[b"pruned"]))

    async def changes(self, after: int, *, wait: float = 0.0) -> Changes:
        until = anyio.current_time() + wait
        while True:
            # Before the look: what changes after it is heard.
            if self._heard.is_set():
                self._heard = anyio.Event()
            heard = self._heard
            with store_errors:
                number, *names = await self._read_changes(
                    [self._keys.changes, self._keys.changed], [after], retry=True
                )  # fmt: skip
            left = until - anyio.current_time()
            if number != after or left <= 0:
                return Changes(number, tuple(name.decode() for name in names[0]) if names else None)
            with anyio.move_on_after(min(left, self._poll)):
                await heard.wait()

    async def claim_build(self, signature: str, *, by: str, ttl: float) -> Build:
        token = secrets.token_hex(16)
        gone = ""
        with store_errors:
            while True:
                arguments = [signature, token, by, milliseconds(ttl), self._most, gone, _REMEMBERED]
                answer = await self._replication.run(self._claim_build, self._build(signature), arguments)
                match answer:
                    case [b"ours"]:
                        return Build(token=token)
                    case [b"theirs", who, left]:
                        return Build(by=who.decode(), left=max(0, left) / 1000)
                    case [b"full"]:
                        raise ToolStoreError(f"{self._most} tools are being built, and no more may be: wait for some")
                gone = answer[1].decode()
                [spec] = await self._specs([gone])
                if spec is not None and spec.status == "active":
                    return Build(tool=gone)

    async def renew_build(self, signature: str, token: str, *, ttl: float) -> bool:
        with store_errors:
            arguments = [signature, token, milliseconds(ttl)]
            return bool(await self._replication.run(self._renew_build, self._build(signature), arguments))

    async def finish_build(self, signature: str, token: str, spec: ToolSpec | None) -> Registered | None:
        build = self._build(signature)
        with store_errors:
            if spec is None:
                await self._replication.run(self._give_up_build, build, [signature, token])
                return None
            arguments = [signature, token, _REMEMBERED, *self._arguments(spec, maker=token)]
            for _ in range(2):
                answer = await self._replication.run(self._finish_build, [*build, *self._places(spec.id)], arguments)
                if answer == [b"lost"]:
                    return None
                if (registered := await self._registered(spec.id, answer)) is not None:
                    return registered
        raise _unreadable(spec.id)

    async def tools(self) -> int:
        """Count the tools."""
        with store_errors:
            return int(await self._redis.execute("ZCARD", self._keys.index))

    async def _registered(self, id: str, answer: Sequence[object]) -> Registered | None:
        """Read what became of a registration; None where what is there can't be read, and was set aside."""
        match answer:
            case [b"format", bytes(format)]:
                raise newer(f"the tool {id}", format, FORMAT)
            case [b"full"]:
                raise ToolStoreError(
                    f"there are {self._most} tools, and no more may be: delete some by `tta tools cleanup`"
                )
            case [state, list(row)]:
                spec = await self._decoded(id, row)
                return Registered(spec, new=state == b"new") if spec is not None else None
        raise AssertionError(f"a script answered {answer!r}")

    async def _ids(self, prefix: str, after: str = "", limit: int = -1) -> list[str]:
        """Return ids that begin with a prefix, in the order of texts."""
        low = f"({after}" if after > prefix else f"[{prefix}"
        found = await self._redis.execute(
            "ZRANGEBYLEX", self._keys.index, low, b"(" + prefix.encode() + b"\xff", "LIMIT", 0, limit
        )  # fmt: skip
        return [id.decode() for id in found]

    async def _specs(self, ids: Sequence[str]) -> list[ToolSpec | None]:
        """Read tools; None stands for one that is gone, that can't be read, or that a newer release wrote."""
        found: list[ToolSpec | None] = []
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            rows = await self._read(self._keys.both(some), retry=True)
            found += [await self._decoded(id, row) for id, row in zip(some, rows, strict=True)]
        return found

    async def _decoded(self, id: str, row: Sequence[bytes]) -> ToolSpec | None:
        if not row:
            return None
        format, packed, idle, created, used, seen, status = row
        if format != str(FORMAT).encode():
            log.warning("%s", newer(f"the tool {id}", format, FORMAT))
            return None
        try:
            spec = _spec.decode(packed)
            return replace(
                spec, created_at=float(created), last_used_at=float(used), seen_at=float(seen), idle=idle == b"1",
                status=msgspec.convert(status.decode(), Status),
            )  # fmt: skip
        except (msgspec.DecodeError, ValueError, RecursionError) as exc:
            log.error("the tool %a can't be read, and is set aside: %s", id, exc)
        name = id.partition(":")[0]
        arguments = [id, name, self._keys.channel, packed, self._quarantine]
        await self._replication.run(self._set_aside, [*self._places(id), self._keys.broken(id)], arguments)
        return None

    def _places(self, id: str) -> list[str]:
        return [*self._keys.both([id]), *self._keys.lists]

    def _build(self, signature: str) -> list[str]:
        return [self._keys.build(signature), self._keys.builds]

    def _arguments(self, spec: ToolSpec, *, maker: str = "") -> list[str | bytes | int]:
        packed = msgspec.msgpack.encode(spec)
        _spec.decode(packed)  # Only to see whether it comes back.
        created = repr(spec.created_at) if spec.created_at else ""
        return [
            spec.id, spec.name, FORMAT, packed, spec.signature, maker or secrets.token_hex(16), created, self._most,
            self._keys.channel,
        ]  # fmt: skip


def _unreadable(id: str) -> ToolStoreError:
    return ToolStoreError(f"what lies under the key of the tool {id} can't be read, and could not be set aside")
