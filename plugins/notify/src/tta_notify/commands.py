"""The commands ``tta notify …``: what humans were told, acknowledging it, and trying the channels."""

from __future__ import annotations

import argparse
import getpass
import secrets
import sys
import time
from collections.abc import Awaitable, Callable

from tta_kernel import Kernel
from tta_program import DONE, USAGE, WANTING, Subcommands, fail, moment, print_json, table

from . import hookspecs
from .channels import ChannelError, Message, send_through
from .directory import channels_of
from .memory import MemoryOutbox
from .model import STATUSES, Entry
from .notifier import NOTIFY, Notifier, UnknownNotification
from .outbox import OUTBOX, OutboxError
from .views import view

_Act = Callable[[Notifier, argparse.Namespace], Awaitable[int]]
_MOST = 50


def add(subcommands: Subcommands) -> None:
    """Add the commands."""
    subcommands.group("notify", help="what humans were told, and who has seen it")

    def command(name: str, act: _Act, text: str, *, mutates: bool = False) -> argparse.ArgumentParser:
        async def run(kernel: Kernel, options: argparse.Namespace) -> int:
            return await _act(kernel, options, act)

        return subcommands.add(
            f"notify {name}", run, help=text, requires=(NOTIFY, OUTBOX), mutates=mutates,
            target="notification" if mutates else "",
        )  # fmt: skip

    parser = command("list", _list, "list what humans were told, the newest first")
    parser.add_argument("--status", choices=STATUSES, help="those alone")
    parser.add_argument("--cursor", default="", help="go on after a page")
    parser.add_argument("--limit", type=_count, default=_MOST, metavar="N", help="at most (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser = command("acknowledge", _acknowledge, "say that you have seen it, and take care of it", mutates=True)
    parser.add_argument("notification", help="its key, as `tta notify list` shows it, or its id")
    parser.add_argument("--by", default="", help="who you are (your login name)")
    parser = subcommands.add(
        "notify test", _test, help="send a test message through each channel, from this process", requires=(NOTIFY,),
        asks=(hookspecs.notification_channels,),
    )  # fmt: skip
    parser.add_argument("--channel", action="append", default=[], help="this one alone; may be said more than once")


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 500:
        raise ValueError(text)
    return number


async def _act(kernel: Kernel, options: argparse.Namespace, act: _Act) -> int:
    if isinstance(kernel.get(OUTBOX), MemoryOutbox):
        return fail("notify", "they are kept in memory, and this process has none: only the running one can look")
    try:
        return await act(kernel.get(NOTIFY), options)
    except OutboxError as exc:
        return fail("notify", f"the outbox can't be used: {exc}")
    except UnknownNotification as exc:
        return fail("notify", str(exc))


async def _list(notifier: Notifier, options: argparse.Namespace) -> int:
    found = await notifier.page(options.cursor, options.limit, status=options.status)
    if options.json:
        print_json({"items": [view(each) for each in found.entries], "next": found.cursor or None})
        return DONE
    if not found.entries:
        print("nobody was told anything lately", file=sys.stderr)
        return DONE
    head = ("KEY", "AT", "SEVERITY", "TOPIC", "STATUS", "TIER", "BY", "SUBJECT")
    table([head, *map(_row, found.entries)])
    if found.cursor:
        print(f"there are more: --cursor {found.cursor}", file=sys.stderr)
    return DONE


def _row(entry: Entry) -> tuple[str, ...]:
    about, said = entry.notification, entry.acknowledgement
    subject = f"{about.subject} (+{entry.repeats})" if entry.repeats else about.subject
    return (
        entry.key, moment(entry.created_at), about.severity, about.topic, entry.status, str(entry.tier),
        said.by if said else "-", subject,
    )  # fmt: skip


async def _acknowledge(notifier: Notifier, options: argparse.Namespace) -> int:
    by = options.by or _login()
    if not by.strip():
        fail("notify", "nobody knows who you are: say --by")
        return USAGE
    entry = await notifier.acknowledge(options.notification, by, "command")
    said = entry.acknowledgement
    assert said is not None
    print(f"{entry.key}: acknowledged by {said.by} at {moment(said.at)}")
    return DONE


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # A container can be without names.
        return ""


async def _test(kernel: Kernel, options: argparse.Namespace) -> int:
    config = kernel.get(NOTIFY).config
    channels = channels_of(kernel.hooks).channels
    unknown = [name for name in options.channel if name not in channels]
    if unknown or not channels:
        known = ", ".join(sorted(channels)) or "none"
        return fail("notify", f"there is no channel {', '.join(unknown) or 'to test'}; known are: {known}")
    failed = False
    for name in sorted(options.channel or channels):
        channel = channels[name]
        people = {who: each.addresses[name] for who, each in config.roster.items() if name in each.addresses}
        if not people and channel.personal:
            print(f"{name}: nobody of the roster has an address there")
            failed = True
        for who, address in (people or ({} if channel.personal else {"": ""})).items():
            message = Message(
                id=secrets.token_hex(16), key="test", topic="test", severity="low", subject="a test of this channel",
                body="You need to do nothing.", at=time.time(), to=address,
            )  # fmt: skip
            to = f"{name}, {who}" if who else name
            try:
                said = (await send_through(channel, message, config.limit)).said
                print(f"{to}: accepted{f' ({said})' if said else ''}")
            except ChannelError as exc:
                print(f"{to}: {exc.code}")
                failed = True
    return WANTING if failed else DONE
