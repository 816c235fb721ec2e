"""The plugin: rules that are loaded, kept up to date, and asked of every text."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import import_module
from typing import Annotated, Any

import anyio.to_thread
from msgspec import Meta, Struct

from tta_http import Route
from tta_kernel import (
    ConfigPath,
    Context,
    Event,
    Figure,
    Health,
    Hooks,
    Plugin,
    PositiveDuration,
    Problem,
    hookimpl,
)
from tta_metrics import METRICS
from tta_notify import NOTIFY, Notification
from tta_program import Subcommands
from tta_safety import HELP, SHIPPED, About, Channel, Verdict
from tta_safety.layers import RulesError
from tta_safety.rules import RULES, RuleSource

from .checker import Checker
from .counting import FIGURES, Counts
from .engine import Engine
from .events import RulesLoaded, RulesRefused
from .head import load_head
from .loading import Loader, check_file, load_engine
from .provided import ProvidedRules
from .routes import safety_routes
from .scores import DeepHead
from .warming import warm

NAME = "safety-rules"


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be set under ``plugins: {safety-rules: {config: ...}}``."""

    file: Annotated[ConfigPath | None, Meta(extra={"env": "TTA_SAFETY_RULES_CONFIG"})] = None
    """A file of rules over the built-in ones."""
    poll: PositiveDuration = 1.0
    """How often the file is looked at."""
    alone: bool = False
    """Whether it may start by the other rules alone where those that many processes share can't be read."""
    deep: bool = True
    """Whether the deep head is used where it is installed and built."""
    deep_limit: PositiveDuration = 0.02
    """How long the deep head may take for a text."""


class SafetyRules(Plugin[Config]):
    """Checks every text by rules and heads, and keeps the last good set of rules whatever is loaded."""

    after = (RULES, METRICS, NOTIFY, HELP)
    _shared_by = ""
    """The plugin that is to provide the rules which many processes share."""

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._ctx = ctx
        self._since = time.time()
        self._counts = Counts(ctx.find(METRICS))
        self._checker: Checker | None = None
        head = await anyio.to_thread.run_sync(load_head)
        self._loader = Loader(
            self.config.file,
            self._shared(ctx),
            ctx.log,
            ready=partial(warm, head=head),
            changed=self._take,
            failed=self._refused,
            alone=self.config.alone,
        )
        async with AsyncExitStack() as stack:
            deep = await self._open_deep_head(stack)
            engine = await self._loader.start()
            self._checker = Checker(engine, head, deep, ctx.find(HELP) or SHIPPED)
            for note in engine.notes:
                ctx.log.warning("%s", note)
            ctx.start_soon(self._loader.watch, self.config.poll)
            yield

    def _shared(self, ctx: Context) -> RuleSource | None:
        """Return what is read the shared rules from, also where its plugin doesn't run: then nobody may believe it."""
        if not self._shared_by:
            return ctx.find(RULES)
        return ProvidedRules(lambda: ctx.find(RULES), self._shared_by)

    async def _open_deep_head(self, stack: AsyncExitStack) -> DeepHead | None:
        if not self.config.deep:
            return None
        try:
            # In a thread: what it imports takes a second where the disk is slow.
            module = await anyio.to_thread.run_sync(import_module, ".embeddings.head", __package__)
            opened: DeepHead = await stack.enter_async_context(module.open_deep_head(limit=self.config.deep_limit))
        except (ImportError, OSError) as error:
            # An extra: without it the statistical head decides alone, by its own thresholds.
            self._ctx.log.info("the deep head isn't used: %s", type(error).__name__)
            return None
        return opened

    def _take(self, engine: Engine) -> None:
        """Put rules in force: whoever checks a text just now goes on with those that it began with."""
        if self._checker is not None:
            self._checker.engine = engine
            self._ctx.publish(RulesLoaded(engine.rules.digest, len(engine.rules.rules)))
        self._counts.loaded(len(engine.rules.rules))

    async def _refused(self, error: RulesError) -> None:
        """Tell that rules were not taken; those before are in force."""
        self._counts.refused()
        self._ctx.log.error("rules were not loaded, and those before stay in force: %s", error)
        self._ctx.publish(RulesRefused(tuple(str(it)[:300] for it in error.problems[:20])))
        notify = self._ctx.find(NOTIFY)
        if notify is not None:
            await notify.notify(
                Notification(
                    id=f"{NAME}:{int(time.time())}",
                    topic="alarm",
                    severity="high",
                    subject="rules of safety were not loaded",
                    body="\n".join(str(it) for it in error.problems)[:4000],
                    group=f"{NAME}:refused",
                )
            )

    @hookimpl(optionalhook=True)
    async def check_text(self, text: str, channel: Channel, about: About) -> Verdict:
        if self._checker is None:
            raise RuntimeError("no rules are loaded")
        began = time.perf_counter()
        judged = await self._checker.examine(text, channel, about, state=about.state.get(NAME, b""))
        self._counts.checked(channel, judged, time.perf_counter() - began)
        return judged.verdict

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (RulesLoaded, RulesRefused)

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        self._shared_by = hooks.providers.get(RULES, "")
        # In the event loop: all rules are compiled and tried as it starts, in a thread.
        return check_file(self.config.file) if self.config.file else ()

    @hookimpl
    async def health(self) -> Health:
        trouble = self._loader.trouble
        if trouble:
            return Health("degraded", f"the last good rules are in force: {trouble[0]}"[:500], self._since)
        if self._checker is not None and self._checker.head is None:
            return Health("degraded", "there is no statistical head: rules decide alone", self._since)
        return Health(since=self._since)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        engine = self._loader.engine
        return {
            "safety-rules.rules": len(engine.rules.rules) if engine else 0,
            "safety-rules.shadow_matches": dict(self._checker.shadows) if self._checker else {},
            "rules": engine.rules.digest if engine else "",
            "layers": list(engine.rules.layers) if engine else [],
        }

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return safety_routes(lambda: self._loader)

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        # Only a command needs them.
        from . import commands
        from .embeddings import commands as embeddings
        from .evaluate import commands as evaluation
        from .train import commands as training

        def examiner(deep: DeepHead | None) -> Checker:
            return Checker(load_engine(self.config.file, None), load_head(), deep)

        commands.add(subcommands, self.config.file)
        evaluation.add(subcommands, examiner)
        training.add(subcommands)
        embeddings.add(subcommands)
