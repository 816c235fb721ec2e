"""Files that are wrong: what can't be read in them, and which of their keys."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tta_kernel import ConfigError, KernelSettings, PluginSettings, Problem
from tta_kernel.settings import unknown_plugins
from tta_program import load
from tta_program.config import read
from tta_program.files import parse, read_text

from .common import (
    Store,
    Write,
    load_problem,
    load_problems,
)


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


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("plugin: {}", "plugin: unknown key; did you mean 'plugins'?"),
        ("zzz: {}", "zzz: unknown key; known: kernel, plugins"),
        ("kernel: {autolaod: true}", "kernel.autolaod: unknown key; did you mean 'autoload'?"),
        ("kernel: {source: x}", ("kernel.source: unknown key; known: autoload, block_warning, hook_timeouts, "
         "import_timeout, log_format, log_level, quarantine, start_timeout, stop_timeout")),
        ("kernel: {plugins: {}}", ("kernel.plugins: unknown key; known: autoload, block_warning, hook_timeouts, "
         "import_timeout, log_format, log_level, quarantine, start_timeout, stop_timeout")),
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
    assert [*settings.broken] == ["bad", "worse"]
    assert not settings.complete
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
    assert unknown_plugins(settings, ["here"]) == []


@pytest.mark.parametrize(
    "name",
    ["workflows-redis", "capabilities-redis", "orchestration-redis", "messages-redis", "play-web", "world-neo4j"],
)
def test_what_builds_on_an_installed_plugin_is_no_misspelt_name_of_it(name: str) -> None:
    installed = ["workflows", "capabilities", "orchestration", "messages", "messages-memory", "play", "world"]
    [problem] = unknown_plugins(KernelSettings(plugins={name: PluginSettings()}), installed)
    assert problem.hint == f"install what has it, such as tta-{name}, or take the section out"


@pytest.mark.parametrize("name", ["gone", "sessions", "messages"])
def test_a_section_of_what_is_not_installed_asks_to_install_it(name: str) -> None:
    settings = KernelSettings(plugins={name: PluginSettings()})
    what = "no plugin of that name is installed"
    hint = f"install what has it, such as tta-{name}, or take the section out"
    assert unknown_plugins(settings, INSTALLED) == [Problem(f"plugins.{name}", what, hint)]


def test_a_number_for_a_plugin_s_name_is_a_problem_that_says_what_a_key_is(write: Write) -> None:
    folder = write(base="plugins: {1: {enabled: false}}")
    assert load_problem(folder) == f"{folder}/base.yaml: plugins: expected str as each key, got int"


@pytest.mark.parametrize("value", [".inf", "99999999d", "0"])
@pytest.mark.parametrize("key", ["start_timeout", "stop_timeout"])
def test_a_limit_of_the_kernel_s_that_no_clock_takes_is_a_problem(write: Write, key: str, value: str) -> None:
    folder = write(base=f"kernel: {{{key}: {value}}}")
    assert load_problem(folder).startswith(f"{folder}/base.yaml: kernel.{key}: expected ")


@pytest.mark.parametrize("text", ["[" * 2000 + "]" * 2000, "{a: " * 2000 + "1" + "}" * 2000])
def test_a_file_or_variable_that_goes_too_deep_is_a_problem(write: Write, text: str) -> None:
    what = "cannot be read as YAML: more than 50 mappings and lists lie in each other"
    assert what in load_problem(write(base=f"plugins: {text}"))
    assert what in load_problem(write(base=""), TTA__PLUGINS=text)


@pytest.mark.parametrize("key", ["on", "off", "yes", "No"])
def test_a_key_that_yaml_takes_for_a_truth_is_a_name(key: str) -> None:
    assert parse(f"{key}: {key}", "here") == {key: key.lower() in ("on", "yes")}


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["a pipe", "a device"])
def test_what_never_ends_cannot_be_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "base.yaml")
    with pytest.raises(ValueError, match=r"cannot be read: (nobody writes|it has more than)"):
        read_text(tmp_path / "base.yaml")


def test_a_pipe_with_a_writer_can_be_read() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"hunter2")
    os.close(writer)
    assert read_text(Path(f"/dev/fd/{reader}")) == "hunter2"
    os.close(reader)
