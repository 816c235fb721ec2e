"""Who comes in over HTTP, with what, and what is recorded of it: with server, keys and audit as in a deployment."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import anyio.lowlevel
import pytest
import trustme

from tta_access import AccessFile, AccessPlugin, FileKeys, Key, digest_of, new_key
from tta_audit import AUDIT, AuditFile, AuditPlugin, Record
from tta_diagnostics import ADDRESSES, DiagnosticsPlugin
from tta_http import HttpPlugin
from tta_kernel import Kernel
from tta_kernel.testing import running

PLUGINS = {
    "http": HttpPlugin, "access": AccessPlugin, "access-file": AccessFile, "audit": AuditPlugin,
    "audit-file": AuditFile, "diagnostics": DiagnosticsPlugin,
}  # fmt: skip
CLIENT = "DNS:probe.example"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def kernel(tmp_path: Path, authority: trustme.CA) -> AsyncIterator[Kernel]:
    server, client_ca = tmp_path / "server.pem", tmp_path / "ca.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(server))
    authority.cert_pem.write_to_path(str(client_ca))
    tls = {"certificate": server, "key": server, "client_ca": client_ca}
    configs: dict[str, Any] = {
        "access": {"cache_ttl": 0.001, "mtls": {CLIENT: ["viewer"]}},
        "access-file": {"file": tmp_path / "state" / "keys.json"},
        "audit-file": {"folder": tmp_path / "audit"},
        "diagnostics": {"listeners": [{"port": 0}, {"port": 0, "tls": tls}], "drain": 0},
    }
    async with running(PLUGINS, configs=configs) as found:
        yield found


@pytest.fixture
def keys(tmp_path: Path) -> FileKeys:
    """Make the keys as `tta keys` does, beside the running system."""
    return FileKeys(tmp_path / "state" / "keys.json")


async def make(keys: FileKeys, role: str) -> tuple[str, str]:
    id, key = new_key()
    await keys.add(Key(id=id, name=role, roles=(role,), digest=digest_of(key), created_at=1.0))
    return id, key


async def status(kernel: Kernel, method: str, path: str, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body: dict[str, str] | None = {} if method == "POST" else None
    async with (
        aiohttp.ClientSession(kernel.get(ADDRESSES)[0]) as http,
        http.request(method, path, headers=named, json=body) as answer,
    ):
        return answer.status


async def recorded(kernel: Kernel, **wanted: str) -> list[Record]:
    return [*await kernel.get(AUDIT).read(**wanted)]  # type: ignore[arg-type]  # none of these is the limit


@pytest.mark.parametrize(
    ("role", "reads", "inspects", "reloads"),
    [("viewer", 200, 403, 403), ("operator", 200, 200, 403), ("admin", 200, 200, 409), ("unheard-of", 403, 403, 403)],
)
async def test_a_key_opens_what_its_role_permits(
    kernel: Kernel, keys: FileKeys, role: str, reads: int, inspects: int, reloads: int
) -> None:
    _, key = await make(keys, role)
    assert await status(kernel, "GET", "/plugins", Authorization=f"Bearer {key}") == reads
    assert await status(kernel, "GET", "/plugins", X_AO_DIAG_KEY=key) == reads
    assert await status(kernel, "GET", "/audit", Authorization=f"Bearer {key}") == inspects
    # 409: the config of this kernel is code, which nobody can read again.
    assert await status(kernel, "POST", "/config/reload", Authorization=f"Bearer {key}") == reloads


async def test_without_a_key_there_is_nothing_but_probes_on_loopback_too(kernel: Kernel) -> None:
    assert [await status(kernel, "GET", path) for path in ("/livez", "/plugins", "/audit")] == [200, 401, 401]
    assert await status(kernel, "POST", "/config/reload") == 401


async def test_who_did_what_is_in_the_audit_and_so_is_who_was_refused(kernel: Kernel, keys: FileKeys) -> None:
    _, viewer = await make(keys, "viewer")
    _, admin = await make(keys, "admin")
    await status(kernel, "POST", "/config/reload", Authorization=f"Bearer {viewer}")
    await status(kernel, "POST", "/config/reload", Authorization=f"Bearer {admin}")
    found = [(each.who, each.outcome) for each in reversed(await recorded(kernel, what="config.reload"))]
    assert found == [("viewer", "refused"), ("admin", "refused")]
    assert [each.status for each in await kernel.get(AUDIT).verify()] == ["whole"]


async def test_a_key_that_is_revoked_beside_it_opens_nothing_any_more(kernel: Kernel, keys: FileKeys) -> None:
    id, key = await make(keys, "viewer")
    assert await status(kernel, "GET", "/plugins", Authorization=f"Bearer {key}") == 200
    await keys.revoke(id)
    assert await status(kernel, "GET", "/plugins", Authorization=f"Bearer {key}") == 401
    with anyio.fail_after(10):  # It is told as an event, and recorded by whoever hears of that.
        while not (found := await recorded(kernel, what="access.denied")):
            await anyio.lowlevel.checkpoint()
    (record,) = found
    assert (record.target, record.code, record.address) == (id, "revoked-key", "127.0.0.1")


async def test_wrong_keys_are_denied_and_after_ten_of_them_told_to_wait(kernel: Kernel, keys: FileKeys) -> None:
    _, good = await make(keys, "viewer")
    assert await status(kernel, "GET", "/plugins", Authorization=f"Bearer {good}") == 200
    found = [await status(kernel, "GET", "/plugins", Authorization=f"Bearer wrong-{number}") for number in range(12)]
    assert found[:10] == [401] * 10
    assert 429 in found[10:]
    # Whoever was known keeps coming in.
    assert await status(kernel, "GET", "/plugins", Authorization=f"Bearer {good}") == 200


async def test_a_client_s_certificate_has_the_roles_of_its_names(
    kernel: Kernel, authority: trustme.CA, tmp_path: Path
) -> None:
    url = kernel.get(ADDRESSES)[1].replace("127.0.0.1", "localhost")
    found = {}
    for who, names in (
        ("probe", ["probe.example"]),
        ("stranger", ["other.example"]),
        ("nobody", []),
    ):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        if names:
            certificate = tmp_path / f"{who}.pem"
            authority.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(str(certificate))
            context.load_cert_chain(certificate)
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(url, connector=connector) as http, http.get("/plugins") as answer:
            found[who] = answer.status
    assert found == {"probe": 200, "stranger": 403, "nobody": 401}
