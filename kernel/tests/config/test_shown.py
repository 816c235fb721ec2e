"""The config in force, as `tta config` shows it; and what importing its module costs."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tta_kernel import Duration, PluginSettings, Secret, Size
from tta_program import LayeredSettings, load
from tta_program.config import __file__ as config_module
from tta_program.effective import Entry, entries

from .common import (
    REDACTED,
    Limits,
    Store,
    Write,
    settings_of,
)


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
        Entry("kernel.block_warning", "1s", "default"),
        Entry("kernel.import_timeout", "1m", "default"),
        Entry("kernel.quarantine", None, "default"),
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


class Discreet(Struct, frozen=True, forbid_unknown_fields=True):
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


class Fine(Struct, frozen=True, tag="fine"):
    word: Secret = ""


class Coarse(Struct, frozen=True, tag="coarse"):
    word: Secret = ""


class Shaped(Struct, frozen=True):
    one: Secret = ""
    listed: list[Secret] = []
    named: dict[str, Secret] = {}
    nested: dict[str, list[Fine]] = {}
    union: Fine | Coarse | None = None
    size: Size = 0


@pytest.mark.parametrize(
    "config",
    [
        {"one": {"value": "hunter2"}},
        {"one": {"env": "A", "file": "hunter2"}},
        {"listed": "hunter2"},
        {"listed": {"a": "hunter2"}},
        {"named": ["hunter2"]},
        {"named": "hunter2"},
        {"nested": {"a": {"word": "hunter2"}}},
        {"union": "hunter2"},
        {"union": {"word": "hunter2"}},
        {"union": {"type": "finest", "word": "hunter2"}},
        {"union": {"type": ["fine"], "word": "hunter2"}},
    ],
)
def test_a_secret_is_redacted_where_its_shape_is_wrong(config: dict[str, Any]) -> None:
    shown = str(entries(settings_of(config), {"store": Shaped}))
    assert "hunter2" not in shown
    assert REDACTED in shown


def test_a_number_beyond_all_measure_is_shown_as_it_is() -> None:
    assert value_of({"size": 10**400}, "size", Shaped) == 10**400


@pytest.mark.parametrize("types", [{"store": Store}, {}])
def test_a_secret_that_looks_like_a_mapping_is_redacted(types: dict[str, type[Struct]]) -> None:
    settings = load(environ={"TTA__PLUGINS__STORE__CONFIG__PASSWORD": "{abc: hunter2, ghi}"})
    shown = repr(entries(settings, types))
    assert not any(part in shown for part in ("abc", "hunter2", "ghi"))


def test_a_text_that_looks_like_a_mapping_is_shown_as_it_is_written() -> None:
    settings = load(environ={"TTA__PLUGINS__STORE__CONFIG__NOTE": "{abc: def}"})
    shown = {entry.key: entry.value for entry in entries(settings, {"store": Store})}
    assert shown["plugins.store.config.note"] == "{abc: def}"
