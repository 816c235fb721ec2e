"""Paths in a config are relative to where they are written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, field

from tta_kernel import ConfigError, ConfigPath, Kernel, KernelSettings, Plugin, PluginSettings, Secret
from tta_program import LayeredSettings, load
from tta_program.effective import Entry, entries

pytestmark = pytest.mark.usefixtures("nothing_installed")


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """What every config Struct is."""


class Pem(Strict, frozen=True):
    cert: ConfigPath = Path("certs/own.pem")
    key: ConfigPath | None = None


class Local(Strict, frozen=True, tag="local"):
    folder: ConfigPath


class Remote(Strict, frozen=True, tag="remote"):
    host: str


class Files(Strict, frozen=True):
    path: ConfigPath = Path("data")
    maybe: ConfigPath | None = None
    many: list[ConfigPath] = field(default_factory=lambda: [Path("one"), Path("/two")])
    named: dict[str, ConfigPath] = {}
    pem: Pem = Pem()
    place: Local | Remote | None = None
    password: Secret = ""
    passwords: list[Secret] = []


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty config folder, which is not the working directory."""
    (tmp_path / "cwd").mkdir()
    (tmp_path / "etc").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "etc"


def read(folder: Path | None, text: str = "", overrides: Mapping[str, Any] | None = None, **environ: str) -> Files:
    if folder:
        config = f"plugins: {{store: {{config: {{{text}}}}}}}"
        (folder / "base.yaml").write_text(config)
        (folder / "development.yaml").write_text("")
    variables = {f"TTA__PLUGINS__STORE__CONFIG__{key.upper()}": value for key, value in environ.items()}
    given = {"plugins": {"store": {"config": overrides}}} if overrides else None
    return load(folder, environ=variables, overrides=given).decode("store", Files)


def problem(folder: Path | None, text: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, text, None, **environ)
    [found] = caught.value.problems
    return str(found)


def test_a_path_in_a_file_is_relative_to_the_file_s_folder(folder: Path) -> None:
    found = read(folder, "path: a/b, maybe: ../c, many: [d], named: {x: e}, pem: {cert: f}")
    assert found.path == folder / "a/b"
    assert found.maybe == folder / "../c"
    assert found.many == [folder / "d"]
    assert found.named == {"x": folder / "e"}
    assert found.pem == Pem(folder / "f")


def test_an_absolute_path_stays_as_it_is(folder: Path) -> None:
    assert read(folder, "path: /srv/data").path == Path("/srv/data")


