"""What the command tells of a deployment, and writes into a file for a bug report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tta_diagnostics import diagnose as command
from tta_diagnostics.diagnose import ASKED, Told, ask, findings, is_well, rows
from tta_diagnostics.diagnose import _run as diagnose
from tta_kernel import Health, NoConfig, Plugin, hookimpl
from tta_program import Subcommands

from .deployment import Deployment, Serve
from .test_proof import GIVEN, KEYS, PLUGINS


class Ailing(Plugin[NoConfig]):
    @hookimpl
    async def health(self) -> Health:
        return Health("degraded", "disk almost full")


GIVEN_NOTHING = {
    "json": False, "bundle": None, "timeout": 5.0, "ca": None, "certificate": None, "certificate_key": None,
}  # fmt: skip


def options(where: str, **others: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"where": where, **GIVEN_NOTHING, **others})


def ailing(serve: Serve, **others: Any) -> Any:
    return serve(plugins={**PLUGINS, "ailing": Ailing}, configs={"access": GIVEN}, **others)


async def told(deployment: Deployment, monkeypatch: pytest.MonkeyPatch, who: str, **others: Any) -> int:
    monkeypatch.setenv("TTA_KEY", KEYS[who] if who else "")
    return await diagnose(deployment.kernel, options(deployment.addresses[-1], **others))


async def test_it_says_what_is_not_well_and_why(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ailing(serve) as deployment:
        code = await told(deployment, monkeypatch, "viewer")

    lines = [line.split(maxsplit=3) for line in capsys.readouterr().out.splitlines()]
    assert code == 1
    assert lines[1] == ["deployment", "warn"]
    assert lines[2] == ["plugin", "ailing", "warn", "disk almost full"]


async def test_what_somebody_may_not_see_is_said(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ailing(serve) as deployment:
        code = await told(deployment, monkeypatch, "", json=True)

    shown = msgspec.json.decode(capsys.readouterr().out)
    assert (code, shown["status"]) == (1, "warn")
    assert shown["not_told"]["plugins"] == {"code": "unauthenticated", "why": "needs plugins:read"}


async def test_a_key_that_opens_nothing_hides_neither_what_is_wrong_nor_why_it_is_all_that_is_told(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ailing(serve) as deployment:
        monkeypatch.setenv("TTA_KEY", "ttak_0000000000_nobody-ever-had-this-one")
        await diagnose(deployment.kernel, options(deployment.addresses[-1]))

    lines = [line.split(maxsplit=3) for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["deployment", "warn"]
    assert lines[2] == ["plugin", "ailing", "warn"]
    assert [line[:3] for line in lines[3:]] == [["not", "told", "unauthenticated"]]
    assert "TTA_KEY" in lines[3][3]


async def test_while_nobody_can_tell_whose_a_key_is_it_says_which_plugin_fails_and_asks_all_at_once() -> None:
    """As where the keys are in a Redis that is away."""
    asked: list[str] = []
    together = anyio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/readyz":
            assert "Authorization" not in request.headers
            return web.Response(text="[+]access pass\n[-]redis fail\n[+]started pass\nnot ready\n", status=503)
        asked.append(request.path)
        if len(asked) == len(ASKED) - 1:
            together.set()
        await together.wait()
        problem = {"title": "What should answer doesn't run", "code": "unavailable", "detail": "nobody can tell"}
        return web.json_response(problem, status=503, content_type="application/problem+json")

    application = web.Application()
    application.router.add_get("/{tail:.*}", answer)
    async with TestServer(application) as server:
        found = await ask(f"{server.host}:{server.port}", ASKED, key="a-key", within=5)

    shown = [*rows(findings(found, 0.0))]
    assert shown[:2] == [("deployment", "fail", ""), ("plugin redis", "fail", "")]
    assert shown[2][:2] == ("not told", "unavailable")
    assert str(shown[2][2]).endswith("nobody can tell")


def test_a_deployment_that_stops_is_said_to() -> None:
    told = {name: Told(200, {"items": []}) for name in ASKED}
    told["readiness"] = Told(503, "[+]started pass\n[-]not-stopping fail\nnot ready\n")
    told["health"] = Told(503, {"status": "fail"})

    assert [*rows(findings(told, 0.0))] == [("deployment", "fail", ""), ("deployment", "fail", "it is stopping")]


async def test_a_bundle_holds_what_was_told_and_no_secret(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "bundle.json"
    async with ailing(serve) as deployment:
        deployment.kernel.secrets.add("almost")
        await told(deployment, monkeypatch, "admin", bundle=file)

    bundle = msgspec.json.decode(file.read_bytes())
    assert file.stat().st_mode & 0o777 == 0o600
    assert {"health", "plugins", "metrics", "config"} <= bundle.keys()
    assert bundle["plugins"]["body"]["items"]
    assert b"almost" not in file.read_bytes()
    assert all(key.encode() not in file.read_bytes() for key in KEYS.values())


async def test_a_bundle_that_cannot_be_written_is_said(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "gone" / "bundle.json"
    async with ailing(serve) as deployment:
        assert await told(deployment, monkeypatch, "admin", bundle=file) == 1
    assert capsys.readouterr().err == (
        f"tta diagnose: {file} can't be written: No such file or directory; say another --bundle FILE\n"
    )


@pytest.mark.parametrize(
    ("argument", "why"),
    [
        (["ftp://x"], "a URL begins with http:// or https://"),
        (["http://[bad"], "it reads http://HOST:PORT"),
        (["http://127.0.0.1:99999"], "it reads http://HOST:PORT"),
        (["127.0.0.1:abc"], "it reads http://HOST:PORT"),
        (["http://"], "it reads http://HOST:PORT"),
        (["http://x", "--timeout", "abc"], "expected a duration"),
        (["http://x", "--timeout", "0"], "expected more than 0"),
    ],
)
def test_what_nobody_can_ask_is_a_mistake_of_usage(
    argument: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser(prog="tta")
    command.add(Subcommands(parser))
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["diagnose", *argument])
    assert ended.value.code == 2
    assert why in capsys.readouterr().err


async def test_a_socket_is_asked_as_an_address_is(serve: Serve, tmp_path: Path) -> None:
    path = str(tmp_path / "tta.sock")
    async with ailing(serve, listeners=[{"port": 0}, {"socket": path}]):
        found = await ask(path, {"health": "/health"})

    assert found["health"].body == {"status": "warn"}


async def test_nobody_who_answers_is_said(serve: Serve, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with serve() as deployment:
        code = await diagnose(deployment.kernel, options(str(tmp_path / "nothing.sock")))

    assert code == 1
    assert "nothing answers at" in capsys.readouterr().err


def test_slow_agents_dead_letters_and_stuck_runs_are_told() -> None:
    empty = {name: Told(200, {"items": []}) for name in ASKED}
    agents = [
        {
            "address": f"a:{n}",
            "card": {"status": "idle", "timeout": 2.0},
            "statistics": {"calls": 9, "errors": 1, "p95": n / 10},
        }
        for n in range(9)
    ]
    letters = {"queue": "q", "stats": {"dead": 3}, "oldest_dead_at": 900.0}
    full = {"queue": "full", "stats": {"waiting": {"high": 7, "low": 94}, "refused": 5, "oldest_age": 2.5}}
    late = {"queue": "late", "stats": {"waiting": {"low": 1}, "oldest_age": 90.4}}
    given = {
        **empty,
        "health": Told(200, {"status": "pass"}),
        "agents": Told(200, {"items": [*agents, {"address": "b:1", "card": {"status": "degraded"}}]}),
        "messages": Told(200, {"items": [letters, full, late]}),
        "stuck": Told(200, {"items": [{"id": "r-1"}]}),
        "running": Told(200, {"items": [{"id": "r-2", "created_at": 100.0}, {"id": "r-3", "created_at": 990.0}]}),
    }

    shown = [" | ".join(row) for row in rows(findings(given, 1000.0))]

    assert shown == [
        "deployment | pass | ",
        "agent b:1 | degraded | its calls fail: its plugin's log says why",
        *(f"agent a:{n} | p95 {n / 10:.3f} s of at most 2 s | 1 errors in 9 calls" for n in (8, 7, 6, 5, 4)),
        "queue q | 3 dead letters | the oldest for 100 s",
        "queue full | 101 waiting | the oldest for 2 s; 5 were refused",
        "queue late | 1 waiting | the oldest for 90 s; 0 were refused",
        "run r-1 | stuck | GET /runs/r-1/history says what happened",
        "run r-2 | running for long | GET /runs/r-2/history says what happened",
    ]


@pytest.mark.parametrize(
    ("name", "answer", "expected"),
    [
        ("agents", Told(200, {"items": [{"address": "b:1", "card": {"status": "idle"}}]}), True),
        ("sessions", Told(404, error="this server has nothing there", code="not-found"), True),
        ("agents", Told(200, {"items": [{"address": "b:1", "card": {"status": "degraded"}}]}), False),
        ("messages", Told(200, {"items": [{"queue": "q", "stats": {"dead": 1}}]}), False),
        ("messages", Told(200, {"items": [{"queue": "q", "stats": {"waiting": {"low": 101}}}]}), False),
        ("messages", Told(200, {"items": [{"queue": "q", "stats": {"waiting": {"low": 1}, "oldest_age": 61}}]}), False),
        ("stuck", Told(200, {"items": [{"id": "r-1"}]}), False),
        ("plugins", Told(200, {"items": [{"name": "p", "state": "failed"}]}), False),
        ("plugins", Told(403, error="needs plugins:read", code="forbidden"), False),
    ],
)
def test_all_is_well_where_there_is_nothing_to_look_at(name: str, answer: Told, expected: bool) -> None:
    told = {each: Told(200, {"items": []}) for each in ASKED} | {"health": Told(200, {"status": "pass"}), name: answer}

    assert is_well(findings(told, 0.0)) is expected


@pytest.mark.parametrize("body", [None, [], "x", {"items": 7}, {"items": [None]}])
def test_an_answer_of_another_form_is_no_trouble(body: Any) -> None:
    assert findings({name: Told(200, body) for name in ASKED}, 0.0)["status"] == "fail"
