"""Asking a deployment how it is: ``tta health`` starts it, asks each plugin, and stops it."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator, Mapping, Sequence

import anyio
import msgspec

from tta_kernel import Health, Kernel, State
from tta_kernel.hookspecs import health
from tta_kernel.lifecycle import GRACE
from tta_kernel.wiring import Wiring

from . import logs, streams
from .arguments import duration
from .commands import Subcommands, skip_surfaces, start_only
from .config import LayeredSettings
from .exits import DONE, WANTING
from .output import print_json, table
from .run import Watchdog
from .watch import LoopWatch

RANK = {"ok": 0, "degraded": 1, "failing": 2}
"""Worse is more; what is none of these is as bad as can be."""


class Report(msgspec.Struct, frozen=True):
    """How a deployment is; ``status`` is that of the worst of its plugins. ``not_started`` were not asked."""

    status: str
    plugins: Mapping[str, Health]
    not_started: Sequence[str]


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    text = "start what is enabled, ask each plugin how it is, and stop; 0 where all is ok, else 1"
    parser = subcommands.add_own("health", text)
    parser.set_defaults(start=run)
    parser.add_argument("--json", action="store_true", help="print JSON")
    text = "beside a running system: start only what can say how it is, and what that needs, so that nothing serves"
    parser.add_argument("--beside", action="store_true", help=text)
    text = "give up after so long, such as 10s (the default is 60s)"
    parser.add_argument("--timeout", type=_seconds, default=60.0, metavar="TIME", help=text)


def _seconds(text: str) -> float:
    seconds = duration(text)
    if not 0 < seconds <= threading.TIMEOUT_MAX / 2:
        raise argparse.ArgumentTypeError("expected more than 0, and less than an age")
    return seconds


def run(wiring: Wiring, settings: LayeredSettings, options: argparse.Namespace) -> int:
    """Print how each plugin is, and return the exit code."""
    kernel = Kernel(wiring=wiring)
    logs.setup(settings.log_level, settings.log_format, kernel.secrets)
    if options.beside:
        start_only(kernel, "it doesn't say how it is", asks=(health,))
    else:
        skip_surfaces(kernel, "only `tta run` serves")
    watchdog = Watchdog(kernel, options.timeout + settings.stop_timeout + 2 * GRACE)
    watchdog.arm()
    try:
        with streams.diverted():
            report = anyio.run(ask, kernel, options.timeout)
        report = _redacted(report, logs.Redactor(kernel.secrets))
    finally:
        watchdog.disarm()
    if options.json:
        print_json(report)
    else:
        table(_rows(report, "it doesn't say how it is" if options.beside else "only `tta run` serves"))
    return DONE if report.status == "ok" else WANTING


def _redacted(report: Report, redact: logs.Redactor) -> Report:
    """Return a report without secrets: a detail may quote an error, and that an address with its password."""
    plugins = {name: msgspec.structs.replace(it, detail=redact(str(it.detail))) for name, it in report.plugins.items()}
    return msgspec.structs.replace(report, plugins=plugins)


async def ask(kernel: Kernel, within: float) -> Report:
    """Start a kernel, ask every plugin, and stop it, whatever fails in it."""
    records = kernel.records.values()
    required = {record.name for record in records if record.required}
    for record in records:
        # One that fails is what is looked for: the others are asked all the same.
        record.required = record.vital = False
    chosen = [*kernel.wiring.chosen()]
    found: dict[str, Health] = {}
    with anyio.move_on_after(within) as limit, LoopWatch(kernel):
        async with kernel:
            found = await kernel.health()
            for record in records:
                if record.name in required and record.name in found and not record.running:
                    found[record.name] = msgspec.structs.replace(found[record.name], status="failing")
    if limit.cancel_called and not found:
        for name in chosen:
            reason = kernel.records[name].reason
            why = f"; {reason}" if reason else ""
            found[name] = Health("failing", f"not all had started and answered after {within:g} s{why}")
    worst = max((answer.status for answer in found.values()), key=lambda status: RANK.get(status, 3), default="ok")
    left = [record.name for record in records if record.state is State.SKIPPED]
    return Report(worst, found, left)


def _rows(report: Report, why_not: str) -> Iterator[Sequence[str]]:
    yield "NAME", "STATUS", "DETAIL"
    for name, answer in report.plugins.items():
        yield name, str(answer.status), str(answer.detail)
    for name in report.not_started:
        yield name, "-", f"not started, since {why_not}"
