"""Settings: where they come from, what they may be, and how every mistake is told."""

from __future__ import annotations

import importlib.metadata
import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from tta_kernel import ConfigError, Duration, KernelSettings, PluginSettings, Problem, Secret, Size
from tta_kernel.settings import unknown_plugins
from tta_program import LayeredSettings, load
from tta_program.config import __file__ as config_module
from tta_program.config import read
from tta_program.effective import Entry, entries

Write = Callable[..., Path]
REDACTED = "<redacted>"


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """What every config Struct is."""


class Limits(Strict, frozen=True):
    per_minute: Annotated[int, Meta(ge=1)] = 60
    pause: Duration = 1.0


class Picky(Strict, frozen=True):
    low: int = 0
    high: int = 9

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low lies above high")


class Store(Strict, frozen=True):
    url: str
    size: Size = 0
    timeout: Duration = 5.0
    password: Secret = ""
    retries: int = 3
    limits: Limits = Limits()
    rules: list[Limits] = []
    by_name: dict[str, Limits] = {}
    note: str | None = None
    mode: Literal["fast", "safe"] = "safe"
    anything: Any = None


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files named by keyword (``base="…"`` becomes base.yaml) into one config folder."""

    def write(**texts: str) -> Path:
        folder = tmp_path / "config"
        folder.mkdir(exist_ok=True)
        for name, text in {"base": "", "development": "", **texts}.items():
            (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        return folder

    return write


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


def settings_of(config: Mapping[str, Any]) -> LayeredSettings:
    return LayeredSettings(plugins={"store": PluginSettings(config=dict(config))})


def decoded(**config: Any) -> Store:
    return settings_of({"url": "here", **config}).decode("store", Store)


def problems_in(config: Mapping[str, Any], type_: type[Struct] = Store) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings_of(config).decode("store", type_)
    return [str(problem) for problem in caught.value.problems]


def problem_in(config: Mapping[str, Any], type_: type[Struct] = Store) -> str:
    [problem] = problems_in(config, type_)
    return problem


def load_problems(folder: Path | None, environment: str | None = None, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, environment, environ)
    return [str(problem) for problem in caught.value.problems]


def load_problem(folder: Path | None, environment: str | None = None, **environ: str) -> str:
    [problem] = load_problems(folder, environment, **environ)
    return problem


# Layers


def test_without_any_folder_the_defaults_hold() -> None:
    assert load(environ={}) == read(None, "development", {})[0]
    settings = load(environ={})
    assert (settings.autoload, settings.start_timeout, settings.stop_timeout) == (True, 30, 10)
    assert (settings.log_level, settings.log_format, settings.plugins) == ("info", "auto", {})


def test_without_any_folder_the_only_environment_is_development() -> None:
    problem = load_problem(None, "production")
    assert "'production'" in problem
    assert "without a config folder" in problem
    assert "TTA_CONFIG" in problem


def test_the_environment_s_file_is_laid_over_base(write: Write) -> None:
    folder = write(
        base="kernel: {start_timeout: 5s, stop_timeout: 7}\n"
        "plugins: {store: {config: {limits: {per_minute: 1, pause: 2}, rules: [{}, {}]}}}",
        production="kernel: {start_timeout: 1m}\n"
        "plugins: {store: {required: false, config: {limits: {pause: 3}, rules: [{}]}}}",
    )
    settings = load(folder, "production", {})
    assert (settings.start_timeout, settings.stop_timeout) == (60, 7)
    assert settings.plugins["store"] == PluginSettings(
        required=False, config={"limits": {"per_minute": 1, "pause": 3}, "rules": [{}]}
    )


def test_a_section_with_nothing_behind_it_names_the_plugin_and_keeps_what_lies_below(
    write: Write,
) -> None:
    folder = write(
        base="kernel:\nplugins: {store: {config: {url: x}}}",
        development="plugins:\n  store:\n  other: {config: }\n",
    )
    plugins = load(folder, None, {}).plugins
    assert plugins == {"store": PluginSettings(config={"url": "x"}), "other": PluginSettings()}


def test_a_scalar_replaces_a_mapping_and_a_mapping_a_scalar(write: Write) -> None:
    folder = write(
        base="plugins: {store: {config: {a: {b: 1}, c: 1}}}",
        development="plugins: {store: {config: {a: 2, c: {d: 3}}}}",
    )
    assert load(folder, None, {}).plugins["store"].config == {"a": 2, "c": {"d": 3}}


def test_environment_variables_lie_above_the_files(write: Write) -> None:
    folder = write(base="kernel: {autoload: true}\nplugins: {big-store: {config: {url: a, retries: 1}}}")
    environ = {
        "TTA__KERNEL__AUTOLOAD": "false",
        "TTA__PLUGINS__BIG_STORE__CONFIG__URL": "b",
        "TTA__PLUGINS__BIG_STORE__CONFIG__LIMITS__PER_MINUTE": "7",
        "TTA__PLUGINS__BIG_STORE__REQUIRED": "no",
        "TTA_OTHER": "x",
    }
    settings = load(folder, None, environ)
    store = settings.decode("big-store", Store)
    assert not settings.autoload
    assert not settings.plugins["big-store"].required
    assert (store.url, store.retries, store.limits.per_minute) == ("b", 1, 7)


def test_a_variable_may_hold_a_whole_section(write: Write) -> None:
    folder = write(base="plugins: {store: {config: {url: a, retries: 1}}}")
    environ = {"TTA__PLUGINS__STORE": "{required: false, config: {retries: 2}}"}
    expected = PluginSettings(required=False, config={"url": "a", "retries": 2})
    assert load(folder, None, environ).plugins["store"] == expected


@pytest.mark.parametrize("name", ["TTA__", "TTA__PLUGINS____URL", "TTA__KERNEL__"])
def test_a_variable_with_an_empty_part_is_a_problem(name: str) -> None:
    problem = load_problem(None, **{name: "x"})
    assert problem.startswith(f"{name}: ")
    assert "TTA__KERNEL__KEY" in problem


def test_a_variable_that_is_no_yaml_is_named_without_its_value() -> None:
    environ = {"TTA__PLUGINS__STORE__CONFIG__RETRIES": "[hunter2"}
    with pytest.raises(ConfigError) as caught:
        load(environ=environ).decode("store", Store)
    assert "TTA__PLUGINS__STORE__CONFIG__RETRIES" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_broken_section_in_a_variable_is_a_problem_of_loading() -> None:
    assert load_problem(None, TTA__PLUGINS__STORE="{").startswith("TTA__PLUGINS__STORE:2:1: cannot")


def test_the_process_s_own_environment_counts_where_none_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TTA__KERNEL__STOP_TIMEOUT", "3s")
    assert load().stop_timeout == 3


# The folder and the environment


def test_the_folder_is_the_argument_else_a_variable_else_config_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("argument", "variable", "here/config"), start=1):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "base.yaml").write_text(f"kernel: {{stop_timeout: {number}}}")
        (folder / "development.yaml").write_text("")
    monkeypatch.chdir(tmp_path / "here")
    environ = {"TTA_CONFIG": str(tmp_path / "variable")}
    assert load(tmp_path / "argument", None, environ).stop_timeout == 1
    assert load(None, None, environ).stop_timeout == 2
    assert load(None, None, {}).stop_timeout == 3


def test_the_environment_is_the_argument_else_a_variable_else_development(write: Write) -> None:
    folder = write(
        one="kernel: {stop_timeout: 1}",
        two="kernel: {stop_timeout: 2}",
        development="kernel: {stop_timeout: 3}",
    )
    assert load(folder, "one", {"TTA_ENV": "two"}).stop_timeout == 1
    assert load(folder, None, {"TTA_ENV": "two"}).stop_timeout == 2
    assert load(folder, None, {}).stop_timeout == 3


def test_the_settings_remember_the_folder_and_the_environment(write: Write) -> None:
    folder = write(testing="")
    source = load(folder, "testing", {}).source
    assert (source.folder, source.environment) == (folder, "testing")


def test_settings_that_an_embedder_made_have_no_environment() -> None:
    assert not LayeredSettings().source.environment


@pytest.mark.parametrize("by", ["argument", "variable"])
@pytest.mark.parametrize("what", ["missing", "file"])
def test_a_named_folder_that_is_none_is_a_problem(tmp_path: Path, by: str, what: str) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / what
    problem = load_problem(folder) if by == "argument" else load_problem(None, TTA_CONFIG=str(folder))
    assert problem.startswith(f"{folder}: is not a folder that can be read")


def test_a_missing_environment_file_is_a_problem_with_a_suggestion(write: Write) -> None:
    folder = write(production="", staging="")
    problem = load_problem(folder, "prodution")
    assert problem.startswith(f"{folder}/prodution.yaml: there is no such file")
    assert problem.endswith("did you mean 'production'? (development, production, staging)")
    assert load_problem(folder, "zzz").endswith("known: development, production, staging")


def test_a_missing_base_is_a_problem_in_a_named_folder(write: Write) -> None:
    folder = write()
    (folder / "base.yaml").unlink()
    assert load_problem(folder).startswith(f"{folder}/base.yaml: cannot be read: No such file")


def test_a_folder_of_that_name_without_base_belongs_to_somebody_else(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(development="kernel: {stop_timeout: 1}")
    (folder / "base.yaml").unlink()
    monkeypatch.chdir(folder.parent)
    assert load(environ={}).stop_timeout == 10


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".", "a\0b", "/etc/x"])
def test_an_environment_s_name_leads_out_of_no_folder(write: Write, name: str) -> None:
    assert "there is no such file" in load_problem(write(), name)


def test_base_is_no_environment(write: Write) -> None:
    problem = load_problem(write(), "base")
    assert "base.yaml: is what every environment shares, and none itself; known: development" in problem


@pytest.fixture(autouse=True)
def nothing_installed_ships_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide what this environment happens to have installed; what a test ships stays."""
    real = importlib.metadata.entry_points

    def of_tests(group: str) -> importlib.metadata.EntryPoints:
        found = real(group=group)
        return importlib.metadata.EntryPoints(e for e in found if not (e.dist and e.dist.name.startswith("tta-")))

    monkeypatch.setattr(importlib.metadata, "entry_points", of_tests)