def test_a_path_is_absolute_where_the_config_folder_is_named_relatively(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert read(Path("etc"), "path: data").path == folder / "data"


def test_a_path_in_a_variable_is_relative_to_the_working_directory(folder: Path) -> None:
    found = read(folder, "path: a, many: [b]", path="c", many="[d]")
    assert (found.path, found.many) == (Path.cwd() / "c", [Path.cwd() / "d"])


def test_a_variable_that_gives_one_path_leaves_the_other_where_it_is(folder: Path) -> None:
    found = read(folder, "pem: {cert: a, key: b}", pem__key="c")
    assert found.pem == Pem(folder / "a", Path.cwd() / "c")


def test_a_key_with_a_dot_is_found_in_its_own_file(folder: Path) -> None:
    found = read(folder, "named: {a.b: c}", named__other="d")
    assert found.named == {"a.b": folder / "c", "other": Path.cwd() / "d"}


def test_a_path_in_overrides_is_relative_to_the_working_directory(folder: Path) -> None:
    found = read(folder, "path: a", {"path": "b", "maybe": Path("c"), "many": [Path("/d")]})
    assert (found.path, found.maybe, found.many) == (Path.cwd() / "b", Path.cwd() / "c", [Path("/d")])


def test_a_default_is_relative_to_the_config_folder(folder: Path) -> None:
    found = read(folder)
    assert (found.path, found.maybe, found.many) == (folder / "data", None, [folder / "one", Path("/two")])
    assert found.pem == Pem(folder / "certs/own.pem")


def test_defaults_in_collections_are_whole_too(folder: Path) -> None:
    class Collections(Strict, frozen=True):
        table: dict[str, ConfigPath] = field(default_factory=lambda: {"a": Path("a"), "b": Path("/b")})
        fixed: tuple[ConfigPath, ...] = (Path("a"),)
        some: frozenset[ConfigPath] = frozenset({Path("a")})
        pairs: tuple[tuple[str, Pem], ...] = (("x", Pem()),)

    read(folder)
    found = load(folder, environ={}).decode("store", Collections)
    assert found == Collections(
        {"a": folder / "a", "b": Path("/b")},
        (folder / "a",),
        frozenset({folder / "a"}),
        (("x", Pem(folder / "certs/own.pem")),),
    )


def test_a_default_is_relative_to_the_working_directory_where_there_is_no_folder(folder: Path) -> None:
    assert read(None).path == Path.cwd() / "data"


def test_settings_from_code_alone_are_relative_to_the_working_directory(folder: Path) -> None:
    settings = LayeredSettings(plugins={"store": PluginSettings(config={"path": "x", "maybe": Path("y")})})
    found = settings.decode("store", Files)
    assert (found.path, found.maybe) == (Path.cwd() / "x", Path.cwd() / "y")


def test_a_path_stands_in_a_member_of_a_union(folder: Path) -> None:
    assert read(folder, "place: {type: local, folder: a}").place == Local(folder / "a")
    assert read(folder, "place: {type: remote, host: a}").place == Remote("a")


def test_a_tilde_is_the_home_folder(folder: Path, tmp_path: Path) -> None:
    found = read(folder, "path: ~/a, many: [a/~/b]", maybe="~/c")
    assert (found.path, found.maybe) == (tmp_path / "home/a", tmp_path / "home/c")
    assert found.many == [folder / "a/~/b"]


def test_a_home_that_is_not_there_is_a_problem(folder: Path) -> None:
    said = problem(folder, "path: ~nobody-of-that-name/a")
    where = f"{folder}/base.yaml: plugins.store.config.path"
    assert said == f"{where}: begins with a home folder that is not there; write an absolute path"


@pytest.mark.parametrize("config", ['path: "a\\0b"', 'many: [a, "a\\0b"]'])
def test_a_path_with_a_nul_is_a_problem(folder: Path, config: str) -> None:
    assert "holds a NUL, which no path may" in problem(folder, config)


@pytest.mark.parametrize("written", ["''", "5", "[a]", "{a: b}", "true", "null", "2024-01-01"])
def test_what_is_no_path_is_a_problem(folder: Path, written: str) -> None:
    said = problem(folder, f"path: {written}")
    assert said.startswith(f"{folder}/base.yaml: plugins.store.config.path: expected a path")


def test_a_path_in_a_variable_is_taken_as_it_is(folder: Path) -> None:
    assert read(folder, "", path="2024-01-01").path == Path.cwd() / "2024-01-01"
    assert read(folder, "", maybe="null").maybe == Path.cwd() / "null"
    assert "expected a path, got an empty text" in problem(folder, "", path="")


def test_the_file_of_a_secret_follows_the_same_rule(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    for place, name in ((folder, "beside"), (Path.cwd(), "here"), (tmp_path / "home", "home")):
        (place / "pw").write_text(name)
    assert read(folder, "password: {file: pw}").password == "beside"
    assert read(folder, "password: {file: ~/pw}").password == "home"
    assert read(folder, "password: {file: other}", password__file="pw").password == "here"
    assert read(folder, "", {"password": {"file": "pw"}}).password == "here"
    assert read(folder, "", {"password": {"file": folder / "pw"}}).password == "beside"
    assert read(folder, "passwords: [{file: pw}]").passwords == ["beside"]


def test_the_config_in_force_shows_whole_paths(folder: Path) -> None:
    read(folder, "path: a, many: [b], named: {x: c}")
    shown = entries(load(folder, environ={"TTA__PLUGINS__STORE__CONFIG__MAYBE": "d"}), {"store": Files})
    values = {entry.key.removeprefix("plugins.store.config."): (entry.value, entry.layer) for entry in shown}
    base = f"{folder}/base.yaml"
    assert values["path"] == (f"{folder}/a", base)
    assert values["many"] == ([f"{folder}/b"], base)
    assert values["named.x"] == (f"{folder}/c", base)
    assert values["maybe"] == (f"{Path.cwd()}/d", "TTA__PLUGINS__STORE__CONFIG__MAYBE")
    assert values["pem.cert"] == (f"{folder}/certs/own.pem", "default")
    assert Entry("plugins.store.config.pem.key", None, "default") in shown


def test_a_kernel_without_the_program_s_reader_gives_paths_too(folder: Path) -> None:
    class Reads(Plugin[Pem]):
        pass

    settings = KernelSettings(plugins={"reads": PluginSettings(config={"cert": "a"})})
    kernel = Kernel(settings, plugins={"reads": Reads})
    plugin = kernel.records["reads"].plugin
    assert plugin is not None
    assert plugin.config == Pem(Path.cwd() / "a")
