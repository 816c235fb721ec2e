"""Secrets and what a person wrote, put everywhere that they can be put, are looked for wherever operators can look.

They come in through config, requests, turns, messages, sessions, events, and the exceptions of plugins. Operators look
into the log, at every route that there is, at problems, figures, the audit's files and the config that is shown.
"""

from __future__ import annotations

import html
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, redirect_stderr
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, quote_plus

import aiohttp
import anyio
import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tta_access import ACCESS, Credentials, Denied
from tta_audit import AUDIT, Entry
from tta_diagnostics import ADDRESSES
from tta_http import Principal, Route, declared
from tta_kernel import Context, Event, Health, Kernel, Plugin, Secret, hookimpl
from tta_messages import FAILED, MESSAGES
from tta_messages.testing import TYPES, note
from tta_metrics import METRICS
from tta_orchestration import ORCHESTRATION
from tta_program import load
from tta_program.logs import setup
from tta_sessions import SESSIONS, Session
from tta_workflows import JOURNAL, RunQuery

KEY = "9f8a1b6c5d4e3f2a7b0c8d9e1f2a3b4c"
ODD = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
"""Quotes, backslashes, per cents, braces, and every script."""


class Said(Event, frozen=True, tag="careless.said"):
    """Somebody said something; the type declares nothing of it as shown."""

    text: str


class Nested(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    inner: Secret = ""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    password: Secret = ""
    passwords: list[Secret] = []
    nested: dict[str, Nested] = {}
    more: dict[str, str] = {}
    url: str = ""


class Asked(msgspec.Struct, frozen=True):
    said: str


class Careless(Plugin[Config]):
    """Does with secrets and texts all that it shouldn't, wherever its code is called."""

    requires = (METRICS,)
    said = ""

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._ctx = ctx
        ctx.on(Said, self._hear)
        figures = ctx.get(METRICS)
        figures.counter("careless_total", "what it counts", labels=("what",)).labels(self.config.password).inc()
        yield

    async def _hear(self, event: Said) -> None:
        raise RuntimeError(self.config.password)

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (Said,)

    @hookimpl
    async def health(self) -> Health:
        raise RuntimeError(f"no login with {self.config.password} at {self.config.url}")

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"careless.config": msgspec.to_builtins(self.config), self.config.password: 1}

    @hookimpl(optionalhook=True)
    def message_types(self) -> Mapping[str, type[msgspec.Struct]]:
        return {name: type for name, type in TYPES.items() if name != FAILED}

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return tuple(
            Route(
                method="POST", path=path, handler=handler, request=Asked, response=Asked, permission="careless:try",
                summary="Try.", example=Asked(""),
            )
            for path, handler in (("/careless/raises", self.raises), ("/careless/nonsense", self.nonsense))
        )  # fmt: skip

    async def raises(self, request: Asked, principal: Principal) -> Asked:
        raise ValueError(f"{request.said} {self.config.password}")

    async def nonsense(self, request: Asked, principal: Principal) -> Asked:
        return request.said  # type: ignore[return-value]  # that is its misbehaviour


def shapes(value: str) -> set[bytes]:
    """Return a text as it may stand somewhere: plain, in JSON, in a URL, in HTML, in a repr."""
    found = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    found |= {ascii(value)[1:-1], quote(value), quote(value, safe=""), quote_plus(value), html.escape(value)}
    found |= {value.lower(), value.upper()}
    return {each.encode() for each in found}


@contextmanager
def logged(secrets: set[str], form: Any) -> Iterator[io.StringIO]:
    """Set the log up as the program does, and catch what it writes."""
    root = logging.getLogger()
    before, level, factory = [*root.handlers], root.level, logging.getLogRecordFactory()
    written = io.StringIO()
    try:
        with redirect_stderr(written):
            setup("debug", form, secrets)
            yield written
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.setLogRecordFactory(factory)


def written_config(folder: Path, secret: str) -> Path:
    config = {
        "password": secret,
        "passwords": [secret, f"{secret}-2"],
        "nested": {"a": {"inner": secret}},
        "more": {"api_key": secret},
        "url": f"https://ops:{quote(secret, safe='')}@example.org/path",
    }
    plugins = {
        "careless": {"config": config},
        "access": {"config": {"keys": {"tester": {"key": KEY, "roles": ["admin"]}}}},
        "audit-file": {"config": {"folder": str(folder / "audit"), "sync": "never"}},
        "access-file": {"config": {"file": str(folder / "keys.json")}},
        "diagnostics": {
            "enabled": True,
            "config": {"listeners": [{"port": 0}], "drain": 0, "health_interval": 0.05, "rates": RATES},
        },
        "crisis": {"config": {"need_durable": False}},
        "notify": {"config": {"need_humans": False}},
        "workflows": {"config": {"workflows": DEFINITIONS}},
    }
    place = folder / "config"
    place.mkdir()
    (place / "base.yaml").write_text("{}", encoding="utf-8")
    (place / "development.yaml").write_text(yaml.safe_dump({"plugins": plugins}, allow_unicode=True), encoding="utf-8")
    return place


RATES = {name: {"per_second": 10_000, "burst": 10_000} for name in ("probe", "read", "write", "costly")}
DEFINITIONS = {
    file.stem: yaml.safe_load(file.read_text(encoding="utf-8"))
    for file in (Path(__file__).parents[1] / "config/workflows").glob("*.yaml")
}


