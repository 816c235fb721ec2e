"""What the value of a `Secret` does where it is used, and what it doesn't say where it is shown."""

from __future__ import annotations

import copy
import dataclasses
import hmac
import json
import logging
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import pytest
from msgspec import Meta, Struct

from tta_kernel import PluginSettings, Secret
from tta_program import LayeredSettings, load
from tta_program.logs import Redactor

REDACTED = "<redacted>"
PLAIN = "hunter2-é"


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """What every config Struct is."""


class Login(Strict, frozen=True):
    user: str = "me"
    password: Secret = ""


def decoded(type_: type[Struct], **config: Any) -> Any:
    settings = LayeredSettings(plugins={"store": PluginSettings(config=config)})
    return settings.decode("store", type_)


@pytest.fixture
def secret() -> str:
    password: str = decoded(Login, password=PLAIN).password
    return password


# Where it is shown


def test_the_repr_of_a_config_hides_its_secrets() -> None:
    assert repr(decoded(Login, password=PLAIN)) == f"Login(user='me', password='{REDACTED}')"


def test_an_empty_secret_is_seen_to_be_empty() -> None:
    assert repr(decoded(Login)) == repr(decoded(Login, password="")) == "Login(user='me', password='')"


SHOWS: dict[str, Callable[[str], str]] = {
    "repr": repr,
    "ascii": ascii,
    "an f-string": lambda secret: f"{secret!r}",
    "percent": lambda secret: "%r" % secret,  # noqa: UP031
    "list": lambda secret: str([secret]),
    "dict": lambda secret: str({"a": (secret,)}),
    "dataclass": lambda secret: repr(dataclasses.make_dataclass("Login", ["password"])(secret)),
    "exception": lambda secret: repr(KeyError(secret)),
    "copy": lambda secret: repr(copy.copy(secret)),
    "deepcopy": lambda secret: repr(copy.deepcopy(secret)),
    "pickle": lambda secret: repr(pickle.loads(pickle.dumps(secret))),
}


@pytest.mark.parametrize("shown", SHOWS.values(), ids=SHOWS)
def test_whatever_shows_a_repr_shows_no_secret(secret: str, shown: Callable[[str], str]) -> None:
    text = shown(secret)
    assert "hunter2" not in text
    assert REDACTED in text


def test_a_log_of_a_config_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    config = decoded(Login, password=PLAIN)
    logging.getLogger("test").warning("as %s, as %r, as %r", config, config, config.password)
    assert "hunter2" not in caplog.text
    assert caplog.text.count(REDACTED) == 3


def test_what_is_made_of_a_secret_is_no_secret(secret: str) -> None:
    assert type(str(secret)) is type(f"{secret}") is type(secret.strip()) is str


# Where it is used


USES: dict[str, Callable[[str], str]] = {
    "str": str,
    "an f-string": lambda secret: f"{secret}",
    "format": lambda secret: f"{secret:s}",
    "percent": lambda secret: "%s" % secret,  # noqa: UP031
    "encode": lambda secret: secret.encode().decode(),
    "json": lambda secret: json.loads(json.dumps([secret]))[0],
    "msgspec of str": lambda secret: msgspec.json.decode(msgspec.json.encode(str(secret))),
    "msgspec with a hook": lambda secret: msgspec.json.decode(msgspec.json.encode({"a": secret}, enc_hook=str))["a"],
    "convert": lambda secret: msgspec.convert({"password": secret}, Login).password,
    "deepcopy": lambda secret: copy.deepcopy([secret])[0],
    "pickle": lambda secret: pickle.loads(pickle.dumps({"a": secret}))["a"],
}


@pytest.mark.parametrize("used", USES.values(), ids=USES)
def test_the_value_is_the_plain_text_where_it_is_used(secret: str, used: Callable[[str], str]) -> None:
    assert used(secret) == PLAIN


def test_a_secret_compares_and_hashes_as_its_text(secret: str) -> None:
    assert secret == PLAIN
    assert hash(secret) == hash(PLAIN)
    assert {secret: 1}[PLAIN] == 1
    assert secret + "!" == PLAIN + "!"
    assert quote(secret) == quote(PLAIN)
    assert hmac.compare_digest(secret.encode(), PLAIN.encode())
    assert decoded(Login, password=PLAIN) == Login(password=PLAIN)


def test_a_config_is_not_encoded_with_its_secrets_by_accident() -> None:
    config = decoded(Login, password=PLAIN)
    with pytest.raises(TypeError, match="SecretText"):
        msgspec.json.encode(config)


# Where it stands


class Token(Strict, frozen=True, tag="token"):
    token: Secret


class Basic(Strict, frozen=True, tag="basic"):
    login: Login = Login(password="hunter2")


