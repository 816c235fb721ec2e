"""The commands ``tta messages …``: what lies in the queues of a running system, and what an operator does about it."""

from __future__ import annotations

import argparse
import sys
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from tta_kernel import Kernel, suggest
from tta_program import DONE, WANTING, Subcommands, fail, moment, print_json, table
from tta_program.arguments import whole_number

from .memory import MemoryMessages
from .model import MESSAGES, DeadLetter, Messages, MessagesError, QueueStats, Requeued
from .prepare import check_queue

_PAGE = 100
_WHY_NOT = {
    Requeued.QUEUE_FULL: "the queue is full",
    Requeued.ALIVE: "a message with this id lives in the queue",
    Requeued.CORRUPT: "it is no message: `tta messages dlq show --body` shows what it is",
    Requeued.UNKNOWN: "the queue has no such dead letter (any more)",
}
_Act = Callable[[Messages, argparse.Namespace], Awaitable[int]]


def add(subcommands: Subcommands) -> None:
    """Add the commands."""

    def command(name: str, act: _Act, text: str, *, mutates: bool = False) -> argparse.ArgumentParser:
        async def run(kernel: Kernel, options: argparse.Namespace) -> int:
            return await _act(kernel, options, act)

        parser = subcommands.add(
            f"messages {name}", run, help=text, requires=(MESSAGES,), mutates=mutates, target="queue" if mutates else ""
        )  # fmt: skip
        parser.add_argument("--json", action="store_true", help="print JSON")
        return parser

    subcommands.group("messages", help="look at queues, and take back what is held too long")
    subcommands.group("messages dlq", help="look at dead letters, let them live again, or throw them away")
    parser = command("stats", _stats, "count what waits, is delayed, held and dead, in each queue")
    parser.add_argument("queue", nargs="?", help="this one alone")
    parser.add_argument("--all", action="store_true", help="those of which nothing is known but zeros, too")
    parser = command("recover", _recover, "take back what is held past its time, and count it by queue", mutates=True)
    parser.add_argument("queue", nargs="?", help="this one alone")
    parser = command("dlq list", _list, "list dead letters, the oldest first")
    parser.add_argument("queue", nargs="?", help="this one alone")
    parser.add_argument("--limit", type=whole_number, default=_PAGE, metavar="N", help="of each queue (%(default)s)")
    parser = command("dlq show", _show, "show one dead letter, without what it says")
    parser.add_argument("queue")
    parser.add_argument("id")
    parser.add_argument("--body", action="store_true", help="what it says, too: this may be a person's text")
    for name, act, text in (
        ("dlq requeue", _requeue, "let dead letters live again, with all their attempts"),
        ("dlq purge", _purge, "throw dead letters away"),
    ):
        parser = command(name, act, text, mutates=True)
        parser.add_argument("queue")
        chosen = parser.add_mutually_exclusive_group(required=True)
        chosen.add_argument("id", nargs="*", default=[], help="these")
        chosen.add_argument("--all", action="store_true", help="all of the queue")


async def _act(kernel: Kernel, options: argparse.Namespace, act: _Act) -> int:
    messages = kernel.get(MESSAGES)
    if isinstance(messages, MemoryMessages):
        return fail("messages", "messages are kept in memory, and this process has none: only the running one can look")
    try:
        if options.queue and (why := await _unknown(messages, check_queue(options.queue))):
            return fail("messages", why)
        return await act(messages, options)
    except MessagesError as exc:
        return fail("messages", f"the store can't be used: {exc}")
    except ValueError as exc:
        return fail("messages", str(exc))


async def _unknown(messages: Messages, queue: str) -> str:
    """Say that there is no such queue, and what may be meant; empty where there is."""
    if _any((await messages.stats(queue))[queue]) or queue in (known := await messages.stats()):
        return ""
    hint = suggest(queue, known, otherwise="`tta messages stats --all` shows which there are")
    return f"there is no queue {queue!r}, or it has ended; {hint}"


async def _stats(messages: Messages, options: argparse.Namespace) -> int:
    found = await messages.stats(options.queue)
    if not (options.all or options.queue):
        found = {queue: each for queue, each in found.items() if _any(each)}
    if options.json:
        return _json(found)
    if not found:
        return _nothing("no queue has anything to tell")
    names = [name for name in QueueStats.__struct_fields__ if name not in ("waiting", "oldest_age")]
    rows = [("queue", "high", "normal", "low", "oldest", *names)]
    for queue, each in sorted(found.items()):
        waiting = [each.waiting.get(name, 0) for name in ("high", "normal", "low")]
        oldest = f"{each.oldest_age:.0f} s" if any(waiting) else "-"
        rows.append((queue, *map(str, waiting), oldest, *(str(getattr(each, name)) for name in names)))
    table(rows)
    return DONE


