"""Every hook, event and config key that a plugin adds is named where its user looks."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Collection, Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import msgspec

from tta_kernel import Event, KernelSettings, Plugin, PluginSettings
from tta_kernel import hookspecs as kernel_hookspecs


def plugin_folders(root: Path) -> list[Path]:
    return [manifest.parent for manifest in sorted(root.glob("plugins/*/pyproject.toml"))]


def installed(root: Path) -> list[EntryPoint]:
    """Return the plugins of this tree that are installed, from a wheel or in place."""
    ours = {f"tta-{folder.name}" for folder in plugin_folders(root)}
    found = entry_points(group="tta.plugins")
    return sorted(e for e in found if e.dist is not None and e.dist.name in ours)


def code_in(markdown: str) -> str:
    """Return what stands in code blocks and code spans: a mention in prose could be an accident."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", markdown, flags=re.DOTALL))


def mentions(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def pages(root: Path) -> list[str]:
    return [code_in(f.read_text(encoding="utf-8")) for f in sorted(root.glob("docs/**/*.md"))]


def kernel_documentation(root: Path) -> str:
    return "\n".join(pages(root))


def plugin_documentation(root: Path, entry: EntryPoint) -> str:
    """Return the code in the README of the plugin's distribution, and in the pages that name it."""
    assert entry.dist is not None
    names = {entry.dist.name, entry.dist.name.removeprefix("tta-"), entry.name}
    readme = root / "plugins" / entry.dist.name.removeprefix("tta-") / "README.md"
    own = [code_in(readme.read_text(encoding="utf-8"))] if readme.is_file() else []
    return "\n".join(own + [p for p in pages(root) if any(mentions(p, name) for name in names)])


def hooks_in(module: object) -> list[str]:
    return [name for name, value in vars(module).items() if hasattr(value, "tta_spec")]


def keys_of(config: type[msgspec.Struct], *, without: Collection[str] = ()) -> set[str]:
    """Return the keys of a config, and those of the structs within it."""
    keys: set[str] = set()

    def visit(node: object) -> None:
        match node:
            case msgspec.inspect.StructType(fields=fields):
                for field in (f for f in fields if f.encode_name not in without):
                    keys.add(field.encode_name)
                    visit(field.type)
            case msgspec.inspect.UnionType(types=types):
                for part in types:
                    visit(part)
            case msgspec.inspect.CollectionType(item_type=item):
                visit(item)
            case msgspec.inspect.DictType(key_type=key, value_type=value):
                visit(key)
                visit(value)
            case msgspec.inspect.Metadata(type=inner):
                visit(inner)

    visit(msgspec.inspect.type_info(config))
    return keys


def events_of(package: str) -> set[type[Event]]:
    """Return the events that any module of ``package`` defines, but for what its contract publishes."""
    module = importlib.import_module(package)
    for info in pkgutil.walk_packages(module.__path__, f"{package}."):
        if not info.name.endswith("__main__"):
            importlib.import_module(info.name)

    def below(event: type[Event]) -> Iterator[type[Event]]:
        for subclass in event.__subclasses__():
            yield subclass
            yield from below(subclass)

    found = {e for e in below(Event) if e.__module__.partition(".")[0] == package}
    return {e for e in found if "testing" not in e.__module__.split(".")}


def tag_of(event: type[Event]) -> object:
    return event.__struct_config__.tag


def test_every_plugin_of_the_tree_is_installed(root: Path) -> None:
    declared = {
        folder.name
        for folder in plugin_folders(root)
        if '"tta.plugins"' in (folder / "pyproject.toml").read_text(encoding="utf-8")
    }
    found = {e.dist.name.removeprefix("tta-") for e in installed(root) if e.dist is not None}
    assert declared - found == set(), "`make test` installs them"


def test_every_hook_is_documented(root: Path) -> None:
    text = kernel_documentation(root)
    missing = [f"kernel: {n}" for n in hooks_in(kernel_hookspecs) if not mentions(text, n)]
    for entry in installed(root):
        plugin: type[Plugin[Any]] = entry.load()
        text = plugin_documentation(root, entry)
        hooks = hooks_in(plugin.hookspecs) if plugin.hookspecs else []
        missing += [f"{entry.name}: {n}" for n in hooks if not mentions(text, n)]
    assert missing == []


def test_every_event_is_documented(root: Path) -> None:
    texts = {"tta_kernel": kernel_documentation(root)}
    for entry in installed(root):
        texts[entry.module.partition(".")[0]] = plugin_documentation(root, entry)
    missing = [
        f"{package}: {event.__name__}"
        for package, text in sorted(texts.items())
        for event in sorted(events_of(package), key=lambda e: e.__name__)
        if not any(mentions(text, str(name)) for name in (event.__name__, tag_of(event)))
    ]
    assert missing == []


def test_every_config_key_is_documented(root: Path) -> None:
    text = kernel_documentation(root)
    # `source` says where the values come from; no file holds it.
    settings = keys_of(KernelSettings, without=["source"]) | keys_of(PluginSettings)
    missing = [f"kernel: {key}" for key in sorted(settings) if not mentions(text, key)]
    for entry in installed(root):
        plugin: type[Plugin[Any]] = entry.load()
        text = plugin_documentation(root, entry)
        keys = sorted(keys_of(plugin.config_type))
        missing += [f"{entry.name}: {key}" for key in keys if not mentions(text, key)]
    assert missing == []
