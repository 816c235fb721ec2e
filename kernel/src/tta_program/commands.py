"""Subcommands that plugins add to ``tta``, each with what must run for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tta_kernel import Kernel, Service, State

if TYPE_CHECKING:
    import argparse  # Plugins import this module wherever they run, and need argparse only for `tta`.

Run = Callable[[Kernel, "argparse.Namespace"], Awaitable[int]]


class Command(NamedTuple):
    """What ``tta`` starts, and then runs: ``run`` returns the exit code."""

    name: str
    run: Run
    requires: Sequence[Service[Any]]
    asks: Sequence[Callable[..., Any]]
    whole: bool
    mutates: bool = False
    target: str = ""


def skip_what_it_leaves_alone(command: Command, kernel: Kernel, *, also: Sequence[Callable[..., Any]] = ()) -> None:
    """Let a kernel start only what provides what the command requires or implements what it asks, and what that needs.

    ``also`` are hooks that are asked of it by the program.

    So a command beside a running system neither serves anything nor takes a message. One that starts the whole starts
    no surface but for what it requires: it is one itself.
    """
    why = "the command doesn't require it"
    if not command.whole:
        start_only(kernel, why, requires=command.requires, asks=[*command.asks, *also])
    else:
        skip_surfaces(kernel, why, requires=command.requires)


def skip_surfaces(kernel: Kernel, why: str, *, requires: Sequence[Service[Any]] = ()) -> None:
    """Skip what serves others, which only `tta run` and a host's own kernel do, but for what provides what is required.

    Two processes on one machine would listen at one address.
    """
    wanted = {kernel.wiring.providers.get(key) for key in requires}
    for name, record in kernel.wiring.chosen().items():
        if record.cls.surface and name not in wanted:
            record.change_to(State.SKIPPED, why)


def start_only(
    kernel: Kernel, why: str, *, requires: Sequence[Service[Any]] = (), asks: Sequence[Callable[..., Any]] = ()
) -> None:
    """Skip all but what provides what is required, or implements a hook that is asked, and what that needs."""
    wiring = kernel.wiring
    todo = {wiring.providers[key] for key in requires if key in wiring.providers}
    for spec in asks:
        todo.update(kernel.hooks.implementers(spec))
    todo &= wiring.records.keys()  # The host's own services are there anyway.
    wanted: set[str] = set()
    while todo:
        wanted |= todo
        todo = {needed for name in todo for needed in wiring.records[name].needs} - wanted
    for name, record in wiring.chosen().items():
        if name not in wanted:
            record.change_to(State.SKIPPED, why)


class Subcommands:
    """Where plugins add their commands: ``subcommands.add("clock show", show, help=…)``."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        parser.print_usage = parser.print_help  # type: ignore[method-assign]  # an error is told with what there is
        self._groups: dict[tuple[str, ...], Any] = {(): _subparsers(parser)}

    def __contains__(self, name: str) -> bool:
        return name in self._groups[()].choices

    def add(
        self,
        name: str,
        run: Run,
        *,
        help: str,
        requires: Sequence[Service[Any]] = (),
        asks: Sequence[Callable[..., Any]] = (),
        whole: bool = False,
        mutates: bool = False,
        target: str = "",
    ) -> argparse.ArgumentParser:
        """Add a command and return its parser, for its arguments.

        Only the plugins are started that provide what it ``requires`` or implement a hook that it
        ``asks``, and what these need; with ``whole`` all but surfaces that it doesn't require. One that ``mutates``
        changes something that others see: plugins are told by the hook ``command_ran``, with the value of the argument
        ``target``, which says what it acts upon and is never a person or a person's text.
        """
        if target and not mutates:
            raise ValueError(f"{name}: a target is told of a command that mutates")
        parser = self._parser(name, help)
        parser.set_defaults(command=Command(name, run, requires, asks, whole, mutates, target))
        return parser

    def group(self, name: str, *, help: str) -> None:
        """Say what commands that begin with ``name`` are about, before the first of them is added."""
        self._group(tuple(name.split()), help)

    def add_own(self, name: str, text: str) -> argparse.ArgumentParser:
        """Add a command of the program itself, which starts nothing or everything."""
        parser = self._parser(name, text)
        parser.set_defaults(command=None, look=None, start=None)
        return parser

    def _parser(self, name: str, text: str) -> argparse.ArgumentParser:
        *path, leaf = name.split()
        shown = escape(text)
        parser: argparse.ArgumentParser = self._group(tuple(path)).add_parser(leaf, help=shown, description=text)
        parser.set_defaults(command_parser=parser)
        return parser

    def _group(self, path: tuple[str, ...], text: str = "") -> Any:
        if path not in self._groups:
            shown = escape(text or f"{path[-1]} …")
            parser = self._group(path[:-1]).add_parser(path[-1], help=shown, description=text)
            parser.print_usage = parser.print_help
            self._groups[path] = _subparsers(parser)
        return self._groups[path]


def escape(text: str) -> str:
    """Return a text that argparse, which formats it, shows as it was given."""
    return text.replace("%", "%%")


def _subparsers(parser: argparse.ArgumentParser) -> Any:
    from .usage import Parser  # with argparse, which plugins need only for `tta`

    return parser.add_subparsers(metavar="command", required=True, parser_class=Parser)