def ship(site: Path, distribution: str, package: str, value: str) -> None:
    (site / package / "settings").mkdir(parents=True)
    (site / package / "__init__.py").write_text("raise RuntimeError('imported')")
    (site / package / "settings/base.yaml").write_text("kernel: {stop_timeout: 99}")
    (site / package / "settings/development.yaml").write_text("")
    info = site / f"{package}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[tta.config]\ndefault = {value}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_a_distribution_may_ship_the_folder_and_is_not_imported_for_it(site: Path) -> None:
    ship(site, "shipping-one", "shipping_one", "shipping_one:settings")
    assert load(environ={}).stop_timeout == 99
    assert "shipping_one" not in sys.modules


def test_config_here_comes_before_what_is_shipped(site: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    ship(site, "shipping-two", "shipping_two", "shipping_two:settings")
    monkeypatch.chdir(write(base="kernel: {stop_timeout: 1}").parent)
    assert load(environ={}).stop_timeout == 1


def test_two_shipped_folders_are_a_problem_that_names_both(site: Path) -> None:
    ship(site, "shipping-three", "shipping_three", "shipping_three:settings")
    ship(site, "shipping-four", "shipping_four", "shipping_four:settings")
    problem = load_problem(None)
    assert "'shipping-three'" in problem
    assert "'shipping-four'" in problem
    assert "TTA_CONFIG" in problem


@pytest.mark.parametrize("value", ["shipping_five:nothing", "shipping_nowhere:settings"])
def test_a_shipped_folder_that_is_not_there_is_a_problem(site: Path, value: str) -> None:
    ship(site, "shipping-five", "shipping_five", value)
    assert "is not a folder that can be read" in load_problem(None)


# Files that can't be read


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("kernel: {autoload: true", ":2:1", "did not find expected"),
        ("a: 1\n b: 2", ":2:3", "mapping values"),
        ("kernel:\n  autoload: true\n  autoload: false", ":3:3", "'autoload' is there twice"),
        ("plugins: {x: {config: {a: [{b: 1, b: 2}]}}}", ":1:35", "'b' is there twice"),
        ("a: &x [1]\nb: *x", ":2:4", "aliases are refused"),
        ("a: *x", ":1:4", "aliases are refused"),
        ("a: !!python/object/apply:os.system [id]", ":1:4", "tags are refused"),
        ("a: !other x", ":1:4", "tags are refused"),
        ("a: 2024-02-31", "", "no such number or date"),
        ("a: !!int x", "", "no such number or date"),
        ("a: \0", "", "odd characters"),
        ("--- a\n--- b", ":2:1", "another document"),
        ("- a", "", "expected a mapping with the keys kernel and plugins"),
        ("text", "", "expected a mapping with the keys kernel and plugins"),
    ],
)
def test_bad_yaml_is_told_with_its_place(write: Write, text: str, where: str, what: str) -> None:
    folder = write(base=text)
    problem = load_problem(folder)
    assert problem.startswith(f"{folder}/base.yaml{where}")
    assert what in problem


