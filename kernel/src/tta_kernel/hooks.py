"""pluggy, with what this kernel adds: async hooks, provenance, time limits."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any, ParamSpec, Protocol, TypeVar

import anyio
import pluggy

from .errors import PluginError, overdue
from .isolation import Escaped, as_failure, is_interrupt
from .markings import judge
from .shapes import fits, hints
from .units import check_duration

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

hookimpl = pluggy.HookimplMarker("tta")
_mark = pluggy.HookspecMarker("tta")


def hookspec(*, timeout: float = 5.0, together: bool = False) -> Callable[[F], F]:
    """Mark a function as a hook's specification; its docstring is the hook's manual.

    An ``async def`` says that implementations are async too. Each then gets ``timeout`` seconds;
    they are asked one after the other, or all at once where ``together`` says so.
    """

    check_duration("timeout", timeout, positive=True)

    def decorate(function: F) -> F:
        function.__dict__["tta_rules"] = (timeout, together)
        return _mark(function)

    return decorate


class Implementer(Protocol):
    """What must be known of a plugin before its hooks are called."""

    @property
    def usable(self) -> bool:
        """Whether there is an instance of it, running or not."""

    @property
    def running(self) -> bool:
        """Whether its lifespan has started, and does not stop yet."""

    def trouble(self) -> str:
        """Say why others have to do without it."""


class Hooks:
    """The hooks of one kernel: who implements what, and asking them.

    ``timeouts`` are time limits in place of those of the specifications, by the hook's name. ``providers`` says who
    provides what, for a `check` of what needs a service in some settings only.
    """

    def __init__(self, plugins: Mapping[str, Implementer], timeouts: Mapping[str, float]) -> None:
        self._manager = pluggy.PluginManager("tta")
        self._modules: list[ModuleType] = []
        self._plugins = plugins
        self.providers: Mapping[Any, str] = {}
        # By hook, plugins that can't be asked; under none, those of which nobody knows what they implement.
        self._barred: defaultdict[str, list[str]] = defaultdict(list)
        self.timeouts = timeouts

    def add_specs(self, module: ModuleType) -> None:
        """Make the hooks known that ``module`` specifies."""
        if module not in self._modules:  # Two plugins of one capability bring the same.
            self._modules.append(module)
            self._manager.add_hookspecs(module)

    def register(self, name: str, cls: type, plugin: object | None) -> list[tuple[str, str]]:
        """Register the hooks that a plugin's class implements; return what is wrong with them.

        What can't be asked as specified answers with an error, and so does all of a plugin that could not be made.
        """
        fit, flaws = judge(cls if plugin is None else plugin, cls, self.specs())
        for hook, _ in flaws:
            self.bar(name, hook)
        if plugin is None:
            for hook in fit:
                self.bar(name, hook)
        elif fit:
            # Of the plugin itself pluggy would take whatever is marked.
            self._manager.register(SimpleNamespace(**{each: getattr(plugin, each) for each in fit.values()}), name)
        return flaws

    def bar(self, plugin: str, hook: str = "") -> None:
        """Let a plugin answer with an error where this hook is asked, or any: none of its checks may look absent."""
        self._barred[hook].append(plugin)

    def trouble(self, plugin: str) -> str:
        """Say why others have to do without an installed plugin (``is disabled``); empty where they don't."""
        found = self._plugins.get(plugin)
        return found.trouble() if found and not found.usable else ""

    def implementers(self, spec: Callable[..., Any]) -> list[str]:
        """Name the plugins that implement ``spec``, in the order in which they are asked."""
        return self._barred[spec.__name__] + [impl.plugin_name for impl in self._impls(spec)]

    def specs(self) -> Mapping[str, Callable[..., Any]]:
        """Every known hook by its name."""
        return {name: it.spec.function for name, it in vars(self._manager.hook).items()}

    def collect(self, spec: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> dict[str, R | Exception]:
        """Call a plain hook: ``{plugin: answer or error}``; plugins need not be running."""
        given = _arguments(spec, args, kwargs)
        answers = self._unable(spec)
        for impl in self._impls(spec):
            try:
                answers[impl.plugin_name] = _checked(spec, impl.function(*_wanted(impl, given)))
            except BaseException as exc:  # noqa: BLE001 - a plugin's error is its answer
                answers[impl.plugin_name] = _noted(exc, impl)
        return answers

    async def ask(self, spec: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> dict[str, R | Exception]:
        """Ask every implementer of an async hook: ``{plugin: answer or error}``.

        None is an answer. An implementer that raises, is late, or is enabled but not running
        answers with the exception: whoever asks decides what silence means.
        """
        timeout, together = spec.__dict__["tta_rules"]
        timeout = self.timeouts.get(spec.__name__, timeout)
        given = _arguments(spec, args, kwargs)
        impls = self._impls(spec)
        answers = self._unable(spec)
        answers |= {impl.plugin_name: None for impl in impls}

        async def one(impl: Any) -> None:
            try:
                if not self._plugins[impl.plugin_name].running:
                    raise PluginError(impl.plugin_name, "is enabled, but not running")
                with anyio.move_on_after(timeout) as limit:
                    answer = await impl.function(*_wanted(impl, given))
                if limit.cancel_called:  # even where an answer came, too late
                    raise overdue(f"no answer within {timeout:g} s", timeout)
                answers[impl.plugin_name] = _checked(spec, answer)
            except BaseException as exc:  # noqa: BLE001 - a plugin's error is its answer
                # asyncio would let an interrupt out of the event loop, past everybody who has something to close.
                answers[impl.plugin_name] = exc if is_interrupt(exc) else _noted(exc, impl)

        if together and len(impls) > 1:
            async with anyio.create_task_group() as tasks:
                for impl in impls:
                    tasks.start_soon(one, impl)
        else:
            for impl in impls:
                await one(impl)
        for answer in answers.values():
            if is_interrupt(answer):
                raise answer
        return answers

    def _unable(self, spec: Callable[..., Any]) -> dict[str, Any]:
        return {
            name: PluginError(name, "is enabled, but cannot be used")
            for name in self._barred[""] + self._barred[spec.__name__]
        }

    def _impls(self, spec: Callable[..., Any]) -> list[Any]:
        hook = getattr(self._manager.hook, spec.__name__, None)
        if hook is None or hook.spec.function is not spec:
            return []  # Its capability isn't enabled here, so nobody can have implemented it.
        # In the order in which pluggy would call them: what is marked `tryfirst` first, and `trylast` last.
        return list(reversed(hook.get_hookimpls()))


_signature = cache(inspect.signature)  # Of specifications, of which there are few; see `hints`.


def _arguments(spec: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, object]:
    bound = _signature(spec).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def _wanted(impl: Any, given: Mapping[str, object]) -> Iterator[object]:
    # pluggy itself would leave what has a default at that.
    return (given[name] for name in impl.argnames + impl.kwargnames)


def _checked(spec: Callable[..., Any], answer: Any) -> Any:
    """Return an answer that is what the specification says; else raise `Escaped`."""
    if not fits(answer, hints(spec)["return"]):
        raise Escaped(f"answered with {type(answer).__name__}, where {spec.__annotations__['return']} is due")
    return answer


def _noted(exc: BaseException, impl: Any) -> Exception:
    failure = as_failure(exc)
    failure.add_note(f"answered by plugin {impl.plugin_name!r} in hook {impl.function.__name__!r}")
    return failure
