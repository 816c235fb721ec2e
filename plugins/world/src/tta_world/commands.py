"""The commands ``tta world …``: look at the worlds that are stored, carry them elsewhere, and bring sessions' in."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tta_kernel import Kernel, Service
from tta_program import DONE, WANTING, Subcommands, fail, moment, print_json, table
from tta_program.arguments import whole_number
from tta_sessions import SESSIONS, Session, SessionConflict, Sessions, SessionsError

from .guard import guard
from .opening import Part, WorldKeeper
from .routes import LIMIT, view
from .store import WORLD, Applied, Snapshot, WorldError, WorldRefused, WorldStore

_Act = Callable[[WorldStore, Kernel, argparse.Namespace], Awaitable[int]]
_TRIES = 20


def add(subcommands: Subcommands) -> None:
    """Add the commands."""
    subcommands.group("world", help="look at the worlds of sessions, and carry them elsewhere")

    def command(
        name: str, act: _Act, text: str, *, mutates: bool = False, target: str = "",
        requires: Sequence[Service[Any]] = (WORLD,),
    ) -> argparse.ArgumentParser:  # fmt: skip
        async def run(kernel: Kernel, options: argparse.Namespace) -> int:
            return await _run(kernel, options, act)

        return subcommands.add(f"world {name}", run, help=text, requires=requires, mutates=mutates, target=target)

    parser = command("show", _show, "show a world's version, sizes and last changes, and nothing of what is in it")
    parser.add_argument("session", help="the session that it belongs to")
    parser.add_argument("--json", action="store_true", help="print JSON")
    # It takes out what a person has said: the name that they have in the story.
    parser = command(
        "export", _export, "print a world and its last changes, as JSON, for `world import`", mutates=True,
        target="session",
    )  # fmt: skip
    parser.add_argument("session", help="the session that it belongs to")
    parser.add_argument("--version", type=whole_number, help="as it was then (default: as it is)")
    parser = command(
        "import", _import, "put a world that was exported where there is none, or an older one", mutates=True
    )
    parser.add_argument("file", type=Path, help="what `world export` has printed; - for standard input")
    parser.add_argument("--over", action="store_true", help="whatever is there: it becomes the next version")
    parser = command(
        "migrate", _migrate, "bring the worlds of sessions into the store, and repair whichever has an older one",
        mutates=True, requires=(WORLD, SESSIONS),
    )  # fmt: skip
    parser.add_argument("sessions", nargs="+", metavar="session", help="sessions, by name")


async def _run(kernel: Kernel, options: argparse.Namespace, act: _Act) -> int:
    worlds = kernel.get(WORLD)
    if not worlds.durable:
        return fail("world", "worlds are kept in memory, and this process has none: only the running one can look")
    try:
        return await act(guard(worlds, limit=LIMIT), kernel, options)
    except WorldRefused as exc:
        return fail("world", str(exc))
    except WorldError as exc:
        return fail("world", f"the store of worlds can't be reached: {exc}")


async def _show(worlds: WorldStore, kernel: Kernel, options: argparse.Namespace) -> int:
    snapshot = await worlds.snapshot(options.session)
    if snapshot is None:
        return _missing(options.session)
    shown = view(snapshot)
    if options.json:
        print_json(msgspec.to_builtins(shown))
        return DONE
    rows = {key: str(value) for key, value in msgspec.to_builtins(shown).items() if not isinstance(value, dict | list)}
    rows["at"] = moment(shown.at)
    for name, counts in (("entities", shown.entities), ("relations", shown.relations)):
        rows[name] = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "-"
    table([*rows.items()])
    if snapshot.records:
        print()
        changes = [
            (str(each.version), moment(each.at), str(len(each.patch.edits)), each.turn) for each in snapshot.records
        ]
        table([("VERSION", "AT", "EDITS", "TURN"), *changes])
    return DONE


async def _export(worlds: WorldStore, kernel: Kernel, options: argparse.Namespace) -> int:
    snapshot = await worlds.snapshot(options.session)
    if snapshot is None:
        return _missing(options.session)
    if options.version is not None and options.version != snapshot.head.version:
        stored = await worlds.get(options.session, options.version)
        if stored is None:
            return fail("world", f"version {options.version} isn't kept; `tta world show` says which ones are")
        snapshot = Snapshot(stored.head, stored.world)
    print_json(msgspec.to_builtins(snapshot))
    return DONE


async def _import(worlds: WorldStore, kernel: Kernel, options: argparse.Namespace) -> int:
    try:
        raw = sys.stdin.buffer.read() if str(options.file) == "-" else options.file.read_bytes()
        snapshot = msgspec.json.decode(raw, type=Snapshot)
    except OSError as exc:
        return fail("world", f"{options.file}: it can't be read: {exc.strerror}")
    except msgspec.DecodeError as exc:
        return fail("world", f"{options.file}: this is no world that `tta world export` has printed: {exc}")
    head = snapshot.head
    if options.over and (there := await worlds.head(head.session)) is not None:
        head = msgspec.structs.replace(head, version=max(there.version + 1, head.version))
        snapshot = Snapshot(head, snapshot.world)
    answer = await worlds.restore(snapshot)
    if isinstance(answer, Applied):
        table([(f"the world of {head.session} is at version {answer.version}",)])
        return DONE
    what = (
        f"there is another world, of version {answer.version}, which isn't older; with --over this one comes after it"
    )
    return fail("world", what)


async def _migrate(worlds: WorldStore, kernel: Kernel, options: argparse.Namespace) -> int:
    sessions = kernel.get(SESSIONS)
    wanting = False
    for name in options.sessions:
        try:
            said = await _migrated(kernel, sessions, name)
        except (SessionsError, SessionConflict) as exc:
            wanting = True
            fail("world", f"{name}: {type(exc).__name__}: {exc}")
        else:
            table([(f"{name}: {said}",)])
    return WANTING if wanting else DONE


async def _migrated(kernel: Kernel, sessions: Sessions, name: str) -> str:
    """Bring a session and the store to the same world, and say what was done."""

    def away(part: Part, code: str, session: str, owner: str) -> None:
        raise WorldError(f"{part}: {code}")

    log = logging.getLogger("tta.world")
    keeper = WorldKeeper(kernel.get(WORLD), log, lambda event: None, away, limit=LIMIT)
    for number in range(_TRIES):
        session = await sessions.get(name)
        if session is None:
            return "there is no session of this name"
        opened = await keeper.open(session.id, session.user, session.context)
        if opened.found == "away":
            return "it has no world that can be kept"
        if opened.found == "same":
            return "the store has its world already" if opened.version else "it has no world yet"
        try:
            session = await _with_world(sessions, session, opened.after(opened.plain))
        except SessionConflict:
            if number == _TRIES - 1:
                raise
            continue
        await keeper.keep(session.id, session.user, opened, session.context, f"migrate-{session.version}")
        return "it got the world of the store" if opened.found == "newer" else "the store got its world"
    raise AssertionError("the last try returns or raises")


async def _with_world(sessions: Sessions, session: Session, kept: Any) -> Session:
    """Return the session with a world, committed where it hadn't that one."""
    context = {**session.context, **kept}
    if context == session.context:
        return session
    return await sessions.commit(msgspec.structs.replace(session, context=context))


def _missing(session: str) -> int:
    return fail("world", f"the session {session!a:.100} has no world (any more)")
