"""Rules from where they lie: built in, a file, a source that many processes share; whole, or not at all."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread
import msgspec

from tta_kernel import Problem, as_failure
from tta_program.files import read_text
from tta_safety.layers import Layer, RulesError, merged, read_layer
from tta_safety.rules import RuleSet, RuleSource, RuleSourceError, RuleText

from .builtin import built_in
from .engine import Engine
from .shipped import read_shipped

SOURCE_LIMIT = 5.0
"""Seconds in which a source must answer."""


class Stamp(NamedTuple):
    """By what it shows that a file is another one than before, without reading it."""

    changed: int
    size: int
    inode: int


def stamp(path: Path | None) -> Stamp | None:
    """Return a file's stamp; None where there is no file."""
    if path is None:
        return None
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return Stamp(found.st_mtime_ns, found.st_size, found.st_ino)


@cache
def built_in_engine() -> Engine:
    """Return the built-in rules, made ready once: other layers change little of them."""
    return Engine(merged(built_in()), shipped=read_shipped())


def load_engine(file: Path | None, source: RuleText | None, known: Engine | None = None) -> Engine:
    """Read all layers and make them ready; raise a `RulesError` with every problem, named by where it stands."""
    rules, layers = _read_rules(file, source)
    if len(layers) == len(built_in()):
        return built_in_engine()
    return _compiled(rules, layers, built_in_engine(), known)


def try_rules(file: Path | None) -> Engine:
    """Read the file over the built-in rules, and try all examples, of these as well, whatever was tried before."""
    rules, layers = _read_rules(file, None)
    return _compiled(rules, layers, None)


def check_file(file: Path) -> Sequence[Problem]:
    """Say what is wrong with a file of rules; what the package brings is not tried again, so that this is quick."""
    try:
        rules, layers = _read_rules(file, None)
        brought = {*merged(built_in()).rules}
        own = tuple(it for it in rules.rules if it not in brought)
        return _compiled(msgspec.structs.replace(rules, rules=own), layers, None).notes
    except RulesError as error:
        return error.problems


def _read_rules(file: Path | None, source: RuleText | None) -> tuple[RuleSet, Sequence[Layer]]:
    layers = [*built_in()]
    problems: list[Problem] = []
    try:
        texts = [it for it in (_from_file(file), source) if it is not None]
    except RulesError as error:
        texts = [source] if source is not None else []
        problems += error.problems
    for text in texts:
        try:
            layers.append(read_layer(text.text, text.where))
        except RulesError as error:
            problems += error.problems
    if problems:
        raise RulesError(*problems)
    return merged(layers), layers


def _compiled(rules: RuleSet, layers: Sequence[Layer], base: Engine | None, known: Engine | None = None) -> Engine:
    try:
        return Engine(rules, base, known)
    except RulesError as error:
        raise RulesError(*(_placed(it, layers) for it in error.problems)) from None


def _from_file(path: Path | None) -> RuleText | None:
    if path is None:
        return None
    try:
        text = read_text(path)
    except ValueError as error:
        hint = "plugins.safety-rules.config.file names it"
        raise RulesError(Problem(str(path), str(error), hint)) from None
    return RuleText(text, hashlib.sha256(text.encode(errors="replace")).hexdigest(), str(path))


def _placed(problem: Problem, layers: Sequence[Layer]) -> Problem:
    """Return a problem of a compiled rule with the uppermost layer that says something of that rule."""
    rule = problem.where.removeprefix("rule ").partition(":")[0]
    for layer in reversed(layers):
        if rule in layer.rules:
            return msgspec.structs.replace(problem, where=f"{layer.where}: {problem.where}")
    return problem


async def read_source(source: RuleSource, limit: float = SOURCE_LIMIT) -> tuple[RuleText | None, Sequence[Problem]]:
    """Return what a source has, or why it can't be read within ``limit`` seconds."""
    try:
        with anyio.fail_after(limit):
            found = await source.read()
        if found is not None:
            found = msgspec.convert(msgspec.to_builtins(found), RuleText)
            found = msgspec.structs.replace(found, where=printable(found.where))
    except BaseException as error:  # noqa: BLE001 - `as_failure` raises what must go on
        return None, (Problem("rule source", _strange("can't be read", as_failure(error))),)
    return found, ()


