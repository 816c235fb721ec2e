"""How the deployment is: readiness, health, and what an anonymous caller sees of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from tta_kernel import Context, Health, NoConfig, Plugin, hookimpl

from .deployment import Deployment, Serve
from .test_proof import GIVEN, KEYS, PLUGINS


class Ailing(Plugin[NoConfig]):
    """Is as it is told to be."""

    status = "ok"

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        yield

    @hookimpl
    async def health(self) -> Health:
        return Health(type(self).status, "SECRET detail")  # type: ignore[arg-type]


class Hanging(Plugin[NoConfig]):
    """Never says how it is."""

    @hookimpl
    async def health(self) -> Health:
        await anyio.sleep_forever()
        return Health()


def ailing(status: str) -> type[Plugin[NoConfig]]:
    return type("Ailing", (Ailing,), {"status": status})


async def told(deployment: Deployment) -> tuple[int, int, str]:
    return (
        (await deployment.get("/livez")).status,
        (await deployment.get("/readyz")).status,
        (await deployment.get("/health")).json["status"],
    )


async def test_a_deployment_that_is_well_says_so_and_no_more(serve: Serve) -> None:
    async with serve(plugins={"ailing": ailing("ok")}) as deployment:
        answer = await deployment.get("/health")

        assert await told(deployment) == (200, 200, "pass")
        assert answer.headers["Content-Type"] == "application/health+json"
        assert answer.json == {"status": "pass"}


async def test_a_check_that_passes_says_nothing_of_why(serve: Serve) -> None:
    async with serve(plugins={**PLUGINS, "ailing": ailing("degraded")}, configs={"access": GIVEN}) as deployment:
        answer = await deployment.get("/health", Authorization=f"Bearer {KEYS['viewer']}")

    [well], [unwell] = answer.json["checks"]["http"], answer.json["checks"]["ailing"]
    assert (well["status"], "output" in well) == ("pass", False)
    assert (unwell["status"], unwell["output"]) == ("warn", "SECRET detail")


async def test_a_plugin_that_is_degraded_is_a_warning(serve: Serve) -> None:
    async with serve(plugins={"ailing": ailing("degraded")}) as deployment:
        assert await told(deployment) == (200, 200, "warn")


async def test_an_optional_plugin_that_fails_is_a_warning(serve: Serve) -> None:
    async with serve(plugins={"ailing": ailing("failing")}, required={"ailing": False}) as deployment:
        assert await told(deployment) == (200, 200, "warn")


async def test_a_required_plugin_that_comes_to_fail_takes_readiness_away(serve: Serve) -> None:
    plugin = ailing("ok")
    async with serve(plugins={"ailing": plugin}, health_interval=0.05) as deployment:
        assert await told(deployment) == (200, 200, "pass")
        plugin.status = "failing"  # type: ignore[attr-defined]
        with anyio.fail_after(10):
            while (await deployment.get("/readyz")).status == 200:
                await anyio.lowlevel.checkpoint()
        verbose = await deployment.get("/readyz?verbose")
        one = await deployment.get("/readyz/ailing")
        other = await deployment.get("/readyz/http")
        none = await deployment.get("/readyz/nobody")

        assert await told(deployment) == (200, 503, "fail")
    assert b"[-]ailing fail\n" in verbose.body
    assert b"[+]http pass\n" in verbose.body
    assert b"SECRET" not in verbose.body
    assert [each.status for each in (one, other, none)] == [503, 200, 404]


async def test_a_plugin_that_never_says_how_it_is_keeps_nobody_waiting(serve: Serve) -> None:
    async with serve(
        plugins={"hanging": Hanging}, required={"hanging": False}, hook_timeouts={"health": 0.1}
    ) as deployment:
        assert await told(deployment) == (200, 200, "warn")


async def test_until_all_were_asked_it_is_not_ready(serve: Serve) -> None:
    asked = anyio.Event()

    class Slow(Plugin[NoConfig]):
        @hookimpl
        async def health(self) -> Health:
            await asked.wait()
            return Health()

    async with serve(plugins={"slow": Slow}, wait=False) as deployment:
        assert (await deployment.get("/readyz")).status == 503
        asked.set()
        with anyio.fail_after(10):
            while (await deployment.get("/readyz")).status == 503:
                await anyio.lowlevel.checkpoint()
