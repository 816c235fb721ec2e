"""A field may declare a variable of its own, such as the one by which it was known before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta, Struct

from tta_kernel import ConfigError, ConfigPath
from tta_program import load
from tta_program.effective import entries

pytestmark = pytest.mark.usefixtures("nothing_installed")


class Inner(Struct, frozen=True, forbid_unknown_fields=True):
    count: Annotated[int, Meta(ge=0, extra={"env": "OLD_COUNT"})] = 1


class Store(Struct, frozen=True, forbid_unknown_fields=True):
    file: Annotated[ConfigPath | None, Meta(extra={"env": "OLD_FILE"})] = None
    inner: Inner = Inner()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text("plugins: {store: {config: {file: own.yaml}}}")
    (tmp_path / "production.yaml").write_text("")
    return tmp_path


def test_it_lies_above_the_files_and_is_relative_to_the_working_directory(folder: Path) -> None:
    settings = load(folder, "production", {"OLD_FILE": "old.yaml", "OLD_COUNT": "7"})

    assert settings.decode("store", Store) == Store(Path("old.yaml").absolute(), Inner(7))


def test_it_lies_below_the_variables_that_every_field_has(folder: Path) -> None:
    own = "TTA__PLUGINS__STORE__CONFIG__FILE"
    settings = load(folder, "production", {"OLD_FILE": "old.yaml", own: "/new.yaml"})

    assert settings.decode("store", Store).file == Path("/new.yaml")


def test_without_it_the_file_counts(folder: Path) -> None:
    assert load(folder, "production", {"OLD_FILE": ""}).decode("store", Store).file == folder / "own.yaml"


def test_set_and_empty_it_counts_only_where_that_means_something(folder: Path) -> None:
    class Allowed(Struct, frozen=True):
        names: Annotated[str | None, Meta(extra={"env": "OLD_NAMES", "empty": True})] = None

    (folder / "base.yaml").write_text("plugins: {store: {config: {names: a}}}")
    assert load(folder, "production", {"OLD_NAMES": ""}).decode("store", Allowed).names == ""
    assert load(folder, "production", {}).decode("store", Allowed).names == "a"


def test_the_config_in_force_says_where_it_came_from(folder: Path) -> None:
    settings = load(folder, "production", {"OLD_FILE": "old.yaml", "OLD_COUNT": "7"})

    for _ in range(2):
        shown = {it.key: (it.value, it.layer) for it in entries(settings, {"store": Store})}

        assert shown["plugins.store.config.file"] == (str(Path("old.yaml").absolute()), "OLD_FILE")
        assert shown["plugins.store.config.inner.count"] == ("7", "OLD_COUNT")


def test_what_is_wrong_with_it_names_the_variable(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^OLD_COUNT: plugins\.store\.config\.inner\.count: expected int"):
        load(folder, "production", {"OLD_COUNT": "many"}).decode("store", Store)