def test_the_hint_fits_what_is_wrong_with_the_yaml(write: Write) -> None:
    twice = load_problem(write(base="plugins: {}\n\nplugins: {}"))
    assert twice.endswith("the key 'plugins' is there twice; merge both; the first is in line 1")
    assert "needs quotes" in load_problem(write(base="a: @b"))
    assert "quotes" not in load_problem(write(base="kernel: {autoload: true"))


def test_an_alias_bomb_is_refused_in_a_variable_too() -> None:
    bomb = "{a: &a [x,x], b: &b [*a,*a], c: [*b,*b]}"
    assert "aliases are refused" in load_problem(None, TTA__PLUGINS__STORE=bomb)


def test_a_password_without_quotes_is_not_quoted_in_the_message(write: Write) -> None:
    for text in ("a: !hunter2", "a: *hunter2", "a: !!int hunter2"):
        problem = load_problem(write(base=text))
        assert "hunter2" not in problem
        assert "needs quotes" in problem


def test_a_folder_in_place_of_a_file_is_a_problem(write: Write) -> None:
    folder = write()
    (folder / "base.yaml").unlink()
    (folder / "base.yaml").mkdir()
    assert load_problem(folder).startswith(f"{folder}/base.yaml: cannot be read: Is a directory")


def test_a_file_that_is_not_utf_8_is_a_problem(write: Write) -> None:
    folder = write()
    (folder / "base.yaml").write_bytes(b"a: \xff")
    assert "base.yaml: cannot be read: it is not UTF-8" in load_problem(folder)


def test_a_byte_order_mark_is_none(write: Write) -> None:
    folder = write()
    (folder / "base.yaml").write_bytes(b"\xef\xbb\xbfkernel: {stop_timeout: 1}")
    assert load(folder, None, {}).stop_timeout == 1


def test_all_problems_of_all_files_come_at_once(write: Write) -> None:
    folder = write(base="a: [", development="kernel: {autoload: maybe, stop_timeout: soon}\nx: 1")
    problems = load_problems(folder, TTA__KERNEL__LOG_LEVEL="loud")
    assert len(problems) == 5


