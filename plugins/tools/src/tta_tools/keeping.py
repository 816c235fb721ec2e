"""What is kept of calls: what they came to under their key, and results that equal calls may use again."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast
from uuid import uuid4

import anyio
import msgspec
from msgspec import Struct

from .model import Code, ToolError, ToolSpec
from .plain import decode
from .store import ToolStore, ToolStoreError

log = logging.getLogger("tta.tools")
_GRACE = 10.0
"""Seconds that a claim holds beyond the time that its call may take."""
_LONGEST_KEY = 512


class Made(Struct, frozen=True):
    """What a tool came to: a value of builtins, the same as JSON, and what was cut off."""

    value: Any
    text: bytes
    note: str = ""


class _Kept(Struct, omit_defaults=True):
    value: msgspec.Raw = msgspec.Raw(b"null")
    note: str = ""
    code: str = ""
    detail: str = ""


class Keeping:
    """Results in a store; keys are kept for ``ttl`` seconds."""

    def __init__(self, store: ToolStore, ttl: float) -> None:
        self._store, self._ttl = store, ttl

    async def once(
        self, spec: ToolSpec, key: str, fingerprint: str, *, scope: tuple[str, ...], owner: str, limit: float,
        make: Callable[[], Awaitable[Made]], was_made: Callable[[], bool],
    ) -> tuple[Made, bool]:  # fmt: skip
        """Make a call under its key, or return what it came to before, and whether it did.

        The claim comes before the call: so it isn't made twice, whatever becomes of this process. ``was_made`` says
        whether the tool may have been called: where it wasn't, the claim is given back.
        """
        if len(key) > _LONGEST_KEY or not key.isprintable():
            raise ToolError("invalid_arguments", f"{spec.id}: a call's key has up to {_LONGEST_KEY} characters of text")
        place, token = digest(spec.name, *scope, key), uuid4().hex
        claim = await self._asked(
            spec, self._store.claim(
                place, fingerprint, token, lease=limit + _GRACE, ttl=max(self._ttl, limit + _GRACE),
                again=spec.idempotent, owner=owner,
            )
        )  # fmt: skip
        match claim.state:
            case "kept":
                return _restored(spec, claim.value), True
            case "running":
                detail = f"{spec.id}: a call of this key is under way"
                raise ToolError("busy", detail, retry_after=claim.left)
            case "in_doubt":
                detail = (
                    f"{spec.id}: a call of this key was begun, and nobody knows whether it was done: look, and decide"
                )
                raise ToolError("in_doubt", detail)
            case "other":
                raise ToolError("conflict", f"{spec.id}: this key stands for a call with other arguments")
        try:
            made = await make()
        except BaseException as exc:
            with anyio.move_on_after(_GRACE, shield=True):
                if spec.idempotent or not was_made():
                    await self._release(place, token)
                elif isinstance(exc, ToolError):
                    # Whether it has done something isn't known: so this is what the call came to, for good.
                    await self._keep(spec, place, token, _Kept(code=exc.code, detail=exc.detail))
            # What was cancelled stays claimed, and in doubt.
            raise
        await self._keep(spec, place, token, _Kept(msgspec.Raw(made.text), made.note))
        return made, False

    async def _keep(self, spec: ToolSpec, place: str, token: str, kept: _Kept) -> None:
        try:
            await self._store.keep(place, token, msgspec.json.encode(kept), ttl=self._ttl)
        except ToolStoreError as exc:
            log.warning("what a call of %s came to isn't kept: %s", spec.id, exc)

    async def _release(self, place: str, token: str) -> None:
        try:
            await self._store.release(place, token)
        except ToolStoreError as exc:
            log.warning("a key holds until its lease is over: %s", exc)

    async def found(self, spec: ToolSpec, place: str) -> Made | None:
        """Return a result that an equal call may use."""
        try:
            value = await self._store.fetch(place)
        except ToolStoreError as exc:
            log.debug("results of %s can't be looked up: %s", spec.id, exc)
            return None
        return _restored(spec, value) if value is not None else None

    async def put(self, spec: ToolSpec, place: str, made: Made, *, owner: str) -> None:
        """Keep a result for equal calls."""
        assert spec.cache_ttl is not None
        value = msgspec.json.encode(_Kept(msgspec.Raw(made.text), made.note))
        try:
            await self._store.put(place, value, ttl=spec.cache_ttl, owner=owner)
        except ToolStoreError as exc:
            log.debug("a result of %s isn't kept: %s", spec.id, exc)

    async def _asked(self, spec: ToolSpec, answer: Awaitable[Any]) -> Any:
        try:
            return await answer
        except ToolStoreError as exc:
            raise ToolError("unavailable", f"{spec.id}: its key can't be claimed, so it isn't called: {exc}") from exc


def _restored(spec: ToolSpec, value: bytes) -> Made:
    kept = msgspec.json.decode(value, type=_Kept)
    if kept.code:
        raise ToolError(cast(Code, kept.code), kept.detail, retryable=False)
    text = bytes(kept.value)
    return Made(decode(text), text, kept.note)


def digest(*parts: str) -> str:
    """Return one word for several, none of which could be taken for another's."""
    # In ASCII: a name may hold half of a surrogate pair, which UTF-8 hasn't got.
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
