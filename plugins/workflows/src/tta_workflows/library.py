"""Where a deployment's definitions come from: its plugins, the files beside its config, and the config itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tta_kernel import ConfigError, ConfigPath, Hooks, PluginError, Problem
from tta_program import checked, unquoted
from tta_program.files import parse, read_text
from tta_program.layers import Source
from tta_program.reader import Reader

from . import hookspecs
from .definition import Workflow

FOLDER = Path("workflows")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_NAMES = "use letters, digits and . _ -, up to 100 of them"
_INDEX = re.compile(r"^steps\.(\d+)")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The workflows by name, and the folder with a file for each of the others."""

    folder: ConfigPath = FOLDER
    workflows: dict[str, Workflow] = {}


class Definitions(dict[str, Workflow]):
    """Definitions by name; ``origins`` says of each what the place of a problem with it begins with."""

    def __init__(self) -> None:
        self.origins: dict[str, str] = {}
        self._plugins: dict[str, str] = {}

    def define(self, name: str, workflow: Workflow, origin: str, *, plugin: str = "") -> None:
        """Add one, in place of what is there by that name; it may be a plugin's."""
        self[name] = workflow
        self.origins[name] = origin
        self._plugins[origin] = plugin

    def become(self, other: Definitions) -> None:
        """Hold what the other does, and nothing else."""
        self.clear()
        self.update(other)
        self.origins = other.origins

    def blame(self, problem: Problem) -> Problem:
        """Return a problem with the plugin whose definition it is about, if it is a plugin's."""
        for origin, plugin in self._plugins.items():
            if plugin and problem.where.startswith(origin):
                return msgspec.structs.replace(problem, plugin=plugin)
        return problem


class Folder(msgspec.Struct, frozen=True):
    """What the files of a folder say: by path their ``texts``, by name what these define, and what is wrong."""

    texts: Mapping[str, str] = {}
    workflows: Mapping[str, Workflow] = {}
    origins: Mapping[str, str] = {}
    problems: Sequence[Problem] = ()


def read_folder(folder: Path) -> Folder:
    """Read a folder's files, one workflow in each, whose name is the file's."""
    if not folder.is_absolute():
        return Folder()  # The default, of a config that lies in no folder.
    try:
        paths = sorted(each for each in folder.iterdir() if each.suffix in (".yaml", ".yml"))
    except FileNotFoundError:
        what = [Problem(str(folder), "there is no such folder", "plugins.workflows.config.folder names it")]
        return Folder(problems=what if folder.name != FOLDER.name else ())
    except OSError as exc:
        return Folder(problems=[Problem(str(folder), f"is not a folder that can be read: {exc.strerror}")])
    texts: dict[str, str] = {}
    workflows: dict[str, Workflow] = {}
    problems: list[Problem] = []
    for path in paths:
        if path.suffix == ".yml":
            problems.append(Problem(str(path), "is not read", f"call it {path.stem}.yaml"))
            continue
        if not _NAME.fullmatch(path.stem):
            problems.append(Problem(str(path), f"no workflow can be called {path.stem!a}", _NAMES))
            continue
        try:
            texts[str(path)] = read_text(path)
            workflows[path.stem] = decode(path, texts[str(path)])
        except ConfigError as exc:
            problems += exc.problems
        except ValueError as exc:
            problems.append(Problem(str(path), str(exc)))
    origins = {name: f"{folder / name}.yaml: " for name in workflows}
    return Folder(texts, workflows, origins, problems)


def read_file(path: Path) -> Workflow:
    """Read the definition in one file; raise a `ConfigError` with all that is wrong with its form."""
    try:
        return decode(path, read_text(path))
    except ConfigError:
        raise
    except ValueError as exc:
        raise ConfigError(Problem(str(path), str(exc))) from None


def decode(path: Path, text: str) -> Workflow:
    """Return the definition that a file's text is; raise a `ConfigError` that names file, step and key."""
    tree = parse(text, str(path))
    if not isinstance(tree, dict):
        raise ConfigError(Problem(str(path), "expected a mapping with the keys of a workflow", "see docs/workflows.md"))
    reader = Reader(Source())
    found: Workflow = reader.value(tree, Workflow, "")
    problems = [_in_file(path, tree, problem) for problem in reader.problems]
    if "version" not in tree:
        problems.insert(0, Problem(f"{path}: version", "is missing", "add `version: 1`"))
    if problems:
        raise ConfigError(*problems)
    return found


def _in_file(path: Path, tree: Mapping[str, Any], problem: Problem) -> Problem:
    """Say of a problem which file it is in, and of a step its id."""

    def named(found: re.Match[str]) -> str:
        step = tree["steps"][int(found[1])]
        id = step.get("id") if isinstance(step, dict) else None
        return f"steps.{id}" if isinstance(id, str) and id else found[0]

    key = _INDEX.sub(named, problem.where)
    return msgspec.structs.replace(problem, where=f"{path}: {key}" if key else str(path))


def gather(config: Config, folder: Folder, hooks: Hooks | None) -> tuple[Definitions, list[Problem]]:
    """Return all definitions, and what keeps some from being one: a file goes before a plugin, the config before both.

    Two plugins that define the same name are a problem, whatever goes before them.
    """
    found = Definitions()
    problems = list(_of_plugins(found, hooks) if hooks is not None else ())
    for name, workflow in folder.workflows.items():
        found.define(name, workflow, folder.origins[name])
    problems += folder.problems
    for name, workflow in config.workflows.items():
        if not _NAME.fullmatch(name):
            problems.append(Problem("plugins.workflows.config.workflows", f"none can be called {name!a:.100}", _NAMES))
            continue
        found.define(name, workflow, f"plugins.workflows.config.workflows.{name}.")
    return found, problems


def _of_plugins(found: Definitions, hooks: Hooks) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for plugin, answer in sorted(hooks.collect(hookspecs.workflow_definitions).items()):
        where = f"plugin {plugin!r}"
        if isinstance(answer, Exception):
            if not isinstance(answer, PluginError):  # One that can't be used is the kernel's to tell.
                yield Problem(where, f"its hook workflow_definitions {unquoted(answer)}", plugin=plugin)
            continue
        for name, workflow in answer.items():
            wrong = _unfit(name, workflow)
            if not wrong and (first := owners.setdefault(name, plugin)) != plugin:
                wrong = f"defines the workflow {name!r}, and so does {first!r}", "call one of them otherwise"
            if wrong:
                yield Problem(where, *wrong, plugin=plugin)
                continue
            try:
                # What code has built nobody has checked yet.
                workflow = checked(f"workflow {name!r}", workflow)
            except ValueError as exc:
                yield Problem(where, str(exc), plugin=plugin)
            else:
                found.define(name, workflow, f"{where}, workflow {name!r}: ", plugin=plugin)


def _unfit(name: object, workflow: object) -> tuple[str, str] | None:
    """Say why something is no definition, and the way out."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"no workflow can be called {name!a:.100}", _NAMES
    if not isinstance(workflow, Workflow):
        return f"defines {name!r} as a {type(workflow).__name__}", "make a tta_workflows.Workflow of it"
    return None
