"""What the command tells of a deployment, and writes into a file for a bug report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tta_diagnostics.diagnose import ASKED, Told, ask, findings, rows
from tta_diagnostics.diagnose import _run as diagnose
from tta_kernel import Health, NoConfig, Plugin, hookimpl

from .deployment import Deployment, Serve
from .test_proof import GIVEN, KEYS, PLUGINS


class Ailing(Plugin[NoConfig]):
    @hookimpl
    async def health(self) -> Health:
        return Health("degraded", "disk almost full")


def options(where: str, **others: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"where": where, "json": False, "bundle": None, "timeout": 5.0, **others})


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
    assert shown["not_told"]["plugins"] == "Nobody knows who asks (unauthenticated)"


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
        {"address": f"a:{n}", "card": {"status": "idle"}, "statistics": {"calls": 9, "errors": 1, "p95": n / 10}}
        for n in range(9)
    ]
    letters = {"queue": "q", "stats": {"dead": 3}, "oldest_dead_at": 900.0}
    given = {
        **empty,
        "health": Told(200, {"status": "pass"}),
        "agents": Told(200, {"items": [*agents, {"address": "b:1", "card": {"status": "degraded"}}]}),
        "messages": Told(200, {"items": [letters]}),
        "stuck": Told(200, {"items": [{"id": "r-1"}]}),
        "running": Told(200, {"items": [{"id": "r-2", "created_at": 100.0}, {"id": "r-3", "created_at": 990.0}]}),
    }

    shown = [" | ".join(row) for row in rows(findings(given, 1000.0))]

    assert shown == [
        "deployment | pass | ",
        "agent b:1 | degraded | its calls fail: its plugin's log says why",
        *(f"agent a:{n} | p95 {n / 10:.3f} s | 1 errors in 9 calls" for n in (8, 7, 6, 5, 4)),
        "queue q | 3 dead letters | the oldest for 100 s",
        "run r-1 | stuck | GET /runs/r-1/history says what happened",
        "run r-2 | running for long | GET /runs/r-2/history says what happened",
    ]


@pytest.mark.parametrize("body", [None, [], "x", {"items": 7}, {"items": [None]}])
def test_an_answer_of_another_form_is_no_trouble(body: Any) -> None:
    assert findings({name: Told(200, body) for name in ASKED}, 0.0)["status"] == "fail"
