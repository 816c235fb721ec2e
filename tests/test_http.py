"""The routes of all plugins, served: what the OpenAPI document promises is kept, of what is there and of what isn't."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

import anyio
import anyio.lowlevel
import msgspec
import pytest

from tta_access import ACCESS, Credentials
from tta_agents import AGENTS
from tta_audit import AUDIT, Entry
from tta_breakers import BREAKERS
from tta_crisis import CRISIS
from tta_crisis.testing import disclosure
from tta_diagnostics import ADDRESSES
from tta_http import NOT_FOUND, PUBLIC, Route, declared
from tta_kernel import Kernel, KernelSettings, PluginSettings
from tta_messages import FAILED, MESSAGES, Failure, Message
from tta_notify import NOTIFY, Changed, Notification, Notifier
from tta_notify.links import new_token, with_link
from tta_program import BlockingKernel
from tta_safety import REVIEWS
from tta_safety.testing import review
from tta_sessions import SESSIONS, Session
from tta_tools import TOOL_STORE
from tta_tools.testing import approval
from tta_workflows import WORKFLOWS, Workflows
from tta_world import WORLD, diff
from tta_world.testing import some_world

KEYS = {role: f"ttak_{secrets.token_urlsafe(32)}" for role in ("viewer", "operator", "admin")}
ELSEWHERE = ("redis", "neo4j", "llm-openai", "llm-embedder", "smtp", "file", "play", "orchestration")
"""Parts of names of plugins that need a server, write into somebody's home, or have nothing to serve."""
WORKFLOW_FILES = {
    "asked": {"steps": [{"id": "agreed", "signal": "person", "timeout": "4m"}]},
    "unheard": {"steps": [{"id": "agreed", "signal": "person", "timeout": "1ms"}]},
    "quick": {"steps": [{"id": "pause", "wait": "1ms"}]},
}


@pytest.fixture
def served(root: Path) -> Iterator[BlockingKernel]:
    """Serve what is installed, from memory, and let everybody ask as often as they like."""
    ours = {f"tta-{path.parent.name}" for path in root.glob("plugins/*/pyproject.toml")}
    names = {each.name for each in entry_points(group="tta.plugins") if each.dist and each.dist.name in ours}
    rate = {"per_second": 1_000_000, "burst": 1_000_000}
    plugins = {name: PluginSettings(enabled=not any(part in name for part in ELSEWHERE)) for name in names}
    plugins["access"] = PluginSettings(
        config={"keys": {role: {"key": key, "roles": [role]} for role, key in KEYS.items()}, "failures": 10_000}
    )
    rates = dict.fromkeys(("probe", "read", "write", "costly"), rate)
    plugins["diagnostics"] = PluginSettings(config={"listeners": [{"port": 0}], "drain": 0, "rates": rates})
    plugins["crisis"] = PluginSettings(config={"need_durable": False})
    plugins["notify"] = PluginSettings(config={"need_humans": False, "roster": {"anna": {"addresses": {}}}})
    plugins["tools"] = PluginSettings(config={"allow_tool_execution": True, "allowed_tools": ["math.*", "dice.*"]})
    plugins["tool-policy"] = PluginSettings(config={"preset": "permissive"})
    plugins["workflows"] = PluginSettings(config={"workflows": WORKFLOW_FILES})
    with BlockingKernel(Kernel(KernelSettings(plugins=plugins))) as blocking:
        yield blocking


class Known:
    """What there is to ask for: of each parameter of a path a value that is found, of each body one that counts."""

    def __init__(self) -> None:
        self.parameters: dict[tuple[str, str], str] = {}
        self.bodies: dict[tuple[str, str], Mapping[str, Any]] = {}

    def in_document(self, document: bytes) -> bytes:
        """Return the document with these as examples: schemathesis sends them as they are, and others besides."""
        found: dict[str, Any] = json.loads(document)
        for (method, path), value in self.parameters.items():
            operation = found["paths"][path][method.lower()]
            for parameter in operation["parameters"]:
                if parameter["in"] == "path":
                    parameter["examples"] = {"known": {"value": value}, "unknown": {"value": "nobody"}}
            if (body := self.bodies.get((method, path))) is not None:
                for content in operation["requestBody"]["content"].values():
                    content["examples"] = {"known": {"value": body}}
        return json.dumps(found).encode()


