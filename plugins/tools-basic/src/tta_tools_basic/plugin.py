"""The plugin: brings the tools, and of those that reach out only what config names."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tta_kernel import Plugin, Problem, hookimpl
from tta_tools import Tool

from . import arithmetic, dates, dice, texts
from .fetch import fetch_tool
from .files import FilesConfig, read_tool
from .web import FetchConfig, problem_of_host, problem_of_network

STATIC: tuple[Tool, ...] = (
    dice.roll, dice.chance, dice.pick, dates.now, dates.convert, dates.between, arithmetic.evaluate, arithmetic.add,
    texts.statistics,
)  # fmt: skip


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """What `web.fetch` and `file.read` may reach; both are there only where something is named."""

    fetch: FetchConfig = FetchConfig()
    files: FilesConfig = FilesConfig()


class ToolsBasic(Plugin[Config]):
    """Brings dice, dates, arithmetic and figures of a text, and two tools that reach out."""

    @hookimpl(optionalhook=True)
    def tools(self) -> Sequence[Tool]:
        fetch, files = self.config.fetch, self.config.files
        found = [*STATIC]
        if fetch.hosts:
            found.append(fetch_tool(fetch))
        if files.folder is not None:
            found.append(read_tool(files.folder, files.max_bytes))
        return found

    @hookimpl
    def check(self) -> Sequence[Problem]:
        where = "plugins.tools-basic.config"
        fetch, folder = self.config.fetch, self.config.files.folder
        hosts = [(f"{where}.fetch.hosts", problem_of_host(each)) for each in fetch.hosts]
        networks = [(f"{where}.fetch.networks", problem_of_network(each)) for each in fetch.networks]
        found = [Problem(key, what) for key, what in (*hosts, *networks) if what]
        if folder is not None and not folder.is_dir():
            found.append(Problem(f"{where}.files.folder", "is no folder"))
        return found