# The file's own keys


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("plugin: {}", "plugin: unknown key; did you mean 'plugins'?"),
        ("zzz: {}", "zzz: unknown key; known: kernel, plugins"),
        ("kernel: {autolaod: true}", "kernel.autolaod: unknown key; did you mean 'autoload'?"),
        ("kernel: {source: x}", ("kernel.source: unknown key; known: autoload, hook_timeouts, log_format, "
         "log_level, start_timeout, stop_timeout")),
        ("kernel: {plugins: {}}", ("kernel.plugins: unknown key; known: autoload, hook_timeouts, log_format, "
         "log_level, start_timeout, stop_timeout")),
        ("kernel: 5", "kernel: expected a mapping, got int"),
        ("plugins: [a]", "plugins: expected a mapping, got a list"),
        ("plugins: {x: true}", "plugins.x: expected a mapping, got true or false"),
        ("plugins: {x: {enabld: true}}", "plugins.x.enabld: unknown key; did you mean 'enabled'?"),
        ("plugins: {x: {enabled: maybe}}", "plugins.x.enabled: expected true or false, got str"),
        ("plugins: {x: {config: 5}}", "plugins.x.config: expected a mapping, got int"),
        ("kernel: {autoload: 1}", "kernel.autoload: expected true or false, got int"),
        ("kernel: {log_level: loud}", ("kernel.log_level: expected one of 'debug', 'info', "
         "'warning', 'error'")),
        ("kernel: {start_timeout: null}", "kernel.start_timeout: expected float, got null"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_s_own_keys_is_told_with_layer_and_path(write: Write, text: str, problem: str) -> None:
    folder = write(base=text)
    assert load_problem(folder) == f"{folder}/base.yaml: {problem}"


def test_the_layer_in_a_message_is_written_as_the_folder_was_found(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write(base="x: 1").parent)
    assert load_problem(None).startswith("config/base.yaml: x: unknown key")


def test_a_mistake_is_told_with_the_layer_that_it_came_from(write: Write) -> None:
    folder = write(
        base="plugins: {store: {config: {url: 1, retries: a, limits: {pause: x}}}}",
        development="plugins: {store: {config: {retries: b, rules: [{pause: x}]}}}",
    )
    environ = {"TTA__PLUGINS__STORE__CONFIG__SIZE": "big"}
    with pytest.raises(ConfigError) as caught:
        load(folder, None, environ).decode("store", Store)
    wheres = [problem.where for problem in caught.value.problems]
    assert wheres == [
        f"{folder}/base.yaml: plugins.store.config.url",
        "TTA__PLUGINS__STORE__CONFIG__SIZE: plugins.store.config.size",
        f"{folder}/development.yaml: plugins.store.config.retries",
        f"{folder}/base.yaml: plugins.store.config.limits.pause",
        f"{folder}/development.yaml: plugins.store.config.rules.0.pause",
    ]


def test_a_missing_key_is_told_with_the_layer_of_its_section(write: Write) -> None:
    folder = write(base="plugins: {store: {config: {retries: 1}}}")
    with pytest.raises(ConfigError, match="is missing") as caught:
        load(folder, None, {}).decode("store", Store)
    [problem] = caught.value.problems
    assert problem.where == f"{folder}/base.yaml: plugins.store.config.url"


# Values against a Struct


def test_a_plugin_without_a_section_gets_its_defaults() -> None:
    assert KernelSettings().decode("limits", Limits) == Limits()


def test_all_problems_of_a_section_come_at_once() -> None:
    config = {
        "retries": "x",
        "retris": 1,
        "limits": {"per_minute": 0, "pause": "x"},
        "rules": [{}, {"pause": -1}, 5],
        "by_name": {"a": {"pauze": 1}},
    }
    assert [problem.partition(": ")[0] for problem in problems_in(config)] == [
        f"plugins.store.config.{key}"
        for key in (
            "retris",
            "url",
            "retries",
            "limits.per_minute",
            "limits.pause",
            "rules.1.pause",
            "rules.2",
            "by_name.a.pauze",
        )
    ]


@pytest.mark.parametrize("value", ["hunter2", ["hunter2"], {"hunter2": 1}, {"a": "hunter2"}, "db://me:hunter2@example"])
@pytest.mark.parametrize("key", ["retries", "mode", "colour", "limits", "size", "timeout", "rules"])
def test_no_message_quotes_a_value(key: str, value: object) -> None:
    class Coloured(Store, frozen=True):
        colour: Colour | None = None

    said = problems_in({"url": "x", key: value}, Coloured)
    assert "hunter2" not in str(said).replace("hunter2: unknown key", "")


def test_constraints_are_enforced() -> None:
    class Bound(Strict, frozen=True):
        name: Annotated[str, Meta(pattern="^[a-z]+$")]
        names: Annotated[list[str], Meta(min_length=2)]
        optional: Annotated[int, Meta(le=3)] | None = None
        table: Annotated[dict[str, int], Meta(max_length=1)] = {}
        at_least: Annotated[Duration, Meta(ge=1)] = 1.0

    config = {"name": "A1", "optional": 4, "names": ["a"], "table": {"a": 1, "b": 2}}
    prefix = "plugins.store.config."
    assert problems_in({**config, "at_least": "500ms"}, Bound) == [
        f"{prefix}name: expected str matching regex '^[a-z]+$'",
        f"{prefix}names: expected a list of length >= 2",
        f"{prefix}optional: expected int <= 3",
        f"{prefix}table: expected a mapping of length <= 1",
        f"{prefix}at_least: expected float >= 1.0",
    ]
    assert problem_in({"name": "a", "names": []}, Bound).endswith(
        "names: expected a list of length >= 2, got an empty list"
    )


def test_what_a_struct_itself_objects_to_is_a_problem() -> None:
    class Outer(Strict, frozen=True):
        first: Picky
        second: Picky
        count: int = 0

    bad = {"low": 5, "high": 1}
    assert problems_in({"first": bad, "second": bad, "count": "x"}, Outer) == [
        "plugins.store.config.first: low lies above high",
        "plugins.store.config.second: low lies above high",
        "plugins.store.config.count: expected int, got str",
    ]
    assert problem_in(bad, Picky) == "plugins.store.config: low lies above high"


def test_a_renamed_field_goes_by_its_name_in_the_file() -> None:
    class Camel(Strict, frozen=True, rename="camel"):
        max_size: Size = 0

    assert settings_of({"maxSize": "1kB"}).decode("store", Camel) == Camel(max_size=1000)
    assert "did you mean 'maxSize'?" in problem_in({"max_size": 1}, Camel)


def test_a_struct_that_tolerates_unknown_keys_does() -> None:
    class Tolerant(Struct, frozen=True):
        a: int = 0

    assert settings_of({"a": 1, "b": 2}).decode("store", Tolerant) == Tolerant(a=1)


class Colour(Enum):
    RED = "red"


class Exotic(Strict, frozen=True):
    either: int | str = 0
    pair: tuple[Duration, Size] = (0.0, 0)
    many: tuple[Duration, ...] = ()
    names: frozenset[str] = frozenset()
    waits: Sequence[Duration] = ()
    colour: Colour = Colour.RED
    table: Mapping[str, list[Duration]] = {}
    wait: Duration | None = None


@pytest.mark.parametrize(
    ("key", "raw", "value"),
    [
        ("either", "x", "x"),
        ("either", 5, 5),
        ("pair", ["1m", "1kB"], (60.0, 1000)),
        ("many", ["1m", 5], (60.0, 5.0)),
        ("names", ["a", "b", "a"], frozenset({"a", "b"})),
        ("waits", ["1s"], [1.0]),
        ("colour", "red", Colour.RED),
        ("table", {"a": ["1s", "2s"]}, {"a": [1.0, 2.0]}),
        ("wait", "1s", 1.0),
        ("wait", None, None),
    ],
)
def test_unions_and_collections_are_read(key: str, raw: object, value: object) -> None:
    assert getattr(settings_of({key: raw}).decode("store", Exotic), key) == value


@pytest.mark.parametrize(
    ("key", "raw", "message"),
    [
        ("either", [], "either: expected int | str, got a list"),
        ("pair", ["1m"], "pair: expected a list of length 2"),
        ("pair", ["1m", "x"], "pair.1: expected a size"),
        ("colour", "blue", "colour: is not allowed"),
        ("names", [1], "names.0: expected str, got int"),
    ],
)
def test_a_problem_inside_a_union_or_collection_is_told(key: str, raw: object, message: str) -> None:
    assert problems_in({key: raw}, Exotic)[0].startswith(f"plugins.store.config.{message}")


class Quick(Strict, frozen=True, tag="quick"):
    wait: Duration


class Slow(Strict, frozen=True, tag="slow"):
    size: Size = 0


class Choosing(Strict, frozen=True):
    how: Quick | Slow = Slow()
    limits: Limits | bool = False
    only: Quick | None = None


@pytest.mark.parametrize(
    ("config", "value"),
    [
        ({}, Choosing()),
        ({"how": {"type": "quick", "wait": "1m"}}, Choosing(Quick(60.0))),
        ({"how": {"type": "slow", "size": "1kB"}}, Choosing(Slow(1000))),
        ({"limits": {"pause": "1m"}}, Choosing(limits=Limits(pause=60.0))),
        ({"limits": True}, Choosing(limits=True)),
        ({"only": {"wait": "1m"}}, Choosing(only=Quick(60.0))),
        ({"only": {"type": "quick", "wait": "1m"}}, Choosing(only=Quick(60.0))),
    ],
)
def test_a_struct_of_a_union_is_read_like_any_other(config: dict[str, Any], value: Choosing) -> None:
    assert settings_of(config).decode("store", Choosing) == value


def test_a_variable_may_say_which_struct_of_a_union_is_meant() -> None:
    prefix = "TTA__PLUGINS__STORE__CONFIG__HOW"
    settings = load(environ={f"{prefix}__TYPE": "quick", f"{prefix}__WAIT": "1m"})
    assert settings.decode("store", Choosing).how == Quick(60.0)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"how": {"type": "quick", "wiat": 1, "wait": 1}}, "how.wiat: unknown key; did you mean 'wait'?"),
        ({"how": {"type": "quick"}}, "how.wait: is missing; it has no default: set it"),
        ({"how": {"type": "odd"}}, "how: is not allowed"),
        ({"how": {"wait": 1}}, "how: object missing required field type"),
        ({"limits": {"per_minute": 0}}, "limits.per_minute: expected int >= 1"),
        ({"only": {"type": "slow", "wait": 1}}, "only: is not allowed"),
    ],
)
def test_what_is_wrong_in_a_struct_of_a_union_is_told_with_its_key(config: dict[str, Any], problem: str) -> None:
    assert problem_in(config, Choosing) == f"plugins.store.config.{problem}"