def _any(stats: QueueStats) -> bool:
    return any(any(each.values()) if isinstance(each, Mapping) else each for each in msgspec.structs.astuple(stats))


async def _recover(messages: Messages, options: argparse.Namespace) -> int:
    found = await messages.recover(options.queue)
    if options.json:
        return _json(found)
    if not any(found.values()):
        print("nothing was held past its time")
        return DONE
    table([("queue", "recovered"), *((queue, str(count)) for queue, count in sorted(found.items()))])
    return DONE


async def _list(messages: Messages, options: argparse.Namespace) -> int:
    queues = [options.queue] if options.queue else sorted(await messages.stats())
    letters: list[DeadLetter] = []
    for queue in queues:
        found = await messages.dead(queue, limit=options.limit + 1)
        letters += found[: options.limit]
        if len(found) > options.limit:
            fail("messages", f"queue {queue!r} has more than these {options.limit}: see --limit")
    if options.json:
        return _json([_described(letter) for letter in letters])
    if not letters:
        return _nothing("there are no dead letters")
    rows = [("queue", "id", "died", "type", "reason", "attempts", "error")]
    rows += [
        (d.queue, d.id, _time(d.died_at), d.message.type if d.message else "?", d.reason, str(d.attempts), d.error)
        for d in letters
    ]
    table(rows)
    return DONE


async def _show(messages: Messages, options: argparse.Namespace) -> int:
    letter = await _find(messages, options.queue, options.id)
    if letter is None:
        return fail("messages", f"queue {options.queue!r} has no dead letter {options.id!r}")
    described = _described(letter)
    if options.body:
        described["body"] = _body(letter)
    if options.json:
        return _json(described)
    table([(key, value if isinstance(value, str) else _text(value)) for key, value in described.items()])
    return DONE


async def _requeue(messages: Messages, options: argparse.Namespace) -> int:
    found = await messages.requeue(options.queue, *options.id)
    rest = {id: became for id, became in found.items() if became is not Requeued.REQUEUED}
    if options.json:
        _json(found)
    else:
        print(f"requeued: {len(found) - len(rest)}")
        if rest:
            table([("id", "not requeued"), *((id, _WHY_NOT[became]) for id, became in rest.items())])
    return WANTING if rest else DONE


async def _purge(messages: Messages, options: argparse.Namespace) -> int:
    count = await messages.purge_dead(options.queue, *options.id)
    if options.json:
        _json({"purged": count})
    else:
        print(f"purged: {count}")
    wanted = len(set(options.id))
    return (
        DONE
        if count >= wanted
        else fail("messages", f"{wanted - count} of {wanted} ids are no dead letters of queue {options.queue!r}")
    )


async def _find(messages: Messages, queue: str, id: str) -> DeadLetter | None:
    after = ""
    while letters := await messages.dead(queue, limit=_PAGE, after=after):
        for letter in letters:
            if letter.id == id:
                return letter
        after = letters[-1].id
    return None


def _described(letter: DeadLetter) -> dict[str, Any]:
    """Return what a dead letter is, and nothing of what it says."""
    described = {
        "queue": letter.queue, "id": letter.id, "reason": letter.reason, "error": letter.error,
        "attempts": letter.attempts, "died_at": _time(letter.died_at),
    }  # fmt: skip
    if message := letter.message:
        described |= {
            "type": message.type, "priority": message.priority.name.lower(), "sent_at": _time(message.sent_at),
            "sender": message.sender, "topic": message.topic, "tags": message.tags, "reply_to": message.reply_to,
            "correlation_id": message.correlation_id, "owner": message.owner, "body_size": len(bytes(message.body)),
        }  # fmt: skip
    else:
        described |= {"raw_size": len(letter.raw)}
    return described


def _body(letter: DeadLetter) -> Any:
    if letter.message is None:
        return b64encode(letter.raw).decode()
    try:
        return msgspec.msgpack.decode(letter.message.body)
    except (msgspec.DecodeError, ValueError, RecursionError):  # A foreign program wrote it.
        return b64encode(bytes(letter.message.body)).decode()


def _time(at: float) -> str:
    return moment(at)


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _nothing(what: str) -> int:
    print(what, file=sys.stderr)
    return DONE


def _json(value: Any) -> int:
    print_json(value)
    return DONE
