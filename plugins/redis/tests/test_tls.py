from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import trustme

from tta_redis import Config, RedisDown, Tls, connect
from tta_redis.testing import RedisServer, redis_server


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    stranger.cert_pem.write_to_path(str(folder / "stranger.pem"))
    own = authority.issue_cert("127.0.0.1", "localhost")
    own.private_key_pem.write_to_path(str(folder / "key.pem"))
    own.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    return Tls(ca=folder / "ca.pem", cert=folder / "cert.pem", key=folder / "key.pem")


@pytest.fixture(scope="module")
def encrypted(files: Tls) -> Iterator[RedisServer]:
    with redis_server(tls=files) as server:
        yield server


async def test_both_sides_show_their_certificates(encrypted: RedisServer) -> None:
    async with connect(encrypted.config()) as redis:
        assert await redis.execute("SET", redis.key("a"), "x" * 100_000) == b"OK"
        assert await redis.client.strlen(redis.key("a")) == 100_000
        async with redis.listen("c") as signals:
            await redis.execute("PUBLISH", "c", "x")
            assert await anext(signals) == ("c", b"x")


async def test_a_server_of_another_authority_is_refused_at_once(encrypted: RedisServer, files: Tls) -> None:
    assert files.ca is not None
    stranger = msgspec.structs.replace(files, ca=files.ca.with_name("stranger.pem"))
    async with connect(encrypted.config(tls=stranger)) as redis:
        with pytest.raises(RedisDown, match="its certificate is not trusted"):
            await redis.execute("PING")
    async with connect(encrypted.config(tls=msgspec.structs.replace(stranger, verify=False))) as redis:
        assert await redis.execute("PING") == b"PONG"


async def test_who_shows_no_certificate_is_refused_by_the_server(encrypted: RedisServer, files: Tls) -> None:
    async with connect(encrypted.config(tls=Tls(ca=files.ca), command_timeout=1.0)) as redis:
        with pytest.raises(RedisDown):
            await redis.execute("PING")


async def test_plain_text_to_an_encrypted_port_ends_in_time(encrypted: RedisServer) -> None:
    config = Config(url=encrypted.url.replace("rediss", "redis"), command_timeout=1.0)
    async with connect(config) as redis:
        with pytest.raises(RedisDown, match=f"127.0.0.1:{encrypted.port}"):
            await redis.execute("PING")


async def test_a_unix_socket_is_a_server_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with redis_server("--unixsocket", str(path)):
        async with connect(Config(url=f"unix://{path}?db=3")) as redis:
            assert await redis.execute("SET", redis.key("a"), "x") == b"OK"
            assert b"db=3" in await redis.execute("CLIENT", "INFO")
            assert await redis.client.get(redis.key("a")) == b"x"
