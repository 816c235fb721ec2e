"""The commands ``tta keys …``: make keys, list them, and let them open nothing any more."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Collection, Sequence

import msgspec

from tta_kernel import Kernel
from tta_program import DONE, WANTING, Subcommands, fail, moment, print_json, table
from tta_program.arguments import some_time

from .guard import LIMIT, asked
from .memory import MemoryKeys
from .model import KEYS, AccessError, Key, KeyStore
from .tokens import digest_of, new_key

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class Made(msgspec.Struct, frozen=True):
    """A key that was made, with the only time that it is shown."""

    id: str
    name: str
    roles: tuple[str, ...]
    key: str


def add(subcommands: Subcommands, roles: Collection[str]) -> None:
    """Add the commands; ``roles`` are those that there are."""
    subcommands.group("keys", help="make, list and revoke the keys of callers")
    parser = subcommands.add(
        "keys create", _create, help="make a key, and show it this once", requires=(KEYS,), mutates=True, target="name"
    )
    parser.add_argument("name", type=_name, help="whose key it is, such as a program's name")
    parser.add_argument("--role", action="append", required=True, choices=[*roles], help="what it may do")
    parser.add_argument("--expires", type=some_time, metavar="TIME", help="after how long it ends, such as 90d")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser = subcommands.add("keys list", _list, help="list keys, and when each was used last", requires=(KEYS,))
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser = subcommands.add(
        "keys revoke", _revoke, help="let a key open nothing any more", requires=(KEYS,), mutates=True, target="id"
    )
    parser.add_argument("id", help="its identifier, as `tta keys list` shows it")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError("a name is up to 64 letters, digits and ._@-")
    return text


def _store(kernel: Kernel) -> KeyStore | None:
    store = kernel.get(KEYS)
    return None if isinstance(store, MemoryKeys) else store


def _in_memory() -> int:
    return fail("keys", "keys are kept in memory, and this process has none: only the running one has")


async def _create(kernel: Kernel, options: argparse.Namespace) -> int:
    if (store := _store(kernel)) is None:
        return _in_memory()
    now = time.time()
    id, key = new_key()
    roles = tuple(dict.fromkeys(options.role))
    expires_at = None if options.expires is None else now + options.expires
    kept = Key(
        id=id, name=options.name, roles=roles, digest=digest_of(key), created_at=now, expires_at=expires_at
    )  # fmt: skip
    try:
        await asked(AccessError, LIMIT, None, store.add, kept)
    except AccessError as exc:
        return fail("keys", str(exc))
    if options.json:
        print_json(Made(id, options.name, roles, key))
    else:
        # On a line of its own, so that it can be piped to where it is kept.
        print(key)
    return DONE


async def _list(kernel: Kernel, options: argparse.Namespace) -> int:
    if (store := _store(kernel)) is None:
        return _in_memory()
    try:
        keys = await asked(AccessError, LIMIT, Sequence[Key], store.keys)
    except AccessError as exc:
        return fail("keys", str(exc))
    now = time.time()
    if options.json:
        print_json([{**_shown(key), "state": key.state(now)} for key in keys])
        return DONE
    rows: list[tuple[str, ...]] = [("id", "name", "roles", "state", "made", "expires", "last used")]
    for key in keys:
        times = [moment(at) if at else "-" for at in (key.created_at, key.expires_at, key.used_at)]
        rows.append((key.id, key.name, ",".join(key.roles), key.state(now), *times))
    table(rows)
    return DONE


def _shown(key: Key) -> dict[str, object]:
    """Return what may be shown of a key; not its digest, by which a guess could be tried elsewhere."""
    shown: dict[str, object] = msgspec.to_builtins(key)
    return {name: value for name, value in shown.items() if name not in ("digest", "v")}


async def _revoke(kernel: Kernel, options: argparse.Namespace) -> int:
    if (store := _store(kernel)) is None:
        return _in_memory()
    try:
        found = await asked(AccessError, LIMIT, bool, store.revoke, options.id)
    except AccessError as exc:
        return fail("keys", str(exc))
    if not found:
        fail("keys", f"there is no active key {options.id!r}; `tta keys list` shows which there are")
        return WANTING
    print(f"revoked {options.id}")
    return DONE
