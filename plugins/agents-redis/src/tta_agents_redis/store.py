"""The scripts as calls, and the two ways in which a server says no."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import anyio.lowlevel
import msgspec
from redis.exceptions import ResponseError

from tta_agents import AgentCard, AgentId, RegistryError, Report
from tta_redis import Redis, RedisDown, Script

from . import scripts

TAG = "agents"
_AT_ONCE = 50
"""How many cards are read until others may run."""
_NOTE = re.compile(rb"([0-9]{1,15})\n([^\n]*)\n([^\n]*)\n.*", re.DOTALL)
_SEEN = re.compile(rb"([0-9]{1,15}):.*", re.DOTALL)


class Found(NamedTuple):
    """A card as it lies in Redis; times in seconds by the server's clock."""

    card: AgentCard
    expires_at: float


class Look(NamedTuple):
    """What there was at ``now``."""

    now: float
    found: Sequence[Found]


class Store:
    """Cards in Redis; one lives for ``ttl`` seconds without a heartbeat, foreign values for ``quarantine``."""

    def __init__(self, redis: Redis, *, ttl: float, state_ttl: float, quarantine: float) -> None:
        self._redis = redis
        self._ttl, self._state_ttl, self._quarantine = _ms(ttl), _ms(state_ttl), _ms(quarantine)
        self._keys = [redis.key("agents", part, tag=TAG) for part in ("cards", "holders", "expiry", "foreign")]
        self.channel = redis.key("agents", "changed", tag=TAG)
        self._beat, self._leave = redis.script(scripts.BEAT), redis.script(scripts.LEAVE)
        self._look, self._remove = redis.script(scripts.LOOK), redis.script(scripts.REMOVE)
        self._fetch, self._refuse = redis.script(scripts.FETCH), redis.script(scripts.REFUSE)
        self._known: dict[bytes, tuple[bytes, AgentCard]] = {}
        self.foreign = 0
        """How many values were found that were none of ours."""

    async def beat(self, reports: Mapping[AgentId, Report], *, take: bool = False) -> Mapping[AgentId, bool]:
        """Say that agents are there, all in one call; False for each address that another process has by now."""
        agents: list[Any] = []
        states: list[bytes] = []
        for id, (card, state) in ((id, (report.card, report.state)) for id, report in reports.items()):
            agents += [_address(id), card.process, int(take), msgspec.msgpack.encode(card), int(state is not None)]
            states += [state] if state is not None else []
        keys = [*self._keys, *(self._state_key(id) for id in reports)]
        args = [self._quarantine, self.channel, self._ttl, self._state_ttl, *agents, *states]
        _, *held = await self._run(self._beat, keys, args)
        return dict(zip(reports, map(bool, held), strict=True))

    async def leave(self, id: AgentId, process: str, state: bytes | None) -> bool:
        """Take an agent out; False if it isn't there, or is another process's."""
        args = [self._quarantine, self.channel, _address(id), process, self._state_ttl]
        args += [state] if state is not None else []
        return bool(await self._run(self._leave, [*self._keys, self._state_key(id)], args))

    async def look(self, type: str | None = None, id: AgentId | None = None) -> Look:
        """Return the cards of all agents, of one type or of one address; what is no card is quarantined."""
        begin = _address(id) if id else "" if type is None else f"{_quoted(type)}/"
        now, *rows = await self._run(self._look, self._keys, [self._quarantine, begin, int(id is not None)])
        found, known, read = [], self._known, 0
        if not begin:
            self._known = {}  # Of those alone that are there still.
        for address, till, holder, raw in zip(*[iter(rows)] * 4, strict=True):
            try:
                # Of a thousand cards hardly any is another than a second ago, and reading them all takes long.
                before, card = known.get(address, (b"", None))
                if card is None or before != raw:
                    card = msgspec.msgpack.decode(raw, type=AgentCard)
                    if _address(card.id).encode() != address:
                        raise msgspec.ValidationError("the card of another address")
                    read += 1
                    if read % _AT_ONCE == 0:
                        await anyio.lowlevel.checkpoint()
                self._known[address] = raw, card
            except (msgspec.DecodeError, ValueError, RecursionError) as exc:
                self.foreign += await self._run(self._remove, self._keys, [self._quarantine, address, raw, str(exc)])
                continue
            seen = _SEEN.fullmatch(holder)
            card = msgspec.structs.replace(card, seen_at=int(seen[1]) / 1000 if seen else 0.0)
            found.append(Found(card, float(till) / 1000))
        return Look(now / 1000, found)

    async def state(self, id: AgentId) -> bytes | None:
        """Return an agent's state."""
        try:
            found: bytes | None = await self._run(self._fetch, [self._state_key(id)], [])
        except Foreign as exc:
            await self.refuse_state(id, str(exc))
            return None
        return found

    async def refuse_state(self, id: AgentId, reason: str) -> None:
        """Quarantine an agent's state, with the reason."""
        keys = [*self._keys, self._state_key(id)]
        self.foreign += await self._run(self._refuse, keys, [self._quarantine, reason])

    async def quarantined(self) -> Sequence[Mapping[str, Any]]:
        """Return what was quarantined, the newest first: when, where and why."""
        try:
            raws: Sequence[bytes] = await self._redis.execute("LRANGE", self._keys[3], 0, 99)
        except (RedisDown, ResponseError) as exc:
            raise RegistryError(str(exc)) from None
        return [self._note(raw) for raw in raws]

    def _note(self, raw: bytes) -> Mapping[str, Any]:
        if note := _NOTE.fullmatch(raw):
            where, reason = (part.decode(errors="replace") for part in note.groups()[1:])
            return {"at": int(note[1]) / 1000, "where": where, "reason": reason}
        return {"at": 0.0, "where": self._keys[3], "reason": "this is no note of ours"}

    async def _run(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
        return await run(script, keys, args)

    def _state_key(self, id: AgentId) -> str:
        return self._redis.key("agents", "state", id.type, id.instance or "", tag=TAG)


def check(card: AgentCard) -> None:
    """Raise a ValueError where others would take a card for none of ours: Structs check what they hold on decoding."""
    try:
        msgspec.msgpack.decode(msgspec.msgpack.encode(card), type=AgentCard)
    except (msgspec.DecodeError, TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise ValueError(f"agent {card.id} can't be announced, as its card can't travel: {exc}") from None


class Foreign(RegistryError):
    """Under a key lies what we never put there."""


async def run(script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
    """Run a script that does no harm when it runs twice; raise `RegistryError` where it doesn't answer."""
    try:
        return await script(keys, args, retry=True)
    except RedisDown as exc:
        raise RegistryError(str(exc)) from None
    except ResponseError as exc:
        kind = Foreign if "FOREIGN" in str(exc) else RegistryError
        raise kind(str(exc)) from None


def _address(id: AgentId) -> str:
    return f"{_quoted(id.type)}/{_quoted(id.instance or '')}"


def _quoted(name: str) -> str:
    return quote(name, safe="", errors="surrogatepass")  # as whatever a terminal was given: nobody is called so


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