# Durations and sizes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("500ms", 0.5), ("35ms", 0.035), ("2m", 120), ("1h", 3600), ("1d", 86400),
     ("1.5h", 5400), ("2 m", 120), (30, 30), (0.25, 0.25), (0, 0), (math.inf, math.inf)],
)  # fmt: skip
def test_a_duration_is_seconds(text: object, seconds: float) -> None:
    assert decoded(timeout=text).timeout == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4 * 10**9), ("4GiB", 2**32), ("512kB", 512_000), ("512KB", 512_000),
     ("1KiB", 1024), ("2MB", 2 * 10**6), ("2MiB", 2**21), ("1TB", 10**12), ("7B", 7),
     ("4.1GB", 4_100_000_000), ("1.5GiB", 3 * 2**29), (123, 123), (0, 0)],
)  # fmt: skip
def test_a_size_is_bytes(text: object, size: int) -> None:
    assert decoded(size=text).size == size


@pytest.mark.parametrize("bad", ["30", "soon", "5 parsecs", "", "s", "1h30m", "9" * 400 + "s", True,
                                 [], {}])  # fmt: skip
def test_a_duration_in_another_form_is_refused_with_examples(bad: object) -> None:
    problem = problem_in({"url": "x", "timeout": bad})
    assert "expected a duration such as '30s', '500ms', '2m', '1h', '1d' or a number" in problem


@pytest.mark.parametrize("bad", ["30", "big", "4gb", "4Gb", "", "9" * 400 + "GB", True])
def test_a_size_in_another_form_is_refused_with_examples(bad: object) -> None:
    problem = problem_in({"url": "x", "size": bad})
    assert "expected a size such as '4GB' (10**9), '4GiB' (2**30), '512kB'" in problem


@pytest.mark.parametrize("bad", [-1, "-1s", -0.5, math.nan])
def test_a_negative_duration_is_refused(bad: object) -> None:
    assert "expected a duration" in problem_in({"url": "x", "timeout": bad})


# Secrets


@pytest.mark.parametrize(("content", "secret"), [("hunter2\n", "hunter2"), ("hunter2", "hunter2"), ("a\n\n", "a\n")])
def test_a_secret_may_lie_in_a_file_beside_the_config(write: Write, content: str, secret: str) -> None:
    folder = write(base="plugins: {store: {config: {url: x, password: {file: secrets/pw}}}}")
    (folder / "secrets").mkdir()
    (folder / "secrets/pw").write_text(content)
    assert load(folder, None, {}).decode("store", Store).password == secret


