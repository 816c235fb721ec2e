"""Tokens of an issuer, over HTTP from its keys to whoever asks: what counts, and what is while the issuer is away."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import aiohttp
import anyio
import anyio.to_thread
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tta_access import ACCESS, Authenticator, Config, MemoryKeys
from tta_diagnostics import ADDRESSES, DiagnosticsPlugin
from tta_http import HttpPlugin
from tta_kernel import Kernel, KernelSettings, PluginSettings

FIRST = rsa.generate_private_key(65537, 2048)
SECOND = rsa.generate_private_key(65537, 2048)
GIVEN = f"ttak_{secrets.token_urlsafe(32)}"
TTL = 600
AGAIN = 31
"""Seconds after which an issuer that was asked in vain is asked again."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def public(key: rsa.RSAPrivateKey, id: str) -> dict[str, Any]:
    return {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": id, "use": "sig", "alg": "RS256"}


class Issuer:
    """Serves its keys on loopback, slowly or not at all where a test wants that."""

    def __init__(self) -> None:
        self.keys = [public(FIRST, "first")]
        self.status = 200
        self.asked = 0
        self.being_asked = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                issuer.being_asked.set()
                issuer.go_on.wait(30)
                body = json.dumps({"keys": issuer.keys}).encode()
                self.send_response(issuer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/keys"

    def close(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    found = Issuer()
    try:
        yield found
    finally:
        found.close()


class Clock:
    """By which keys grow old; what a token says of its own time is held against the wall's."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def address(issuer: Issuer, clock: Clock) -> AsyncIterator[str]:
    oidc = {
        "issuer": "https://id.example", "audience": "tta", "jwks_url": issuer.url, "jwks_ttl": TTL, "timeout": 1.0,
        "roles": {"readers": ["viewer"], "admins": ["admin"]},
    }  # fmt: skip
    given = {
        "oidc": oidc, "keys": {"platform": {"key": GIVEN, "roles": ["admin"]}}, "cache_ttl": 0.001, "failures": 100,
    }  # fmt: skip
    access = Authenticator(msgspec.convert(given, Config), MemoryKeys(), clock=clock)
    settings = KernelSettings(plugins={"diagnostics": PluginSettings(config={"listeners": [{"port": 0}], "drain": 0})})
    plugins = {"http": HttpPlugin, "diagnostics": DiagnosticsPlugin}
    async with Kernel(settings, plugins=plugins, services={ACCESS: access}) as kernel:
        yield kernel.get(ADDRESSES)[0]


def token(key: Any = FIRST, kid: str = "first", alg: str = "RS256", **claims: Any) -> str:
    now = time.time()
    given = {
        "iss": "https://id.example", "aud": "tta", "sub": "sofia", "exp": now + 300, "iat": now, "roles": ["readers"],
        **claims,
    }  # fmt: skip
    return jwt.encode(given, key, algorithm=alg, headers={"kid": kid})


class Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    retry_after: int


async def ask(address: str, shown: str, path: str = "/plugins") -> Answer:
    headers = {"Authorization": f"Bearer {shown}"} if shown else {}
    async with aiohttp.ClientSession(address) as http, http.get(path, headers=headers) as found:
        return Answer(found.status, await found.read(), int(found.headers.get("Retry-After", 0)))


async def status(address: str, shown: str, path: str = "/plugins") -> int:
    return (await ask(address, shown, path)).status


async def reload(address: str, shown: str) -> int:
    headers = {"Authorization": f"Bearer {shown}"}
    async with aiohttp.ClientSession(address) as http, http.post("/config/reload", headers=headers, json={}) as found:
        return found.status


async def test_a_token_opens_what_its_claims_have_the_roles_for(address: str, issuer: Issuer) -> None:
    assert await status(address, token()) == 200
    assert await reload(address, token()) == 403
    # 409: the config of this kernel is code, which nobody can read again.
    assert await reload(address, token(roles=["readers", "admins"])) == 409
    assert await status(address, token(roles=["unheard-of"])) == 403
    assert await status(address, token(), "/livez") == 200
    assert await status(address, GIVEN) == 200
    assert issuer.asked == 1


@pytest.mark.parametrize(
    "given",
    [
        {"aud": "somebody-else"}, {"aud": []}, {"iss": "https://evil.example"}, {"exp": 1e9},
        {"nbf": 1e11}, {"key": SECOND}, {"kid": "unheard-of"}, {"key": "", "alg": "none"},
        {"key": "x" * 64, "alg": "HS256"}, {"sub": "a\nb"},
    ],
)  # fmt: skip
async def test_a_token_that_is_wrong_in_one_thing_opens_nothing_and_is_not_quoted(
    address: str, given: dict[str, Any]
) -> None:
    shown = token(**given)
    found = await ask(address, shown)
    assert found.status == 401
    assert msgspec.json.decode(found.body)["code"] == "unauthenticated"
    assert not [part for part in shown.split(".") if part and part.encode() in found.body]
    assert await status(address, token()) == 200


async def test_keys_that_an_issuer_changes_are_found_and_those_it_withdraws_end(
    address: str, issuer: Issuer, clock: Clock
) -> None:
    assert await status(address, token()) == 200
    issuer.keys = [public(FIRST, "first"), public(SECOND, "second")]
    clock.now += AGAIN
    assert await status(address, token(SECOND, "second")) == 200
    assert await status(address, token()) == 200
    issuer.keys = [public(SECOND, "second")]
    clock.now += TTL
    assert await status(address, token(SECOND, "second")) == 200
    assert await status(address, token()) == 401


async def test_while_the_issuer_is_away_from_the_start_nobody_can_tell_and_once_it_is_back_all_come_in(
    address: str, issuer: Issuer, clock: Clock
) -> None:
    issuer.status = 503
    found = await ask(address, token())
    assert (found.status, msgspec.json.decode(found.body)["code"]) == (503, "unavailable")
    assert found.retry_after >= AGAIN - 1
    assert await status(address, GIVEN) == 200
    assert await status(address, "", "/livez") == 200
    issuer.status = 200
    clock.now += found.retry_after
    assert await status(address, token()) == 200


async def test_an_issuer_that_goes_away_closes_nobody_out_until_its_keys_are_too_old(
    address: str, issuer: Issuer, clock: Clock
) -> None:
    assert await status(address, token()) == 200
    issuer.status = 500
    clock.now += TTL + 1
    assert await status(address, token()) == 200
    clock.now += TTL
    assert await status(address, token()) == 503


async def test_an_issuer_that_takes_its_time_is_given_up_and_keeps_nobody_waiting_whose_key_is_known(
    address: str, issuer: Issuer, clock: Clock
) -> None:
    assert await status(address, token()) == 200
    issuer.being_asked.clear()
    issuer.go_on.clear()
    clock.now += TTL + 1
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, address, token(sub="anna"))
            assert await anyio.to_thread.run_sync(issuer.being_asked.wait, 10)
            assert await status(address, token(sub="boris")) == 200
            assert not issuer.go_on.is_set()
        assert await status(address, token()) == 200
        clock.now += TTL
        assert await status(address, token()) == 503


async def test_diagnose_asks_with_a_token_as_with_a_key(address: str) -> None:
    command = [sys.executable, "-m", "tta_program", "diagnose", address, "--json"]
    environment = {**os.environ, "TTA_KEY": token()}
    with anyio.fail_after(60):
        done = await anyio.run_process(command, check=False, env=environment, stderr=subprocess.PIPE)
    told = json.loads(done.stdout)
    assert "unauthenticated" not in {each["code"] for each in told["not_told"].values()}, told
