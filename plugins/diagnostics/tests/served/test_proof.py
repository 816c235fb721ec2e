"""Who asks, what they may, and what is written down of it: with the plugins that judge and keep it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tta_access import ACCESS, AccessMemory, AccessPlugin, Credentials, Denied
from tta_audit import AUDIT, AuditMemory, AuditPlugin, Record
from tta_http import Permission, Principal
from tta_kernel.errors import PluginError
from tta_kernel.isolation import is_interrupt
from tta_kernel.testing.strangers import Outcome, Stranger, strangers
from tta_metrics import METRICS, MetricsPlugin, prometheus_text

from .deployment import Ask, Deployment, Serve, Told, route

KEYS = {name: f"ttak_{secrets.token_urlsafe(32)}" for name in ("viewer", "operator", "admin", "reader")}
PLUGINS: Mapping[str, Any] = {
    "access": AccessPlugin,
    "access-memory": AccessMemory,
    "audit": AuditPlugin,
    "audit-memory": AuditMemory,
    "metrics": MetricsPlugin,
}
GIVEN = {
    "roles": {"reader": ["*:read", "text:read"]},
    "keys": {name: {"key": key, "roles": [name]} for name, key in KEYS.items()},
}


class AskText(Ask, frozen=True):
    text: bool = False


async def cancel(request: Ask, principal: Principal) -> Told:
    return Told(request.id)


ROUTES = (
    route("/runs/{id}", permission="runs:read", request=AskText, reveals="text"),
    route("/runs/{id}/cancel", "POST", permission="runs:cancel", handler=cancel),
    route("/config/reload2", "POST", permission="config:reload", handler=cancel),
)


def deployed(serve: Serve, **others: Any) -> Any:
    return serve(*ROUTES, plugins=PLUGINS, configs={"access": GIVEN}, **others)


async def ask(deployment: Deployment, method: str, path: str, who: str) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {KEYS[who]}"} if who else {}
    answer = await deployment.ask(method, path, headers=headers)
    return answer.status, answer.code if answer.status >= 400 else ""


async def audited(deployment: Deployment) -> Sequence[Record]:
    found = await deployment.kernel.get(AUDIT).read()
    return [each for each in found if not each.what.startswith("audit.")]


@pytest.mark.parametrize(
    ("who", "statuses"),
    [
        ("", [401, 401, 401, 401]),
        ("viewer", [200, 403, 403, 403]),
        ("operator", [200, 200, 403, 403]),
        ("admin", [200, 200, 200, 403]),
        ("reader", [200, 403, 403, 200]),
    ],
)
async def test_each_role_may_what_it_may(serve: Serve, who: str, statuses: list[int]) -> None:
    async with deployed(serve) as deployment:
        found = [
            await ask(deployment, "GET", "/runs/7", who),
            await ask(deployment, "POST", "/runs/7/cancel", who),
            await ask(deployment, "POST", "/config/reload2", who),
            await ask(deployment, "GET", "/runs/7?text=true", who),
        ]

    assert [status for status, _ in found] == statuses


async def test_the_predecessor_s_header_is_understood(serve: Serve) -> None:
    async with deployed(serve) as deployment:
        answer = await deployment.get("/runs/7", X_AO_DIAG_KEY=KEYS["viewer"])

    assert answer.status == 200


async def test_a_wrong_key_is_told_so_even_where_none_is_needed(serve: Serve) -> None:
    async with deployed(serve) as deployment:
        answer = await deployment.get("/health", Authorization="Bearer SECRET")

    assert (answer.status, answer.code) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert b"SECRET" not in answer.body


async def test_whoever_guesses_has_to_wait(serve: Serve) -> None:
    async with deployed(serve) as deployment:
        answers = [await deployment.get("/runs/7", Authorization=f"Bearer {n}") for n in range(12)]

    assert answers[-1].code == "rate-limited"
    assert int(answers[-1].headers["Retry-After"]) > 0


async def test_details_of_health_are_for_those_who_may_read_them(serve: Serve) -> None:
    async with deployed(serve) as deployment:
        nobody = await deployment.get("/health")
        viewer = await deployment.get("/health", Authorization=f"Bearer {KEYS['viewer']}")

    assert nobody.json == {"status": "pass"}
    assert viewer.json["checks"]["access"][0]["status"] == "pass"


async def test_what_changes_something_is_in_the_audit_and_what_only_reads_is_not(serve: Serve) -> None:
    async with deployed(serve) as deployment:
        await ask(deployment, "GET", "/runs/7", "operator")
        await ask(deployment, "POST", "/runs/7/cancel", "operator")
        await ask(deployment, "POST", "/runs/8/cancel", "viewer")
        await ask(deployment, "GET", "/runs/9?text=true", "reader")
        records = await audited(deployment)

    told = {(each.what, each.who, each.outcome, each.target, each.code) for each in records}
    assert told == {
        ("runs.cancel", "operator", "done", "7", ""),
        ("runs.cancel", "viewer", "refused", "", "forbidden"),
        ("text.read", "reader", "done", "9", ""),
    }
    assert all(each.correlation_id and each.address == "127.0.0.1" for each in records)


async def test_requests_are_counted_by_route_and_status(serve: Serve) -> None:
    async with deployed(serve) as deployment:
        await ask(deployment, "GET", "/runs/7", "viewer")
        await ask(deployment, "GET", "/SECRET", "viewer")
        text = prometheus_text(deployment.kernel.get(METRICS)).decode()

    assert 'tta_http_answers_total{route="/runs/{id}",status="200"} 1' in text
    assert 'tta_http_answers_total{route="",status="404"} 1' in text
    assert "tta_http_connections 1" in text
    assert "SECRET" not in text


async def test_others_may_only_come_in_where_somebody_can_prove_who_they_are(serve: Serve) -> None:
    listeners = [{"port": 0}, {"host": "0.0.0.0", "port": 0}]
    async with deployed(serve, listeners=listeners) as deployment:
        assert len(deployment.addresses) == 2
    with pytest.raises(PluginError, match="nobody has a key; make a key by `tta keys create`"):
        async with serve(plugins=PLUGINS, listeners=listeners):
            raise AssertionError


async def test_roles_of_certificates_are_no_proof_where_no_certificate_can_be_shown(serve: Serve) -> None:
    mtls = {"access": {"mtls": {"DNS:probe.example": ["viewer"]}}}
    with pytest.raises(PluginError, match=r"no certificate can be shown there.*listeners\.1\.tls\.client_ca"):
        async with serve(plugins=PLUGINS, configs=mtls, listeners=[{"port": 0}, {"host": "0.0.0.0", "port": 0}]):
            raise AssertionError


class FakeAccess:
    """Knows nobody but strangers."""

    def __init__(self, stranger: Any, recalling: Any = lambda: None) -> None:
        self.stranger = stranger
        self.recalling = recalling

    async def authenticate(self, credentials: Credentials) -> Any:
        return await self.stranger()

    def recall(self, credentials: Credentials) -> Any:
        return self.recalling()

    def allowed(self, principal: Principal, permission: Permission) -> bool:
        return principal.may(permission)

    def agent(self, type: str) -> Principal:
        raise AssertionError

    def local(self) -> Principal:
        raise AssertionError

    async def ways(self) -> Sequence[Any]:
        return ("keys",)


@pytest.mark.parametrize(
    "stranger",
    [
        each
        for each in strangers("async", returns=Principal)
        if each.outcome in (Outcome.FAILURE, Outcome.STOP) and "BaseExceptionGroup" not in each.name
    ],
    ids=str,
)
async def test_who_cannot_be_known_does_not_come_in(serve: Serve, stranger: Stranger) -> None:
    protected = route(permission="things:read")
    services = {ACCESS: FakeAccess(stranger)}
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)) as caught:  # noqa: PT012 - it ends the block
            async with serve(protected, services=services, wait=False) as deployment:
                await deployment.get("/things/7", Authorization="Bearer x")
                await deployment.forever()
        assert is_interrupt(caught.value)
        return
    async with serve(protected, services=services, wait=False) as deployment:
        answer = await deployment.get("/things/7", Authorization="Bearer x")

    assert answer.code in ("unavailable", "unauthenticated")


@pytest.mark.parametrize("stranger", strangers("plain", returns=Principal | None), ids=str)
async def test_whoever_is_recalled_strangely_does_not_come_in(serve: Serve, stranger: Stranger) -> None:
    protected = route(permission="things:read")
    services = {ACCESS: FakeAccess(Stranger("says that nobody is known", Outcome.FAILURE, _deny), stranger)}
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)) as caught:  # noqa: PT012 - it ends the block
            async with serve(protected, services=services, wait=False) as deployment:
                await deployment.get("/things/7", Authorization="Bearer x")
                await deployment.forever()
        assert is_interrupt(caught.value)
        return
    async with serve(protected, services=services, wait=False) as deployment:
        answer = await deployment.get("/things/7", Authorization="Bearer x")

    assert answer.code in ("unavailable", "unauthenticated", "forbidden")


async def _deny() -> Principal:
    raise Denied("unauthenticated", "unknown-key")


class FailingAudit:
    """Can't write."""

    async def record(self, entry: Any) -> None:
        raise OSError("disk full")


async def test_text_is_not_shown_where_that_cannot_be_recorded(serve: Serve) -> None:
    plugins = {name: it for name, it in PLUGINS.items() if not name.startswith("audit")}
    given = {"access": GIVEN}
    async with serve(*ROUTES, plugins=plugins, configs=given, services={AUDIT: FailingAudit()}) as deployment:
        assert (await ask(deployment, "GET", "/runs/7?text=true", "reader")) == (503, "unavailable")
        assert (await ask(deployment, "POST", "/runs/7/cancel", "operator")) == (200, "")
