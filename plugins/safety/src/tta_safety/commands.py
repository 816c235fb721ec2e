"""The commands ``tta reviews …``: a human looks at what was kept from players."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable

import msgspec

from tta_kernel import Kernel, KernelError
from tta_program import DONE, Subcommands, fail, moment, print_json, prose, table
from tta_program.arguments import whole_number_to

from .help import HELP
from .reviews import REVIEWS, Reviews, ReviewsError, guard_reviews, position
from .routes import view

_Act = Callable[[Reviews, argparse.Namespace], Awaitable[int]]
_MOST = 500


def add(subcommands: Subcommands) -> None:
    """Add the commands."""
    subcommands.group("reviews", help="look at texts that were kept from players")

    def command(name: str, act: _Act, text: str, *, mutates: bool = False) -> argparse.ArgumentParser:
        async def run(kernel: Kernel, options: argparse.Namespace) -> int:
            return await _run(kernel, options, act)

        parser = subcommands.add(
            f"reviews {name}", run, help=text, requires=(REVIEWS,), mutates=mutates, target="review" if mutates else ""
        )
        parser.add_argument("--json", action="store_true", help="print JSON")
        if mutates:
            parser.add_argument("review", help="its id, as `tta reviews list` shows it")
        return parser

    parser = command("list", _list, "list texts that were kept from players, the newest first, without the texts")
    parser.add_argument("--owner", default="", help="those of one person")
    parser.add_argument("--cursor", default="", help="go on after a page")
    parser.add_argument("--limit", type=whole_number_to(_MOST), default=50, metavar="N", help="at most (%(default)s)")
    command("show", _show, "show a text that was kept from a player; that you did is audited", mutates=True)
    command("delete", _delete, "delete a text that was kept from a player", mutates=True)

    _add_lines(subcommands)


def _add_lines(subcommands: Subcommands) -> None:
    subcommands.group("safety", help="look at checks of text, and at what is said to people in distress")
    parser = subcommands.add(
        "safety lines", _lines, help="show whom people in distress are told to call", requires=(HELP,)
    )  # fmt: skip
    parser.add_argument("--country", default="", metavar="XX", help="those that somebody there is told of, in order")
    parser.add_argument("--kind", default="", help="for a kind of crisis, such as suicide")
    parser.add_argument("--locale", default="", help="in a language, such as de-AT")
    parser.add_argument("--json", action="store_true", help="print JSON")


async def _lines(kernel: Kernel, options: argparse.Namespace) -> int:
    lines = kernel.get(HELP).lines
    country = options.country.upper()
    codes = [country] if country else lines.countries()
    rows = [(code, line) for code in codes for line in lines.lines_for(code, options.kind, locale=options.locale)]
    if options.json:
        print_json([{"country": code, **msgspec.to_builtins(line)} for code, line in rows])
        return DONE
    head = ("COUNTRY", "EMERGENCY", "NAME", "CALL", "TEXT", "ONLINE", "HOURS", "FOR", "READ ON", "PAGE")
    cells = [
        (
            code, line.emergency_number or "-", line.name, line.phone or "-",
            f"{line.sms_word} {line.sms or '-'}".strip(), line.chat_url or "-", line.hours or "-",
            ",".join(line.topics), line.verified_on.isoformat(), line.source,
        )
        for code, line in rows
    ]  # fmt: skip
    table([head, *cells])
    if country:
        said = lines.help_lines(locale=options.locale, country=country, kind=options.kind)
        print(f"\n{prose(said)}")
    return DONE


async def _run(kernel: Kernel, options: argparse.Namespace, act: _Act) -> int:
    holder = kernel.records.get(kernel.hooks.providers.get(REVIEWS, ""))
    if holder is not None and holder.cls.fallback:
        return fail("reviews", "they are kept in memory, and this process has none: only the running one can look")
    try:
        return await act(guard_reviews(kernel.get(REVIEWS)), options)
    except (KernelError, ReviewsError) as exc:
        return fail("reviews", str(exc))


async def _list(reviews: Reviews, options: argparse.Namespace) -> int:
    found = await reviews.list(limit=options.limit + 1, before=options.cursor, owner=options.owner)
    shown = found[: options.limit]
    more = position(shown[-1]) if len(found) > len(shown) else None
    if options.json:
        print_json({"items": [view(each) for each in shown], "next": more})
        return DONE
    if not shown:
        print("no text was kept from a player lately", file=sys.stderr)
        return DONE
    head = ("REVIEW", "AT", "OWNER", "TURN", "RISK", "CATEGORIES", "RULES")
    rows = (
        (
            each.id, moment(each.at), each.owner or "-", str(each.turn), f"{each.risk:.2f}",
            ",".join(each.categories) or "-", ",".join(each.rules) or "-",
        )
        for each in shown
    )  # fmt: skip
    table([head, *rows])
    if more is not None:
        print(f"there are more: --cursor {more!a}", file=sys.stderr)
    return DONE


async def _show(reviews: Reviews, options: argparse.Namespace) -> int:
    found = await reviews.get(options.review)
    if found is None:
        return _absent(options)
    if options.json:
        print_json(view(found, text=True))
        return DONE
    table(
        [
            ("review", found.id),
            ("kept at", moment(found.at)),
            ("session", f"{found.session}, turn {found.turn}, of {found.owner or 'nobody'}"),
            ("risk", f"{found.risk:.2f}"),
            ("categories", ", ".join(found.categories) or "-"),
            ("rules", ", ".join(found.rules) or "-"),
        ]
    )
    print(f"\n{prose(found.text)}")
    return DONE


async def _delete(reviews: Reviews, options: argparse.Namespace) -> int:
    if not await reviews.delete(options.review):
        return _absent(options)
    print_json({"deleted": options.review}) if options.json else print("deleted")
    return DONE


def _absent(options: argparse.Namespace) -> int:
    return fail("reviews", f"there is no review {options.review!a:.100} (any more)")
