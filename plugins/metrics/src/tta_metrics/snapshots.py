"""What plugins say of their insides, read in the background: a scrape shows what is there, and awaits nobody."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import time
from typing import Any

import anyio.lowlevel
import msgspec

from tta_kernel import Escaped, Figure, Kernel
from tta_kernel.hookspecs import figures, snapshot

from .names import prometheus_name
from .registry import Metrics

log = logging.getLogger("tta.metrics")

_MOST = 1e300
"""More than any figure; an int may be too long for what reads it."""
LARGEST = 100_000
"""Bytes of JSON that a plugin's snapshot may have."""


class Snapshot(msgspec.Struct):
    """What a plugin has said last, and when, in seconds since the epoch.

    ``error`` is why nothing newer is there, such as ``no answer within 2 s``; it quotes nothing that the plugin said.
    """

    at: float = 0.0
    content: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""


class Snapshots:
    """Asks all plugins for their `snapshot`, and keeps the figures in it as metrics.

    What a plugin has said is kept for ``stale_after`` seconds while it doesn't answer, and goes at once where it
    doesn't run any more.
    """

    def __init__(
        self, kernel: Kernel, metrics: Metrics, redact: Callable[[str], str], *, stale_after: float,
        clock: Callable[[], float] = time,
    ) -> None:  # fmt: skip
        self.latest: dict[str, Snapshot] = {}
        self._kernel = kernel
        self._metrics = metrics
        self._redact = redact
        self._stale_after = stale_after
        self._clock = clock
        self._named: dict[str, set[str]] = {}
        """By plugin, the metrics that it gives."""
        self._told: set[str] = set()
        self._errors = metrics.counter("tta_snapshot_errors_total", "snapshots that were no use", labels=("plugin",))
        self._times = metrics.gauge(
            "tta_snapshot_timestamp_seconds", "when the plugin's last snapshot was read", "seconds", labels=("plugin",)
        )

    async def read(self) -> None:
        """Ask everybody once."""
        answers = await self._kernel.ask(snapshot)
        declared = self._kernel.hooks.collect(figures)
        for plugin, answer in answers.items():
            known = self.latest.setdefault(plugin, Snapshot())
            if isinstance(answer, Exception):
                self._fail(plugin, known, _reason(answer))
            else:
                self._take(plugin, known, answer, declared.get(plugin, ()))
            await anyio.lowlevel.checkpoint()
        self._times.replace({(plugin,): each.at for plugin, each in self.latest.items() if each.at})

    def _take(
        self, plugin: str, known: Snapshot, answer: Mapping[str, Any], declared: Sequence[Figure] | Exception
    ) -> None:
        try:
            known.content = self._encoded(answer)
        except (TypeError, ValueError, OverflowError, RecursionError) as exc:
            self._fail(plugin, known, str(exc) if isinstance(exc, _Refused) else "it holds what JSON can't")
            return
        known.at, known.error = self._clock(), ""
        if isinstance(declared, Exception):
            self._tell(plugin, f"the figures of {plugin!r} are not known: {_reason(declared)}")
            return
        given: set[str] = set()
        for figure in declared:
            self._take_figure(plugin, figure, answer, given)
        self._drop(plugin, given)

    def _encoded(self, answer: Mapping[str, Any]) -> msgspec.Raw:
        encoded = msgspec.json.encode(answer)
        if len(encoded) > LARGEST:
            raise _Refused(f"it has {len(encoded)} bytes, more than {LARGEST}")
        text = encoded.decode()
        hidden = self._redact(text)
        if hidden != text:
            # A secret may have been a number, or a key's whole neighbourhood.
            msgspec.json.decode(hidden)
        return msgspec.Raw(hidden.encode())

    def _take_figure(self, plugin: str, figure: Figure, answer: Mapping[str, Any], given: set[str]) -> None:
        name = prometheus_name(figure.name, figure.kind, figure.unit)
        numbers = dict(_numbers(answer.get(figure.name), figure.label))
        if not numbers and answer.get(figure.name) != {}:  # An empty mapping is that there is none, and no absence.
            return
        if name not in self._named.get(plugin, ()) and self._metrics.find(name):
            self._tell(name, f"metric {name!r} is there already, so figure {figure.name!r} of {plugin!r} is left out")
            return
        labels = (re.sub(r"[^a-z0-9_]", "_", figure.label.lower()),) if figure.label else ()
        try:
            family = self._metrics.family(name, figure.kind, figure.help, figure.unit, labels)
        except ValueError as exc:
            self._tell(name, f"figure {figure.name!r} of plugin {plugin!r} is no metric: {exc}")
            return
        family.replace(numbers)
        given.add(name)

    def _fail(self, plugin: str, known: Snapshot, why: str) -> None:
        known.error = why
        self._errors.labels(plugin).inc()
        record = self._kernel.records.get(plugin)
        gone = record is None or not record.running
        if gone or self._clock() - known.at > self._stale_after:
            known.content, known.at = msgspec.Raw(b"null"), 0.0
            self._drop(plugin, set())

    def _drop(self, plugin: str, given: set[str]) -> None:
        for gone in self._named.get(plugin, set()) - given:
            self._metrics.remove(gone)
        self._named[plugin] = given

    def _tell(self, about: str, text: str) -> None:
        """Log something once: it would be the same every few seconds."""
        if about not in self._told:
            self._told.add(about)
            log.warning("%s", text)


class _Refused(ValueError):
    """Said by us, so it can be quoted."""


def _reason(exc: Exception) -> str:
    """Say what became of a plugin's answer, without the words of a stranger."""
    ours = isinstance(exc, Escaped | TimeoutError)
    return str(exc) if ours else f"raised {type(exc).__name__}"


def _numbers(value: Any, label: str) -> Iterator[tuple[tuple[str, ...], float]]:
    """Yield the numbers of a figure by its label's value; nothing for what is none."""
    if isinstance(value, Mapping) == bool(label):
        for key, number in value.items() if isinstance(value, Mapping) else [("", value)]:
            plain = isinstance(number, int | float) and not isinstance(number, bool)
            if plain and -_MOST < number < _MOST and isinstance(key, str):
                yield ((key,) if label else ()), number
