"""The commands: what a policy says, what another would decide differently, and what runs elsewhere."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import msgspec
import pytest

from tta_audit import AUDIT, AuditFile
from tta_http import Principal
from tta_kernel.testing import running
from tta_program import DONE, WANTING, Subcommands
from tta_tool_policy import POLICY, Config, PolicyStatus, Reloaded, ToolCall, ToolPolicy
from tta_tool_policy.commands import add
from tta_tool_policy.routes import Validated

OLD = """\
version: 1
rules:
  - {id: dice, effect: allow, tools: [dice], roles: [player]}
  - {id: maths, effect: allow, tools: ["math.*"], arguments: {a: {maximum: 10}, token: {in: [hunter2]}}}
  - {id: rest, effect: ask, tools: ["text.*"]}
...
"""
NEW = """\
version: 1
defaults: {timeout: 1s}
rules:
  - {id: maths, effect: allow, tools: ["math.*"], arguments: {a: {maximum: 5}, token: {in: [hunter2]}}}
  - {id: dice, effect: deny, tools: [dice], roles: [player]}
  - {id: new, effect: allow, tools: [time]}
...
"""


async def run(*argv: str, config: Config | None = None) -> int:
    parser = argparse.ArgumentParser()
    add(Subcommands(parser), config or Config())
    options = parser.parse_args(["policy", *argv])
    async with running(ToolPolicy) as kernel:
        return int(await options.command.run(kernel, options))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.yaml"
    path.write_text(OLD)
    return path


@pytest.fixture
def new(tmp_path: Path) -> Path:
    path = tmp_path / "new.yaml"
    path.write_text(NEW)
    return path


async def test_a_policy_is_shown_and_checked(old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("show", str(old)) == DONE
    shown = capsys.readouterr().out
    assert "effect: allow" in shown
    assert "hunter2" not in shown
    assert await run("show", "--json", config=Config(preset="locked_down")) == DONE
    assert json.loads(capsys.readouterr().out)["policy"]["defaults"]["network"] is False
    assert await run("check", str(old)) == DONE
    assert "all good" in capsys.readouterr().out
    assert await run("check", str(tmp_path / "none.yaml")) == WANTING
    assert "No such file" in capsys.readouterr().err


async def test_two_policies_are_compared_rule_by_rule(old: Path, new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("diff", str(old), str(old)) == DONE
    assert capsys.readouterr().out == "both say the same\n"
    assert await run("diff", str(old), str(new)) == WANTING
    assert capsys.readouterr().out.splitlines() == [
        "changed defaults: timeout", "removed rest", "changed maths: arguments", "changed dice: effect", "added new",
        "moved maths", "moved dice",
    ]  # fmt: skip


async def test_recorded_calls_are_decided_anew_and_what_was_not_kept_is_undecidable(
    old: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "audit"
    player = Principal("bo", "key", ("player",))
    calls = [
        ToolCall(tool="dice", version="1.0.0", principal=player),
        ToolCall(tool="dice", version="1.0.0", principal=player, arguments={"sides": 6}),
        ToolCall(tool="dice", version="1.0.0"),
        ToolCall(tool="math.add", version="1.0.0", arguments={"a": 7, "token": "hunter2"}, audit=True),
        ToolCall(tool="math.add", version="1.0.0", arguments={"a": 3, "token": "hunter2"}, audit=True),
        ToolCall(tool="math.add", version="1.0.0", arguments={"a": 3, "token": "hunter2"}),
        ToolCall(tool="time", version="1.0.0"),
    ]
    config, configs = {"file": str(old)}, {"audit-file": {"folder": str(folder), "sync": "never"}}
    async with running(ToolPolicy, AuditFile, config=config, configs=configs) as kernel:
        for call in calls:
            await kernel.get(POLICY).decide(call)
        printed = {"records": await kernel.get(AUDIT).read(), "next": ""}
    exported = tmp_path / "printed.json"
    exported.write_bytes(msgspec.json.encode(printed))
    for records in (folder, exported):
        assert await run("diff", str(old), str(new), "--json", "--against", str(records)) == WANTING
        found = json.loads(capsys.readouterr().out)
        assert found["decided"] == 7
        keys = ("judgement", "target", "before", "after", "times")
        assert sorted(tuple(it[key] for key in keys) for it in found["calls"]) == [
            ("changed", "dice:1.0.0", "allow (dice)", "deny (dice)", 2),
            ("changed", "math.add:1.0.0", "allow (maths)", "deny (default)", 1),
            ("changed", "time:1.0.0", "deny (default)", "allow (new)", 1),
            ("undecidable", "math.add:1.0.0", "?", "?", 1),
        ]  # fmt: skip
    assert await run("diff", str(old), str(old), "--against", str(exported)) == WANTING  # one of them is undecidable
    assert "7 recorded calls, 1 of them not decided the same" in capsys.readouterr().out
    for odd in (tmp_path / "empty", old):
        odd.mkdir() if odd.name == "empty" else None
        assert await run("diff", str(old), str(new), "--against", str(odd)) == WANTING
        assert "record" in capsys.readouterr().err
    # Whatever is named, no more of it is read than memory has room for.
    assert await run("diff", str(old), str(new), "--against", "/dev/zero") == WANTING
    assert "more than 64,000,000 bytes" in capsys.readouterr().err


class System(BaseHTTPRequestHandler):
    """Answers as a running system does; what it was asked stands in ``asked``."""

    asked: ClassVar[list[tuple[str, str, str]]] = []
    status = PolicyStatus(
        source="p.yaml", hash="0f3a", since=1.0, rules=2, watching=False, degraded_since=2.0, problems=("bad",)
    )

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.asked.append((self.command, self.path, body))
        code, found = 200, b"{}"
        if self.headers.get("Authorization") != "Bearer k1":
            code, found = 401, b'{"code": "unauthenticated", "title": "Nobody knows who asks"}'
        elif self.path == "/policy/status":
            found = msgspec.json.encode(self.status)
        elif self.path == "/policy/reload":
            found = msgspec.json.encode(Reloaded(at=1.0, source="p.yaml", hash="beef", ok=True))
        elif self.path == "/policy/validate":
            found = msgspec.json.encode(Validated(ok="maths" in body, problems=[] if "maths" in body else ["wrong"]))
        elif self.path == "/moved/policy/status":
            code = 302
        self.send_response(code)
        self.send_header("Content-Length", str(len(found)))
        self.send_header("Location", "/policy/status")
        self.end_headers()
        self.wfile.write(found)

    do_GET = do_POST = _answer  # noqa: N815 - so the library calls them

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), System) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_a_running_system_is_asked_over_http_with_the_key_of_who_asks(
    url: str, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("status", url) == WANTING
    assert "401: Nobody knows who asks; the key of who asks is to stand in TTA_KEY" in capsys.readouterr().err
    monkeypatch.setenv("TTA_KEY", "k1")
    assert await run("status", url) == WANTING  # it is degraded
    assert "degraded since" in capsys.readouterr().out
    assert await run("reload", url) == DONE
    assert "beef" in capsys.readouterr().out
    assert [await run("validate", str(old), url), await run("validate", str(old.parent / "none"), url)] == [
        DONE,
        WANTING,
    ]
    new.write_text("version: 1\n...\n")  # noqa: ASYNC240 - of a test
    assert await run("validate", str(new), url) == WANTING
    assert "wrong" in capsys.readouterr().err
    assert await run("status", f"{url}/moved") == WANTING
    assert await run("status", "ftp://127.0.0.1") == WANTING
    assert await run("status", "http://127.0.0.1:1") == WANTING
    assert "nothing answers at 127.0.0.1:1" in capsys.readouterr().err
