"""Operators see no text of an agent or a person: not in the log, the audit, figures, events or any route."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import yaml

from tta_diagnostics import ADDRESSES
from tta_http import declared
from tta_kernel import Kernel
from tta_kernel.testing import logged
from tta_notify import NOTIFY
from tta_orchestration import ORCHESTRATION
from tta_orchestration.testing import TURN, checking
from tta_program import load
from tta_safety import REVIEWS, About, Channel, Verdict
from tta_workflows import JOURNAL, RunQuery

from .marks import AGENTS, SAFE, Leaky, Seen

KEY = "9f8a1b6c5d4e3f2a7b0c8d9e1f2a3b4c"
SAID = "Vm4 my own secret words"
RATES = {name: {"per_second": 10_000, "burst": 10_000} for name in ("probe", "read", "write", "costly")}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def blocking(text: str, channel: Channel, about: About) -> Verdict:
    return SAFE if channel == "player" else Verdict("checked", "blocked", 0.9)


def letting_pass(text: str, channel: Channel, about: About) -> Verdict:
    return SAFE


def deployment(folder: Path) -> Path:
    """Write a config with all that operators look at; whoever has the key may read all but people's text."""
    access = {"keys": {"tester": {"key": KEY, "roles": ["looker"]}}, "roles": {"looker": ["*:read"]}}
    plugins = {
        "access": {"config": access},
        "audit-file": {"config": {"folder": str(folder / "audit"), "sync": "never"}},
        "access-file": {"config": {"file": str(folder / "keys.json")}},
        "diagnostics": {
            "enabled": True,
            "config": {"listeners": [{"port": 0}], "drain": 0, "health_interval": 0.05, "rates": RATES},
        },
        "safety-rules": {"enabled": False},
        "notify": {"config": {"need_humans": False}},
        "crisis": {"config": {"need_durable": False}},
        "workflows": {"config": {"workflows": {"turn": TURN}}},
    }
    place = folder / "config"
    place.mkdir()
    (place / "base.yaml").write_text("{}", encoding="utf-8")
    (place / "development.yaml").write_text(yaml.safe_dump({"plugins": plugins}), encoding="utf-8")
    return place


async def looked_at(kernel: Kernel, session: str) -> Mapping[str, str]:
    """Ask every route that only looks, for what is there, and not for its text."""
    known = {"/sessions": [session], "/agents": ["teller"]}
    known["/runs"] = [run.id for run in (await kernel.get(JOURNAL).list(RunQuery())).runs]
    known["/reviews"] = [review.id for review in await kernel.get(REVIEWS).list()]
    known["/notifications"] = [entry.key for entry in (await kernel.get(NOTIFY).page()).entries]
    found = {}
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(kernel.get(ADDRESSES)[0], headers=headers) as http:
        for owned in declared(kernel.hooks).owned:
            route = owned.route
            if route.changes:
                continue
            path = route.path
            value = next(iter(known.get(f"/{path.split('/')[1]}", ())), "nobody")
            for name in route.parameters:
                path = path.replace(f"{{{name}}}", quote(value, safe=""))
            paged: dict[str, Any] = {"limit": "500"} if "limit" in route.request.__struct_fields__ else {}
            body: dict[str, Any] | None = {} if route.method == "POST" else None
            async with http.request(route.method, path, params=paged, json=body) as answer:
                found[f"{route.path}: {answer.status}"] = (await answer.read()).decode(errors="replace")
    return found


@pytest.mark.parametrize("check", [blocking, letting_pass], ids=["blocked", "passed"])
@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.__name__)
async def test_whatever_an_agent_says_operators_see_none_of_it(agent: type[Leaky], check: Any, tmp_path: Path) -> None:
    plugins: dict[str, Any] = {"teller": agent, "checker": checking(check)}
    with logged("") as log:
        async with Kernel(load(deployment(tmp_path), "development", {}), plugins=plugins, installed=True) as kernel:
            response = await kernel.get(ORCHESTRATION).process_user_input(SAID, "s-1", user="anna")
            seen = dict(await looked_at(kernel, "s-1"))
    assert response.verdicts["player"].level == "safe"
    assert {where.partition(": ")[2] for where in seen} <= {"200", "400", "403", "404", "503"}
    assert {"/runs/{id}: 200", "/sessions/{id}: 200", "/metrics: 200"} <= seen.keys()
    if any(verdict.level == "blocked" for verdict in response.verdicts.values()):
        assert {"/reviews/{id}: 200", "/notifications/{id}: 200"} <= seen.keys()
    seen["log"] = "\n".join(log)
    files = [each for each in (tmp_path / "audit").rglob("*") if each.is_file()]
    seen["audit"] = "\n".join(each.read_bytes().decode(errors="replace") for each in files)
    assert Seen({}, seen).leaks([], SAID) == []
