from __future__ import annotations

import re

import msgspec
import pytest
from redis.crc import key_slot

from tta_kernel import ConfigError, PluginSettings
from tta_program import LayeredSettings
from tta_redis import ClusterConfig, Config, Redis, SentinelConfig, connect


def settings(**config: object) -> LayeredSettings:
    return LayeredSettings(plugins={"redis": PluginSettings(config=config)})


@pytest.mark.parametrize(
    ("url", "address", "database", "password"),
    [
        ("redis://127.0.0.1", "127.0.0.1:6379", 0, ""),
        ("rediss://u:p%40ss@example.org:7000/3", "example.org:7000", 3, "p@ss"),
        ("redis://[::1]:7000", "[::1]:7000", 0, ""),
        ("unix:///run/redis.sock?db=2", "/run/redis.sock", 2, ""),
    ],
)
def test_a_url_says_where_and_who(url: str, address: str, database: int, password: str) -> None:
    server = Config(url=url).server()
    assert (str(server.address), server.database, server.password) == (address, database, password)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "redis://",
        "redis://:hunter2@example.org:seven",
        "redis://example.org/x",
        "unix://",
        "redis://:hunter2@example.org:99999",
        "redis://:hunter2@example.org:0/0",
        "redis://:hunter2@[example.org]:1/0",
        "redis://:hunter2\u2100@example.org",
        "redis://:hunter2#@example.org",
        "redis://:hunter2@exam ple.org",
        "redis://:hunter2@example.org?db=3",
        "redis://:hunter2@example.org/0#3",
        "rediss://:hunter2@example.org?ssl_cert_reqs=none",
        "unix:///run/redis.sock?database=hunter2",
    ],
)
def test_an_unusable_url_is_a_problem_that_does_not_quote_it(url: str) -> None:
    with pytest.raises(ConfigError, match="url") as caught:
        settings(url=url).decode("redis", Config)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        {"sentinel": {"hosts": ["a"]}, "cluster": {"nodes": ["a"]}},
        {"sentinel": {"hosts": []}},
        {"sentinel": {"hosts": ["a:b"]}},
        {"cluster": {"nodes": ["redis://a"]}},
        {"cluster": {"nodes": ["a"]}, "database": 1},
        {"prefix": "a{b}"},
        {"prefix": ""},
        {"prefix": "tta\n"},
        {"url": "redis://a/5", "cluster": {"nodes": ["a"]}},
        {"sentinel": {"hosts": ["a"], "tls": True}},
        {"tls": {"key": "x"}},
        {"command_timeout": 0},
        {"retry": {"times": -1}},
        {"unknown": 1},
    ],
)
def test_a_config_that_cannot_work_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        settings(**config).decode("redis", Config)


def test_a_config_of_each_kind_is_read() -> None:
    found = settings(sentinel={"hosts": ["a", "b:1"], "master": "m"}, tls={"ca": "x"}).decode("redis", Config)
    assert found.sentinel == SentinelConfig(hosts=("a", "b:1"), master="m")
    found = settings(sentinel={"hosts": ["a"], "tls": True}, tls={}).decode("redis", Config)
    assert found.sentinel is not None
    assert found.sentinel.tls
    assert settings(cluster={"nodes": ["a"]}).decode("redis", Config).cluster == ClusterConfig(nodes=("a",))


@pytest.fixture
async def idle(anyio_backend_name: str) -> Redis:
    async with connect(Config()) as redis:
        return redis


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_keys_of_one_tag_share_a_slot_whatever_they_are_called(idle: Redis) -> None:
    tags = ["x", "a{b}c", "}{", "ä:b", "%7B"]
    for tag in tags:
        slots = {key_slot(idle.key("area", part, tag=tag).encode()) for part in ("a", "{b}", "c}d{", "")}
        assert len(slots) == 1
    assert len({idle.key("area", tag=tag) for tag in tags}) == len(tags)
    assert idle.key("area", "x", tag="t") == "tta:area:{t}:x"


async def test_different_parts_are_different_keys(idle: Redis) -> None:
    parts = [("a:b",), ("a", "b"), ("a%3Ab",), ("a", "", "b"), ("{a}", "b")]
    assert len({idle.key(*each) for each in parts}) == len(parts)
    assert all(re.fullmatch(r"tta(:[^{}\s]*)+", idle.key(*each)) for each in parts)


def test_no_limit_can_be_left_out() -> None:
    limits = [field for field in msgspec.structs.fields(Config) if field.name.endswith("_timeout")]
    assert len(limits) == 3
    for field in limits:
        with pytest.raises(ConfigError):
            settings(**{field.name: None}).decode("redis", Config)
