"""TLS, clients' certificates and Unix sockets, as whoever asks sees them, `tta diagnose` too."""

from __future__ import annotations

import json
import os
import secrets
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from cryptography import x509

from tta_access import AccessMemory, AccessPlugin
from tta_audit import AUDIT, AuditMemory, AuditPlugin
from tta_diagnostics import ADDRESSES, DiagnosticsPlugin
from tta_http import HttpPlugin
from tta_kernel import Kernel
from tta_kernel.testing import running

from .certificates import Authority

PLUGINS = {
    "http": HttpPlugin, "access": AccessPlugin, "access-memory": AccessMemory, "audit": AuditPlugin,
    "audit-memory": AuditMemory, "diagnostics": DiagnosticsPlugin,
}  # fmt: skip
PROBE = x509.UniformResourceIdentifier("spiffe://example/probe")
BOTH = (x509.DNSName("night.example"), PROBE)
KEY = f"ttak_{secrets.token_urlsafe(32)}"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def kernel(tmp_path: Path, authority: Authority) -> AsyncIterator[Kernel]:
    server = authority.issue("server", x509.DNSName("localhost"))
    tls = {"certificate": server, "key": server, "client_ca": authority.file}
    access = {
        "mtls": {"URI:spiffe://example/probe": ["viewer"], "DNS:night.example": ["operator"]},
        "keys": {"anna": {"key": KEY, "roles": ["admin"]}},
    }
    listeners = [
        {"port": 0}, {"port": 0, "tls": tls}, {"socket": tmp_path / "plain.sock"},
        {"socket": tmp_path / "tls.sock", "tls": tls},
    ]  # fmt: skip
    configs: dict[str, Any] = {"access": access, "diagnostics": {"listeners": listeners, "drain": 0}}
    async with running(PLUGINS, configs=configs) as found:
        yield found


def trusting(authority: Authority, certificate: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.file)
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


async def status(kernel: Kernel, context: ssl.SSLContext, path: str, method: str = "GET", **headers: str) -> int:
    url = kernel.get(ADDRESSES)[1].replace("127.0.0.1", "localhost")
    connector = aiohttp.TCPConnector(ssl=context)
    body: dict[str, str] | None = {} if method == "POST" else None
    async with (
        aiohttp.ClientSession(url, connector=connector) as http,
        http.request(method, path, headers=headers, json=body) as answer,
    ):
        return answer.status


@pytest.mark.parametrize(
    ("names", "reads", "audits", "reloads"),
    [
        ((PROBE,), 200, 403, 403),
        (BOTH, 200, 200, 403),
        ((x509.DNSName("other.example"),), 403, 403, 403),
        ((), 401, 401, 401),  # It is valid, and names nobody.
    ],
)
async def test_a_certificate_opens_what_its_names_have_the_roles_for(
    kernel: Kernel, authority: Authority, names: tuple[x509.GeneralName, ...], reads: int, audits: int, reloads: int
) -> None:
    context = trusting(authority, authority.issue("client", *names))
    assert await status(kernel, context, "/plugins") == reads
    assert await status(kernel, context, "/audit") == audits
    assert await status(kernel, context, "/config/reload", "POST") == reloads
    assert await status(kernel, context, "/livez") == 200


async def test_without_a_certificate_a_caller_is_anonymous(kernel: Kernel, authority: Authority) -> None:
    assert await status(kernel, trusting(authority), "/plugins") == 401
    assert await status(kernel, trusting(authority), "/livez") == 200


async def test_a_key_counts_beside_a_certificate_and_a_wrong_one_is_not_mended_by_it(
    kernel: Kernel, authority: Authority
) -> None:
    context = trusting(authority, authority.issue("client", PROBE))
    assert await status(kernel, context, "/audit", Authorization=f"Bearer {KEY}") == 200
    assert await status(kernel, trusting(authority), "/audit", Authorization=f"Bearer {KEY}") == 200
    assert await status(kernel, context, "/plugins", Authorization="Bearer wrong") == 401


async def test_what_a_certificate_s_holder_changes_is_in_the_audit_by_its_name(
    kernel: Kernel, authority: Authority
) -> None:
    context = trusting(authority, authority.issue("client", PROBE))
    await status(kernel, context, "/config/reload", "POST")
    [record] = await kernel.get(AUDIT).read(what="config.reload")
    assert (record.who, record.kind, record.outcome) == ("URI:spiffe://example/probe", "mtls", "refused")


async def test_a_certificate_of_another_authority_and_an_expired_one_are_refused_by_tls(
    kernel: Kernel, authority: Authority, tmp_path: Path
) -> None:
    strange = Authority(tmp_path, "strange").issue("forged", PROBE)
    expired = authority.issue("expired", PROBE, days=-1)
    for certificate in (strange, expired):
        with pytest.raises((aiohttp.ClientError, OSError)):
            await status(kernel, trusting(authority, certificate), "/livez")
    assert await status(kernel, trusting(authority), "/livez") == 200


async def test_whoever_speaks_no_tls_there_harms_nobody(kernel: Kernel, authority: Authority) -> None:
    port = int(kernel.get(ADDRESSES)[1].rpartition(":")[2])
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)), anyio.fail_after(10):
            await stream.receive()
    assert await status(kernel, trusting(authority), "/livez") == 200


async def test_only_their_owner_opens_the_sockets(kernel: Kernel, tmp_path: Path) -> None:
    for name in ("plain.sock", "tls.sock"):
        found = (tmp_path / name).stat()
        assert (found.st_mode & 0o777, found.st_uid) == (0o600, os.getuid())


async def diagnosed(*arguments: str | Path, key: str = "") -> tuple[int, str, str]:
    command = [sys.executable, "-m", "tta_program", "diagnose", *map(str, arguments)]
    environment = {**os.environ, "TTA_KEY": key}
    with anyio.fail_after(60):
        done = await anyio.run_process(command, check=False, env=environment, stderr=subprocess.PIPE)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def test_diagnose_asks_as_whoever_has_the_certificate(kernel: Kernel, authority: Authority) -> None:
    url = kernel.get(ADDRESSES)[1].replace("127.0.0.1", "localhost")
    client = authority.issue("client", PROBE)

    known = await diagnosed(url, "--json", "--ca", authority.file, "--certificate", client)
    nobody = await diagnosed(url, "--json", "--ca", authority.file)
    distrusting = await diagnosed(url)

    assert json.loads(known[1])["not_told"] == {}, known
    assert json.loads(nobody[1])["not_told"]["plugins"]["code"] == "unauthenticated"
    assert distrusting[0] == 1
    assert "--ca" in distrusting[2]


async def test_diagnose_says_which_file_it_cannot_use(authority: Authority, tmp_path: Path) -> None:
    code, _, error = await diagnosed("https://localhost:1", "--ca", tmp_path / "none.pem")
    assert code == 1
    assert "none.pem" in error
    assert "Traceback" not in error


async def test_diagnose_takes_an_address_as_the_log_says_it(kernel: Kernel) -> None:
    plain, _, socket, tls = kernel.get(ADDRESSES)
    for where in (plain, socket):
        _, told, error = await diagnosed(where, "--json", key=KEY)
        assert json.loads(told)["not_told"] == {}, (where, error)
    code, _, error = await diagnosed(tls, key=KEY)
    assert (code, "speaks no TLS through a Unix socket" in error) == (2, True)