async def settled(workflows: Workflows, run: str, status: str) -> None:
    with anyio.fail_after(20):
        while (found := await workflows.query(run)) is None or found.status != status:
            await anyio.lowlevel.checkpoint()


async def linked(notifier: Notifier, id: str) -> str:
    """Return the token of a link to a notification of that id, as it would be sent."""
    key = (await notifier.notify(Notification(id=id, topic="crisis", severity="critical", subject="a test"))).key
    token = new_token(key)
    while True:
        entry = await notifier.outbox.get(key)
        assert entry is not None
        links = with_link(entry.links, token, "anna", notifier.clock.now() + 3600)
        with suppress(Changed):  # Whoever sends it has been quicker.
            await notifier.outbox.put(msgspec.structs.replace(entry, links=links))
            return token


async def fill(kernel: Kernel) -> Known:
    """Let there be something of all that has an address of its own; what is changed is each route's own."""
    known = Known()
    known.parameters["GET", "/readyz/{check}"] = "started"
    await kernel.get(SESSIONS).commit(Session("s-1", "anna", context={"said": "hello", "turn": 2}))
    for method, path in (
        ("GET", "/sessions/{id}"),
        ("GET", "/sessions/{id}/profile"),
        ("PUT", "/sessions/{id}/profile"),
    ):
        known.parameters[method, path] = "s-1"
    known.bodies["PUT", "/sessions/{id}/profile"] = {"goals": ["sleep"], "pace": "slow"}
    await kernel.get(WORLD).apply("s-1", 0, diff(None, some_world()), "t-1", owner="anna")
    known.parameters["GET", "/worlds/{session}"] = "s-1"
    known.parameters["GET", "/agents/{id}"] = str(kernel.get(AGENTS).served()[0].id)

    messages = kernel.get(MESSAGES)
    for queue in ("letters", "requeued"):
        await messages.send(*(Message.to(queue, FAILED, Failure("a test"), id=f"{queue}-{n}") for n in range(3)))
        for delivery in await messages.receive(queue, limit=3):
            await messages.nack(delivery, error="nobody reads it", permanent=True)
    known.parameters["GET", "/messages/{queue}/dead"] = "letters"
    known.parameters["POST", "/messages/{queue}/requeue"] = "requeued"
    known.bodies["POST", "/messages/{queue}/requeue"] = {"ids": ["requeued-0"]}

    await kernel.get(BREAKERS).trip("agent:closed", "a test")
    kernel.get(BREAKERS).breaker("agent:tripped")
    known.parameters["POST", "/breakers/{name}/reset"] = "agent:closed"
    known.parameters["POST", "/breakers/{name}/trip"] = "agent:tripped"

    workflows = kernel.get(WORKFLOWS)
    await workflows.run("quick", {}, key="done")
    for route in ("", "/history", "/rollback-history"):
        known.parameters["GET", f"/runs/{{id}}{route}"] = "done"
    await workflows.run("unheard", {}, key="retry")
    await workflows.run("quick", {}, key="rollback")
    for deed in ("cancel", "pause", "resume", "signal"):
        await workflows.start("asked", {}, key=deed)
    await workflows.pause("resume")
    await settled(workflows, "resume", "paused")
    for deed in ("cancel", "pause", "resume", "signal", "retry", "rollback"):
        known.parameters["POST", f"/runs/{{id}}/{deed}"] = deed
    known.bodies["POST", "/runs/{id}/signal"] = {"step": "agreed", "data": {"sure": True}}

    for method, deed in ("GET", ""), ("POST", "/acknowledge"), ("POST", "/resolve"):
        (opened, *_) = await kernel.get(CRISIS).open(disclosure(f"r{deed.replace('/', '-')}"))
        known.parameters[method, f"/crises/{{id}}{deed}"] = opened.id
    known.bodies["POST", "/crises/{id}/resolve"] = {"resolution": "helped"}

    for method, deed in ("GET", ""), ("POST", "/acknowledge"):
        alarm = Notification(id=f"n{deed.replace('/', '-')}", topic="crisis", severity="critical", subject="a test")
        await kernel.get(NOTIFY).notify(alarm)
        known.parameters[method, f"/notifications/{{id}}{deed}"] = alarm.id
    known.bodies["POST", "/notifications/{id}/acknowledge"] = {"by": "anna"}
    for method in "GET", "POST":
        known.parameters[method, "/notifications/link/{token}"] = await linked(kernel.get(NOTIFY), f"link-{method}")

    for method in "GET", "DELETE":
        await kernel.get(REVIEWS).add(review(id=f"r-{method}:story"))
        known.parameters[method, "/reviews/{id}"] = f"r-{method}:story"

    known.parameters["POST", "/tools/{name}/dry-run"] = "math.add"
    known.bodies["POST", "/tools/{name}/dry-run"] = {"arguments": {"a": 1, "b": 2}}
    await kernel.get(TOOL_STORE).ask(approval("a-1", asked_at=time.time(), expires_at=time.time() + 3600))
    known.parameters["POST", "/tools/approvals/{id}"] = "a-1"
    known.bodies["POST", "/tools/approvals/{id}"] = {"approved": True}

    for number in range(150):  # more than a page of each list
        await kernel.get(AUDIT).record(
            Entry(what="runs.cancel", who="anna", kind="key", outcome="done", target=str(number))
        )
    return known