class Loader:
    """Keeps the rules in force up to date; ``changed`` is called with each new engine, in the event loop.

    What can't be used changes nothing: ``trouble`` says why, and ``failed`` is awaited with it, once for the same.
    ``ready`` is called with each engine before that, in a thread, to do what the first text would otherwise wait for.
    With ``alone`` it may begin without a source that can't be read.
    """

    def __init__(
        self,
        file: Path | None,
        source: RuleSource | None,
        log: logging.LoggerAdapter[logging.Logger] | logging.Logger,
        *,
        ready: Callable[[Engine], None] = lambda engine: None,
        changed: Callable[[Engine], None],
        failed: Callable[[RulesError], Awaitable[None]],
        alone: bool = False,
        limit: float = SOURCE_LIMIT,
    ) -> None:
        self.file = file
        self.source = source
        self.engine: Engine | None = None
        self.trouble: Sequence[Problem] = ()
        self._log = log
        self._ready = ready
        self._changed = changed
        self._failed = failed
        self._alone = alone
        self._limit = limit
        self._told: Sequence[Problem] = ()
        self._tag = ""
        self._stamp: Stamp | None = None
        self._lock = anyio.Lock()

    async def start(self) -> Engine:
        """Load the rules for the first time; raise a `RulesError` where they can't be used."""
        text, wrong = await self._from_source()
        if wrong and not self._alone:
            hint = "mend it; or start by the other rules alone: plugins.safety-rules.config.alone"
            raise RulesError(*(msgspec.structs.replace(it, hint=hint) for it in wrong))
        self._stamp = stamp(self.file)
        engine = await anyio.to_thread.run_sync(self._load, text)
        self._take(engine, text)
        self.trouble = wrong
        return engine

    async def reload(self) -> Engine:
        """Load all layers again, and put the new rules in force at once; raise a `RulesError` where they can't be."""
        async with self._lock:
            text, wrong = await self._from_source()
            self._stamp = stamp(self.file)  # Before it is read: what is written meanwhile is another one.
            try:
                if wrong:
                    raise RulesError(*wrong)
                # In a thread: texts are checked meanwhile, by the rules that were in force.
                engine = await anyio.to_thread.run_sync(self._load, text)
            except RulesError as error:
                self.trouble = error.problems
                raise
            self._take(engine, text)
            self.trouble = ()
            return engine

    def _load(self, text: RuleText | None) -> Engine:
        engine = load_engine(self.file, text, self.engine)
        self._ready(engine)
        return engine

    async def watch(self, every: float) -> None:
        """Reload whenever the file, or what the source has, is another one; never ends."""
        async with anyio.create_task_group() as group:
            if self.file is not None:
                group.start_soon(self._watch_file, self.file, every)
            if self.source is not None:
                group.start_soon(self._watch_source, self.source, every)
            await anyio.sleep_forever()

    async def _watch_file(self, path: Path, every: float) -> None:
        seen = self._stamp
        while True:
            await anyio.sleep(every)
            now = stamp(path)
            # Twice the same: whoever writes it has most likely come to the end.
            if now == seen and now != self._stamp:
                await self._try()
            seen = now

    async def _watch_source(self, source: RuleSource, every: float) -> None:
        while True:
            try:
                with anyio.move_on_after(60):
                    await source.changed(self._tag)
            except BaseException as error:  # noqa: BLE001 - `as_failure` raises what must go on
                self._log.warning("safety-rules: %s", _strange("can't be watched", as_failure(error)))
                await anyio.sleep(max(every, 5.0))
            await anyio.sleep(every)
            text, wrong = await self._from_source()
            if wrong or (text.tag if text else "") != self._tag or self.trouble:
                await self._try()

    async def _try(self) -> None:
        try:
            await self.reload()
        except RulesError as error:
            # A source that is away is looked for again and again: whoever was told needn't hear it each time.
            told, self._told = self._told, error.problems
            if told != error.problems:
                await self._failed(error)
        else:
            self._told = ()

    async def _from_source(self) -> tuple[RuleText | None, Sequence[Problem]]:
        return await read_source(self.source, self._limit) if self.source is not None else (None, ())

    def _take(self, engine: Engine, text: RuleText | None) -> None:
        self.engine = engine
        self._tag = text.tag if text else ""
        self._changed(engine)


def printable(where: str) -> str:
    """Return what a source says, as a terminal and a log can show it."""
    return "".join(it if it.isprintable() else "?" for it in where[:300]) or "the source of rules"


def _strange(what: str, error: BaseException) -> str:
    """Say what a source did, without what it says itself, which may be anything, but for what it says on purpose."""
    if isinstance(error, RuleSourceError):
        return f"the source of rules {what}: {printable(str(error))}"
    return f"the source of rules {what}: {type(error).__name__}"