def test_a_secret_s_file_may_be_given_with_its_whole_path(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("hunter2")
    assert decoded(password={"file": str(tmp_path / "pw")}).password == "hunter2"


def test_a_secret_may_lie_in_a_variable_of_the_same_environment(write: Write) -> None:
    folder = write(base="plugins: {store: {config: {url: x, password: {env: PW}}}}")
    assert load(folder, None, {"PW": "hunter2"}).decode("store", Store).password == "hunter2"


def test_a_variable_may_say_in_which_file_a_secret_lies(write: Write, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("hunter2")
    folder = write(base="plugins: {store: {config: {url: x, password: {env: PW}}}}")
    environ = {"TTA__PLUGINS__STORE__CONFIG__PASSWORD__FILE": str(tmp_path / "pw")}
    assert load(folder, None, environ).decode("store", Store).password == "hunter2"


def test_plugins_named_like_the_ways_to_a_secret_do_not_replace_each_other(write: Write) -> None:
    folder = write(base="plugins: {file: {}}", development="plugins: {env: {}}")
    assert set(load(folder, None, {}).plugins) == {"file", "env"}


class Inner(Strict, frozen=True):
    phrase: Secret


class Outer(Strict, frozen=True):
    inner: Inner
    phrases: list[Secret]
    maybe: Secret | None = None


def test_a_secret_may_stand_in_a_list_and_in_a_nested_struct(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("hunter2")
    way = {"file": str(tmp_path / "pw")}
    config = {"inner": {"phrase": way}, "phrases": [way, "x"], "maybe": way}
    expected = Outer(Inner("hunter2"), ["hunter2", "x"], "hunter2")
    assert settings_of(config).decode("store", Outer) == expected


@pytest.mark.parametrize(
    ("way", "what"),
    [
        ({"file": "missing"}, "file 'missing' cannot be read: No such file"),
        ({"file": "."}, "file '.' cannot be read: Is a directory"),
        ({"file": "empty"}, "file 'empty' is empty"),
        ({"file": "newline"}, "file 'newline' is empty"),
        ({"file": "latin"}, "file 'latin' cannot be read: it is not UTF-8"),
        ({"env": "MISSING"}, "env 'MISSING' is empty, or not set"),
        ({"env": "EMPTY"}, "env 'EMPTY' is empty, or not set"),
    ],
)
def test_a_secret_that_is_not_there_is_a_problem_of_the_deployment_only(
    write: Write, way: dict[str, str], what: str
) -> None:
    folder = write(base=f"plugins: {{store: {{config: {{url: x, password: {way}}}}}}}")
    (folder / "empty").write_text("")
    (folder / "newline").write_text("\n")
    (folder / "latin").write_bytes(b"\xff")
    with pytest.raises(ConfigError) as caught:
        load(folder, None, {"EMPTY": ""}).decode("store", Store)
    [problem] = caught.value.problems
    assert what in problem.what
    assert problem.where == f"{folder}/base.yaml: plugins.store.config.password"
    assert problem.deployment_only


@pytest.mark.parametrize("way", [{}, {"file": "a", "env": "b"}, {"fil": "a"}, {"file": 5},
                                 {"env": None}, {"file": ""}])  # fmt: skip
def test_another_mapping_in_place_of_a_secret_is_a_problem_everywhere(way: Any) -> None:
    with pytest.raises(ConfigError, match=r"expected text, \{file: PATH\} or \{env: NAME\}") as caught:
        decoded(password=way)
    assert not caught.value.problems[0].deployment_only


def test_a_secret_is_in_no_message() -> None:
    class Keeper(Strict, frozen=True):
        first: Annotated[Secret, Meta(pattern="^x$")] = "x"
        second: Secret = ""
        third: Secret | None = None
        fourth: list[Annotated[Secret, Meta(max_length=3)]] = []
        fifth: dict[str, Secret] = {}
        sixth: Secret | int = 0
        seventh: Annotated[Literal["a"], Meta(extra={"secret": True})] = "a"

    config = {
        "first": "hunter2",
        "second": 99887766,
        "third": ["hunter2"],
        "fourth": ["hunter2"],
        "fifth": {"a": 99887766},
        "sixth": ["hunter2"],
        "seventh": "hunter2",
    }
    problems = problems_in(config, Keeper)
    assert len(problems) == 7
    assert "hunter2" not in str(problems)
    assert "99887766" not in str(problems)


@pytest.mark.parametrize("secret", ["hunter2", "redhunter2: x", "a'b\\c d", "x" * 80])
def test_a_secret_is_not_in_what_a_struct_itself_says_of_it(secret: str) -> None:
    class Talkative(Strict, frozen=True):
        phrase: Secret
        password: str = ""

        def __post_init__(self) -> None:
            raise ValueError(f"bad secret {self.phrase}, in other words {self.phrase!r}")

    problem = problem_in({"phrase": secret, "password": secret}, Talkative)
    assert secret not in problem
    assert repr(secret) not in problem
    assert "bad" not in problem
    assert "may hold a secret" in problem


def test_what_a_struct_says_stays_readable_where_a_secret_is_empty() -> None:
    class Wanting(Strict, frozen=True):
        password: Secret = ""

        def __post_init__(self) -> None:
            if not self.password:
                raise ValueError("password is empty")

    problem = problem_in({"password": ""}, Wanting)
    assert problem == "plugins.store.config: password is empty"


def test_a_part_of_a_secret_is_not_in_what_a_struct_itself_says_of_it() -> None:
    class Client(Strict, frozen=True):
        dsn: Secret

        def __post_init__(self) -> None:
            raise ValueError(f"port could not be read as {self.dsn.split(':')[2]!r}")

    problem = problem_in({"dsn": "db://me:hunter2/x@example"}, Client)
    assert "hunter2" not in problem
    assert "may hold a secret" in problem


def test_what_a_struct_says_is_told_where_it_holds_no_secret() -> None:
    class Chooses(Strict, frozen=True):
        password: Secret

        def __post_init__(self) -> None:
            raise ValueError("sentinel and cluster exclude each other: keep one")

    assert problem_in({"password": "hunter2"}, Chooses).endswith(
        "config: sentinel and cluster exclude each other: keep one"
    )


def test_a_secret_is_in_no_repr(write: Write) -> None:
    folder = write(base="plugins: {store: {config: {url: x, password: hunter2}}}")
    settings = load(folder, None, {"PW": "hunter3", "TTA__PLUGINS__STORE__CONFIG__NOTE": "hunter4"})
    assert "hunter" not in repr(settings)


def test_the_secrets_that_were_decoded_are_known_to_whoever_hides_them(tmp_path: Path) -> None:
    class Outer(Strict, frozen=True):
        inner: Store
        phrases: list[Secret]
        more: Secret | None = None
        open: str = "open"

    (tmp_path / "pw").write_text("hunter6")
    inner = {"url": "x", "password": "hunter2", "note": "open", "anything": {"token": ["hunter3"]}}
    settings = settings_of({"inner": inner, "phrases": ["hunter4", {"file": str(tmp_path / "pw")}], "more": "hunter5"})
    settings.decode("store", Outer)
    assert settings.source.secrets == {f"hunter{number}" for number in range(2, 7)}
    assert LayeredSettings().source.secrets == set()


# Reading in spite of problems


def test_read_leaves_out_what_is_broken_and_reports_it(write: Write) -> None:
    folder = write(
        base="kernel: {autoload: false, stop_timeout: soon, nonsense: 1}\n"
        "plugins: {good: {config: {a: 1}}, bad: {enabled: maybe}, worse: 5}",
        development="a: [",
    )
    settings, problems = read(folder, None, {})
    assert not settings.autoload
    assert settings.stop_timeout == 10
    assert settings.plugins["good"] == PluginSettings(config={"a": 1})
    assert not settings.plugins["bad"].enabled
    assert not settings.plugins["worse"].enabled
    assert len(problems) == 5


def test_load_raises_just_what_read_reports(write: Write) -> None:
    folder = write(base="kernel: {a: 1, b: 2}")
    assert load_problems(folder) == [str(problem) for problem in read(folder, None, {})[1]]


@pytest.mark.parametrize(("folder", "environment"), [("missing", None), (None, "../x"), (None, "production")])
def test_read_raises_nothing_for_a_folder_or_environment_that_is_not_there(
    folder: str | None, environment: str | None
) -> None:
    settings, problems = read(Path(folder) if folder else None, environment, {})
    assert settings.plugins == {}
    assert len(problems) == 1


# Unknown plugins


def test_a_section_of_an_unknown_plugin_is_a_problem_with_a_suggestion(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(production="plugins: {registri: {}}")
    monkeypatch.chdir(folder.parent)
    [problem] = unknown_plugins(load(None, "production", {}), ["registry", "store"])
    assert str(problem) == (
        "config/production.yaml: plugins.registri: no plugin of that name is installed; did you mean 'registry'?"
    )


def test_a_variable_for_an_unknown_plugin_is_a_problem_that_names_the_variable() -> None:
    settings = load(environ={"TTA__PLUGINS__REGISTRI__CONFIG__A": "1"})
    [problem] = unknown_plugins(settings, ["registry"])
    assert problem.where == "TTA__PLUGINS__REGISTRI__CONFIG__A: plugins.registri"


INSTALLED = ["agents", "agents-redis", "messages-redis", "sessions-memory", "safety", "world-builder"]


@pytest.mark.parametrize(
    "name", ["world-bilder", "world_builder", "tta-world-builder", "tta_world_builder", "agent", "messages_redis"]
)
def test_a_misspelt_section_that_turns_something_off_is_a_problem(name: str) -> None:
    settings = KernelSettings(plugins={name: PluginSettings(enabled=False)})
    [problem] = unknown_plugins(settings, INSTALLED)
    assert problem.hint.startswith("did you mean '")


@pytest.mark.parametrize(
    "name",
    ["events-redis", "sessions-redis", "messages-memory", "world", "safety-rules", "play", "redis", "world-neo4j"],
)
def test_what_is_not_installed_may_be_turned_off(name: str) -> None:
    assert unknown_plugins(KernelSettings(plugins={name: PluginSettings(enabled=False)}), INSTALLED) == []


def test_a_misspelt_variable_that_turns_something_off_is_a_problem() -> None:
    settings = load(environ={"TTA__PLUGINS__WORLD_BILDER__ENABLED": "false"})
    [problem] = unknown_plugins(settings, INSTALLED)
    assert "did you mean 'world-builder'" in str(problem)


def test_a_disabled_section_and_an_installed_plugin_are_no_problem() -> None:
    off = PluginSettings(enabled=False)
    settings = KernelSettings(plugins={"gone": off, "here": PluginSettings()})
    assert unknown_plugins(settings, iter(["here"])) == []


def test_without_any_plugin_installed_the_message_says_so() -> None:
    settings = KernelSettings(plugins={"gone": PluginSettings()})
    what = "no plugin of that name is installed"
    assert unknown_plugins(settings, []) == [Problem("plugins.gone", what, "known: none")]


# The config in force


def test_entries_show_each_value_in_force_and_its_layer(write: Write) -> None:
    folder = write(
        base="kernel: {stop_timeout: 5s}\n"
        "plugins: {store: {config: {url: a, limits: {pause: 2s}, rules: [{pause: 3s}]}}}",
        production="plugins: {store: {required: false, config: {retries: 9}}}",
    )
    name = "TTA__PLUGINS__STORE__CONFIG__LIMITS__PER_MINUTE"
    base, production = f"{folder}/base.yaml", f"{folder}/production.yaml"
    shown = entries(load(folder, "production", {name: "7"}), {"store": Store})
    prefix = "plugins.store"
    assert shown == [
        Entry("kernel.autoload", True, "default"),
        Entry("kernel.start_timeout", "30s", "default"),
        Entry("kernel.stop_timeout", "5s", base),
        Entry("kernel.hook_timeouts", {}, "default"),
        Entry("kernel.log_level", "info", "default"),
        Entry("kernel.log_format", "auto", "default"),
        Entry(f"{prefix}.enabled", True, "default"),
        Entry(f"{prefix}.required", False, production),
        Entry(f"{prefix}.config.url", "a", base),
        Entry(f"{prefix}.config.size", 0, "default"),
        Entry(f"{prefix}.config.timeout", "5s", "default"),
        Entry(f"{prefix}.config.password", "", "default"),
        Entry(f"{prefix}.config.retries", 9, production),
        Entry(f"{prefix}.config.limits.per_minute", "7", name),
        Entry(f"{prefix}.config.limits.pause", "2s", base),
        Entry(f"{prefix}.config.rules", [{"pause": "3s"}], base),
        Entry(f"{prefix}.config.by_name", {}, "default"),
        Entry(f"{prefix}.config.note", None, "default"),
        Entry(f"{prefix}.config.mode", "safe", "default"),
        Entry(f"{prefix}.config.anything", None, "default"),
    ]


def value_of(config: Mapping[str, Any], key: str, type_: type[Struct] | None = None) -> Any:
    types = {"store": type_} if type_ else {}
    values = {entry.key: entry.value for entry in entries(settings_of(config), types)}
    return values[f"plugins.store.config.{key}"]


class Discreet(Strict, frozen=True):
    phrase: Secret = "a default"
    other: Secret | None = None
    phrases: list[Secret] = []
    named: dict[str, Secret] = {}
    headers: dict[str, str] = {}
    key: str = ""
    url: str = ""
    wait: Duration = 0.0


@pytest.mark.parametrize(
    ("config", "key", "value"),
    [
        ({}, "phrase", "a default"),
        ({"phrase": "x"}, "phrase", REDACTED),
        ({"phrase": ["x"]}, "phrase", [REDACTED]),
        ({"phrase": {"file": "missing"}}, "phrase.file", "missing"),
        ({"phrase": {"env": "MISSING"}}, "phrase.env", "MISSING"),
        ({}, "other", None),
        ({"phrases": ["x", "y"]}, "phrases", [REDACTED, REDACTED]),
        ({"named": {"a": "x"}}, "named.a", REDACTED),
        ({"headers": {"Authorization": "x"}}, "headers.Authorization", REDACTED),
        ({"headers": {"Accept": "x"}}, "headers.Accept", "x"),
        ({"key": "orders"}, "key", "orders"),
        ({"headers": {"x.api.key": "x"}}, "headers.x.api.key", REDACTED),
        ({"url": "http://me:pw@example.org/"}, "url", f"http://{REDACTED}@example.org/"),
        ({"wait": "nonsense"}, "wait", "nonsense"),
    ],
)
def test_secrets_are_redacted_where_the_type_is_known(config: dict[str, Any], key: str, value: object) -> None:
    assert value_of(config, key, Discreet) == value


@pytest.mark.parametrize(
    ("value", "shown"),
    [("90s", "90s"), (90, "90s"), (60.0, "1m"), (86400, "1d"), (0.2, "200ms"), (0, 0), (math.inf, math.inf)],
)
def test_a_duration_is_shown_as_a_person_writes_it(value: object, shown: object) -> None:
    assert value_of({"timeout": value}, "timeout", Store) == shown
    assert value_of({}, "size", type("Sized", (Store,), {"__annotations__": {"size": Size}, "size": 2**31})) == "2GiB"


def test_a_missing_value_is_shown_as_missing() -> None:
    assert value_of({}, "url", Store) == "<missing>"


@pytest.mark.parametrize(
    "key",
    ["password", "PASSWORD", "db_password", "passphrase", "client_secret", "token", "access-token",
     "key", "api_key", "apiKey", "key_id", "keys", "credentials", "dsn"],
)  # fmt: skip
@pytest.mark.parametrize("value", ["hunter2", 12345, ["hunter2"], {"a": {"b": "hunter2"}}])
def test_what_looks_secret_is_redacted_where_the_type_is_not_known(key: str, value: Any) -> None:
    shown = entries(settings_of({"nested": {key: value}}), {})
    assert "hunter2" not in str(shown)
    assert "12345" not in str(shown)
    assert REDACTED in str(shown)


@pytest.mark.parametrize(
    ("config", "key", "value"),
    [
        ({"a": {"b": [1, {"c": 2}]}}, "a.b", [1, {"c": 2}]),
        ({"url": "db://me:pw@example/0"}, "url", f"db://{REDACTED}@example/0"),
        ({"urls": ["db://me:p@w@example"]}, "urls", [f"db://{REDACTED}@example"]),
        ({"keyboard": "x", "monkeys_": 1}, "keyboard", "x"),
        ({"password": None}, "password", None),
    ],
)
def test_the_rest_is_shown_as_it_is_where_the_type_is_not_known(
    config: dict[str, Any], key: str, value: object
) -> None:
    assert value_of(config, key) == value


def test_a_plugin_named_like_a_secret_is_shown() -> None:
    settings = LayeredSettings(plugins={"token-store": PluginSettings(config={"a": 1})})
    assert Entry("plugins.token-store.config.a", 1, "default") in entries(settings, {})


def test_a_plugin_without_a_section_shows_its_defaults() -> None:
    shown = entries(LayeredSettings(), {"limits": Limits})
    assert shown[-2:] == [
        Entry("plugins.limits.config.per_minute", 60, "default"),
        Entry("plugins.limits.config.pause", "1s", "default"),
    ]


# What it costs


def test_importing_this_imports_neither_yaml_nor_difflib() -> None:
    program = "import sys, tta_program.config; print({'yaml', 'difflib'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(config_module).parents[1])},
    )
    assert done.stdout.strip() == "set()"