# An event that nobody publishes would be waited for each time.
SETTINGS = """\
[[operations]]
include-path = "/events"
parameters = { "query.wait" = 0.01 }
"""


def document(address: str) -> bytes:
    request = Request(f"{address}/openapi.json", headers={"Authorization": f"Bearer {KEYS['viewer']}"})
    with urlopen(request) as answer:
        found: bytes = answer.read()
    return found


def permitted(served: BlockingKernel, role: str) -> Collection[tuple[str, str]]:
    """Return the routes with a parameter in their path that a role may ask for."""
    access = served.kernel.get(ACCESS)
    principal = served.call(access.authenticate, Credentials(diag_key=KEYS.get(role, "")))
    routes = [each.route for each in declared(served.kernel.hooks).owned if each.route.parameters]
    return {
        (each.method, each.path)
        for each in routes
        if each.permission == PUBLIC or access.allowed(principal, each.permission)
    }


def answered(har: Path, routes: Sequence[Route]) -> Mapping[tuple[str, str], set[int]]:
    """Return which statuses each route was answered with."""
    shapes = [(each, re.compile(re.sub(r"\{\w+\}", "[^/]+", each.path))) for each in routes]
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    for entry in json.loads(har.read_bytes())["log"]["entries"]:
        asked = entry["request"]
        path = unquote(urlsplit(asked["url"]).path)
        for route, shape in shapes:
            if asked["method"] == route.method and shape.fullmatch(path):
                found[route.method, route.path].add(entry["response"]["status"])
    return found


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("role", ["", *KEYS])
def test_what_the_document_promises_is_kept(served: BlockingKernel, role: str, tmp_path: Path) -> None:
    """Let schemathesis try each route with each of its checks, as each role."""
    address = served.kernel.get(ADDRESSES)[0]
    known = served.call(fill, served.kernel)
    routes = [each.route for each in declared(served.kernel.hooks).owned if each.route.parameters]
    file, har = tmp_path / "openapi.json", tmp_path / "asked.har"
    file.write_bytes(known.in_document(document(address)))
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    command = [str(Path(sys.executable).with_name("st")), "run", str(file), "--url", address, "--checks", "all"]
    command += ["--max-examples", "3", "--seed", "1", "--no-color", "--report", "har", "--report-har-path", str(har)]
    if role:
        command += ["-H", f"Authorization: Bearer {KEYS[role]}"]

    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=390)

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert {(each.method, each.path) for each in routes} == known.parameters.keys(), "a route that nothing is there for"
    statuses = answered(har, routes)
    may = permitted(served, role)
    for route in routes:
        place = route.method, route.path
        assert any(200 <= status < 300 for status in statuses[place]) is (place in may), (place, statuses[place])
        if NOT_FOUND in route.problems:
            # Others get 404 for what is no path at all.
            assert place not in may or 404 in statuses[place], (place, statuses[place])