async def put_everywhere(kernel: Kernel, text: str, http: aiohttp.ClientSession) -> list[bytes]:
    """Put a person's text wherever it can come in; return what the server answered."""
    answers = []
    await kernel.get(ORCHESTRATION).process_user_input(text, "s-1", user="u-1")
    await kernel.get(SESSIONS).commit(Session("s-2", user="u-1", context={"said": text, text: 1}))
    await kernel.get(MESSAGES).send(note(text))
    kernel.events.publish(Said(text=text), source="careless")
    await kernel.get(AUDIT).record(Entry(what="x.y", who="ops", kind="key", outcome="done", owner=text))
    with pytest.raises(Denied):
        await kernel.get(ACCESS).authenticate(Credentials(authorization=f"Bearer {text}"))
    whole = quote(text, safe="")
    body = json.dumps({"said": text})
    admin = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    requests: list[tuple[str, str, str | bytes, dict[str, str]]] = [
        ("GET", f"/{whole}", "", {}),
        ("GET", f"/runs/{whole}", "", {}),
        ("GET", f"/plugins?{whole}={whole}", "", {}),
        ("GET", f"/plugins?cursor={whole}", "", {}),
        ("DELETE", f"/plugins/{whole}", "", {}),
        ("GET", "/plugins", "", {"Accept": whole}),
        ("GET", "/plugins", "", {"Authorization": f"Bearer {whole}"}),
        ("GET", "/plugins", "", {"Authorization": whole, "X-Request-Id": whole, "Cookie": f"a={whole}"}),
        ("GET", "/plugins", "", {"Host": "rebound.example", "Origin": f"https://{whole}.example"}),
        ("POST", "/config/reload", json.dumps({"preview": text}), {}),
        ("POST", "/config/reload", json.dumps({text: True}), {}),
        ("POST", "/config/reload", text.encode(), {}),
        ("POST", "/config/reload", body, {"Content-Type": "text/plain"}),
        ("POST", "/careless/raises", body, {}),
        ("POST", "/careless/nonsense", body, {}),
    ]
    for method, path, data, headers in requests:
        async with http.request(method, path, data=data or None, headers={**admin, **headers}) as answer:
            answers.append(await answer.read() + repr(answer.headers).encode())
    return answers


async def seen(kernel: Kernel, http: aiohttp.ClientSession) -> dict[str, bytes]:
    """Ask every route that only looks, as an admin, with the names of what is there."""
    found = {}
    names = {"session": "s-1", "queue": "q", "check": "careless", "name": "turn"}
    runs = [run.id for run in (await _runs(kernel))]
    for owned in declared(kernel.hooks).owned:
        route = owned.route
        if route.changes or route.method != "GET":
            continue
        path = route.path
        for name in route.parameters:
            value = names.get(name) or (
                runs[0] if runs and "run" in path else "s-1" if "session" in path else "careless"
            )
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        paged = {"limit": "500"} if "limit" in route.request.__struct_fields__ else {}
        async with http.get(path, params=paged, headers={"Authorization": f"Bearer {KEY}"}) as answer:
            found[f"{route.path}: {answer.status}"] = await answer.read()
    return found


async def _runs(kernel: Kernel) -> Sequence[Any]:
    return (await kernel.get(JOURNAL).list(RunQuery())).runs


async def look(place: Path, secret: str, text: str, form: str) -> dict[str, bytes]:
    """Run a deployment, and return what can be seen of it, by where."""
    kernel = Kernel(load(place, "development", {}), plugins={"careless": Careless}, installed=True)
    with logged(kernel.secrets, form) as log:
        async with kernel:
            (address,) = kernel.get(ADDRESSES)
            async with aiohttp.ClientSession(address, cookie_jar=aiohttp.DummyCookieJar()) as http:
                answers = await put_everywhere(kernel, text, http)
                logging.getLogger("tta.careless").error("logged in with %s as %r", secret, {"password": secret})
                try:
                    raise RuntimeError(secret)
                except RuntimeError:
                    logging.getLogger("tta.careless").exception("no login")
                with anyio.fail_after(10):
                    while "handler of Said" not in log.getvalue():
                        await anyio.lowlevel.checkpoint()
                found = await seen(kernel, http)
    found["answers"] = b"\n".join(answers)
    found["log"] = log.getvalue().encode()
    found["audit"] = b"".join(each.read_bytes() for each in (place.parent / "audit").rglob("*") if each.is_file())
    return found


@pytest.mark.parametrize("shown", ["{}", "{!r}", "{!a}", "<p>{}</p>"])
def test_what_is_seen_would_be_found(shown: str) -> None:
    value = "Zq9secret'\"\\ä{X"
    assert [each for each in shapes(value) if each in shown.format(value).encode()]


@pytest.mark.parametrize("form", ["human", "json"])
@settings(
    max_examples=5,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.generate],  # To shrink a text that leaks would take minutes, and tell no more.
)
@given(secret=ODD, text=ODD)
def test_no_secret_and_no_person_s_text_is_seen_anywhere(form: str, secret: str, text: str) -> None:
    # Each begins with what stands nowhere by chance; a space at the end would not survive a header.
    secret, text = f"Zq9secret{secret}X", f"Vm4said{text}X"
    with TemporaryDirectory() as folder:
        place = written_config(Path(folder), secret)
        found = anyio.run(partial(look, place, secret, text, form))
    assert {where.partition(": ")[2] for where in found} <= {"", "200", "503", "404"}
    assert b"plugins.careless.config.password" in found["/config: 200"]
    assert b"access.denied" in found["audit"]
    leaks = [
        f"{what} is seen in {where}: {body[max(0, body.find(shape) - 200) :][:400]!r}"
        for where, body in found.items()
        for what, value in (("the secret", secret), ("the text", text), ("the key", KEY))
        for shape in shapes(value)
        if shape in body
    ]
    assert leaks == []