class Everywhere(Strict, frozen=True):
    optional: Secret | None = None
    listed: list[Secret] = []
    fixed: tuple[Secret, ...] = ()
    named: dict[str, Secret] = {}
    nested: dict[str, list[Login]] = {}
    either: Secret | int = 0
    bounded: Annotated[Secret, Meta(min_length=3)] = "xxx"
    union: Token | Basic | None = None


@pytest.mark.parametrize(
    "config",
    [
        {"optional": "hunter2"},
        {"listed": ["hunter2", "hunter2"]},
        {"fixed": ["hunter2"]},
        {"named": {"a": "hunter2"}},
        {"nested": {"a": [{"password": "hunter2"}]}},
        {"either": "hunter2"},
        {"bounded": "hunter2"},
        {"union": {"type": "token", "token": "hunter2"}},
        {"union": {"type": "basic", "login": {"password": "hunter2"}}},
        {"union": {"type": "basic"}},
    ],
)
def test_a_secret_is_hidden_wherever_it_stands(config: Mapping[str, Any]) -> None:
    found = decoded(Everywhere, **config)
    assert "hunter2" not in repr(found)
    assert REDACTED in repr(found)
    assert "hunter2" in json.dumps(msgspec.to_builtins(found, enc_hook=str))


def test_a_default_is_hidden_as_what_is_written() -> None:
    class Ready(Strict, frozen=True):
        login: Login = Login(password="hunter2")
        more: list[Secret] = msgspec.field(default_factory=lambda: ["hunter2"])
        one: Secret = "hunter2"

    found = decoded(Ready)
    assert found == Ready()
    assert "hunter2" not in repr(found)


def test_a_secret_of_a_file_or_a_variable_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("plugins: {store: {config: {listed: [{file: pw}, {env: PW}], optional: x}}}")
    (tmp_path / "development.yaml").write_text("")
    (tmp_path / "pw").write_text("hunter2\n")
    environ = {"PW": "hunter3", "TTA__PLUGINS__STORE__CONFIG__OPTIONAL": "hunter4"}
    found = load(tmp_path, None, environ).decode("store", Everywhere)
    assert (found.listed, found.optional) == (["hunter2", "hunter3"], "hunter4")
    assert "hunter" not in repr(found)


def test_a_struct_may_work_with_a_secret_while_it_is_made() -> None:
    class Url(Strict, frozen=True):
        url: Secret

        def __post_init__(self) -> None:
            if not self.url.startswith("db://"):
                raise ValueError("url: write db://…")

    assert decoded(Url, url="db://me:hunter2@example").url == "db://me:hunter2@example"


# A password in a URL


class Server(Strict, frozen=True):
    url: str = "db://me:hunter2@example"
    urls: list[str] = []
    options: dict[str, Any] = {}


@pytest.mark.parametrize(
    "config",
    [
        {"url": "db://me:hunter2@example/0?a=b"},
        {"url": "db://:hunt%65r2@example"},
        {"urls": ["db://me:hunter2@example,db://me:hunter2@example"]},
        {"options": {"a": [{"b": "db://hunter2@example"}]}},
        {},
    ],
)
def test_the_repr_of_a_config_hides_the_password_in_a_url(config: Mapping[str, Any]) -> None:
    found = decoded(Server, **config)
    assert "hunter2" not in repr(found)
    assert "hunt%65r2" not in repr(found)
    assert f"db://{REDACTED}@example" in repr(found)
    assert msgspec.to_builtins(found, enc_hook=str) == msgspec.to_builtins(Server(**config))


def test_a_url_without_a_password_is_a_plain_text() -> None:
    assert type(decoded(Server, url="db://example").url) is str


def test_no_log_shows_the_password_of_a_url_alone() -> None:
    settings = LayeredSettings(plugins={"store": PluginSettings(config={"url": "db://me:hunt%65r2@example"})})
    settings.decode("store", Server)
    assert settings.secrets == {"hunt%65r2", "hunter2"}


@pytest.mark.parametrize(
    "shown",
    [
        f"ttak_0123456789_{'aZ9-_' * 8}abc",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzb2ZpYSJ9.c2lnbmF0dXJl_-",
        "-----BEGIN " + "PRIVATE KEY-----\nMIIEvQIBADAN\n-----END PRIVATE KEY-----",
        "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEvQ",
    ],
)
def test_what_looks_like_a_key_or_a_token_is_hidden_whoever_it_belongs_to(shown: str) -> None:
    assert Redactor()(f"got {shown}") == "got <redacted>"


@pytest.mark.parametrize("text", ["ttak_", "eyJ.a.b", "the key is public", "-----BEGIN CERTIFICATE-----"])
def test_what_only_begins_like_one_stays(text: str) -> None:
    assert Redactor()(text) == text
