"""The plugin that brings the vocabulary of policies, and the policy of a file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, ClassVar

from tta_audit import AUDIT, AuditError, Entry
from tta_http import UNAVAILABLE, Route
from tta_kernel import KERNEL, Context, Event, Figure, Health, Hooks, Plugin, Problem, hookimpl
from tta_metrics import METRICS
from tta_program import Subcommands

from . import hookspecs
from .config import Config
from .counting import FIGURES, Counts
from .deciding import RulesPolicy
from .engine import Engine
from .events import PolicyLoaded, PolicyRefused
from .hookspecs import decide_tool_call
from .loading import Loader, load
from .model import POLICY
from .reading import PolicyError, read_file
from .recording import Recorder
from .routes import policy_routes


class ToolPolicy(Plugin[Config]):
    """Decides about calls of tools by rules from a file; what no rule allows is denied."""

    requires = (KERNEL,)
    after = (AUDIT, METRICS)
    provides = (POLICY,)
    hookspecs: ClassVar[ModuleType | None] = hookspecs

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._loader: Loader | None = None
        self._policy: RulesPolicy | None = None
        self._recorder: Recorder | None = None
        self._said: str | None = None

    def files(self) -> str:
        """Return what the policy's file says, or what is in force: a reload compares both."""
        if self._loader is not None:
            return self._loader.text
        if self._said is None:
            file = self.config.source
            self._said = read_file(file) if file is not None else ""
        return self._said

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._ctx = ctx
        self._counts = Counts(ctx.find(METRICS))
        audit = ctx.find(AUDIT) if self.config.audit != "never" else None
        if audit is not None:
            self._recorder = Recorder(audit, limit=self.config.audit_timeout)
            ctx.start_soon(self._recorder.run)
            ctx.on(PolicyLoaded, self._record_loaded)
            ctx.on(PolicyRefused, self._record_refused)
        loader = Loader(self.config.source, self.config.overrides, taken=self._taken, refused=self._refused)
        await loader.start()
        self._loader = loader
        # Who implements it is known by now, and most often that is nobody.
        others = bool(ctx.get(KERNEL).hooks.implementers(decide_tool_call))
        self._policy = RulesPolicy(
            loader,
            self._counts,
            ask=(lambda call: ctx.ask(decide_tool_call, call)) if others else None,
            recorder=self._recorder,
            hidden=self.config.hidden,
        )
        ctx.provide(POLICY, self._policy)
        if self.config.watch and self.config.source is not None:
            ctx.start_soon(loader.watch, self.config.poll)
        yield

    async def prepare(self, config: Config) -> Callable[[], None]:
        """Agree to another file, or to what it says now; whether it is watched or recorded needs a restart."""
        loader = self._loader
        assert loader is not None
        if changed := _needs_restart(self.config, config):
            raise ValueError(f"a change of {changed} needs a restart")
        found = await loader.prepare(config.source, config.overrides)
        return lambda: loader.take(found)

    def _taken(self, engine: Engine) -> None:
        rules = len(engine.text.deny) + len(engine.text.rules)
        self._counts.loaded("loaded")
        self._ctx.log.info("the policy of tools is %s, with %d rules", engine.digest, rules)
        self._ctx.publish(PolicyLoaded(engine.digest, rules))

    def _refused(self, problems: Sequence[Problem]) -> None:
        assert self._loader is not None
        self._counts.loaded("refused")
        told = tuple(str(problem)[:300] for problem in problems[:20])
        self._ctx.log.error("the policy of tools was not loaded, and the one before stays: %s", "; ".join(told))
        self._ctx.publish(PolicyRefused(self._loader.engine.digest, told))

    async def _record_loaded(self, event: PolicyLoaded) -> None:
        await self._record(Entry(what="policy.load", who="tta", kind="local", outcome="done", target=event.hash))

    async def _record_refused(self, event: PolicyRefused) -> None:
        entry = Entry(
            what="policy.load", who="tta", kind="local", outcome="failed", target=event.hash, code="invalid",
            details={"tta.policy.problems": event.problems},
        )  # fmt: skip
        await self._record(entry)

    async def _record(self, entry: Entry) -> None:
        assert self._recorder is not None
        if not await self._recorder.keep(entry):
            raise AuditError(f"what became of a policy isn't recorded: {self._recorder.trouble}")

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (PolicyLoaded, PolicyRefused)

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        problems = []
        if self.config.audit == "required" and AUDIT not in hooks.providers:
            hint = "enable audit-file or audit-redis, or say `available`"
            problems.append(
                Problem("plugins.tool-policy.config.audit", "no plugin keeps the record that is required", hint)
            )
        try:
            load(self.config.source, self.config.overrides)
        except PolicyError as error:
            problems += error.problems
        return problems

    @hookimpl
    async def health(self) -> Health:
        loader = self._loader
        assert loader is not None
        await loader.look()
        if loader.degraded_since is not None:
            why = f"the policy before stays in force: {loader.trouble[0]}"
            return Health("degraded", why[:500], loader.degraded_since)
        if self._recorder is not None and self._recorder.trouble:
            return Health("failing", f"every call is denied: {self._recorder.trouble}", loader.since)
        return Health(since=loader.since)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        loader, policy = self._loader, self._policy
        assert loader is not None
        assert policy is not None
        status = loader.status()
        return {
            "tool-policy.rules": status.rules,
            "tool-policy.degraded": int(status.degraded_since is not None),
            "hash": status.hash,
            "source": status.source,
            "policy": policy.redacted(),
        }

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return policy_routes(self._running)

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from . import commands  # Only a command needs them.

        commands.add(subcommands, self.config)

    def _running(self) -> RulesPolicy:
        if self._policy is None:
            raise UNAVAILABLE("the plugin tool-policy doesn't run")
        return self._policy


def _needs_restart(old: Config, new: Config) -> str:
    """Name what can't be taken over while it runs."""
    names = ["watch", "poll", "audit", "audit_timeout", "hidden"]
    if old.watch:
        names.append("source")
    return ", ".join(name for name in names if getattr(old, name) != getattr(new, name))
