"""Secrets: where they may lie, and that nothing says them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from tta_kernel import ConfigError, Secret
from tta_program import LayeredSettings, load

from .common import (
    Store,
    Strict,
    Write,
    decoded,
    problem_in,
    problems_in,
    settings_of,
)


@pytest.mark.parametrize(
    ("content", "secret"),
    [("hunter2\n", "hunter2"), ("hunter2", "hunter2"), ("a\n\n", "a\n"), ("a\r\n", "a"), ("a\r\nb\r\n", "a\r\nb")],
)
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
    class Keeper(Struct, frozen=True, forbid_unknown_fields=True):
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
