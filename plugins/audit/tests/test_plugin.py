"""What the plugin records of itself, and what a person sees of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import anyio
import pytest

from tta_access import (
    ACCESS,
    ROLES,
    AccessMemory,
    AccessPlugin,
    Authenticator,
    Config,
    Credentials,
    Denied,
    MemoryKeys,
    asked,
)  # fmt: skip
from tta_audit import (
    AUDIT,
    INSPECT,
    Audit,
    AuditError,
    AuditFile,
    AuditMemory,
    AuditPlugin,
    Entry,
    MemoryAudit,
)  # fmt: skip
from tta_audit import commands as audit_commands
from tta_audit.showing import AuditRequest, Showing
from tta_audit.testing import an_entry
from tta_http import ANONYMOUS, HttpPlugin, HttpProblem, Nothing, Principal
from tta_kernel import Context, Kernel, NoConfig, Plugin
from tta_kernel.testing import running
from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers
from tta_program import CommandRan, LayeredSettings, Subcommands, command_ran
from tta_program import hookspecs as program_hookspecs


class Program(Plugin[NoConfig]):
    """Brings the program's hooks, as the program itself does."""

    hookspecs: ClassVar[ModuleType | None] = program_hookspecs


def kernel_of(*plugins: Any, **how: Any) -> Kernel:
    classes = {"access": AccessPlugin, "access-memory": AccessMemory, "audit": AuditPlugin, "program": Program}
    return running(classes, HttpPlugin, *plugins, **how)


async def until_recorded(audit: Audit, what: str) -> Any:
    with anyio.fail_after(5):
        while not (found := await audit.read(what=what)):
            await anyio.lowlevel.checkpoint()
    return found[0]


async def test_a_command_that_changed_something_is_recorded_with_who_ran_it() -> None:
    async with kernel_of(AuditMemory) as kernel:
        answers = await kernel.ask(command_ran, CommandRan("runs cancel", "run-7", "done"))
        assert answers == {"audit": None}
        await kernel.ask(command_ran, CommandRan("runs cancel", "run-8", "wanting"))
        failed, done = await kernel.get(AUDIT).read()
    assert (done.what, done.target, done.outcome, done.code) == ("command.runs.cancel", "run-7", "done", "")
    assert (failed.target, failed.outcome, failed.code) == ("run-8", "failed", "wanting")
    assert done.who == kernel_user(done.who)
    assert done.kind == "local"


def kernel_user(name: str) -> str:
    assert name.startswith("local:")
    return name


async def test_credentials_that_prove_nothing_are_recorded_without_them() -> None:
    async with kernel_of(AuditMemory) as kernel:
        with pytest.raises(Denied):
            await kernel.get(ACCESS).authenticate(Credentials(authorization="Bearer s3cr3t", peer="192.0.2.7"))
        record = await until_recorded(kernel.get(AUDIT), "access.denied")
    assert (record.outcome, record.code, record.address) == ("refused", "unknown-key", "192.0.2.7")
    assert "s3cr3t" not in repr(record)


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tta")
    audit_commands.add(Subcommands(parser))
    return parser.parse_args(arguments)


async def test_the_commands_list_and_verify_what_was_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"audit-file": {"folder": str(tmp_path / "audit")}}
    async with kernel_of({"audit-file": AuditFile}, configs=config) as kernel:
        for number in range(3):
            await kernel.get(AUDIT).record(an_entry(target=f"run-{number}", owner="anna"))
        for arguments in (
            ("audit", "list", "--json", "--limit", "2"),
            ("audit", "list", "--owner", "anna"),
            ("audit", "verify", "--json"),
            ("audit", "verify"),
        ):
            options = parsed(*arguments)
            assert await options.command.run(kernel, options) == 0
            print("---")
        page, mine, verdicts, shown = capsys.readouterr().out.split("---\n")[:4]
        assert [each["target"] for each in json.loads(page)["records"]] == ["run-2", "run-1"]
        options = parsed("audit", "list", "--before", json.loads(page)["next"])
        assert await options.command.run(kernel, options) == 0
        assert "run-0" in capsys.readouterr().out
        assert mine.count("runs.cancel") == 3
        assert [each["status"] for each in json.loads(verdicts)] == ["whole"]
        assert "whole" in shown
        (file,) = (tmp_path / "audit").glob("*.jsonl")
        data = file.read_bytes()
        file.write_bytes(data.replace(b"run-1", b"run-9"))
        options = parsed("audit", "verify")
        assert await options.command.run(kernel, options) == 1
        assert "a record was changed" in capsys.readouterr().err


@pytest.mark.parametrize("more", [("--before", "x"), ("--limit", "0"), ("--limit", "abc"), ("--limit", "10001")])
def test_what_is_no_cursor_or_number_is_a_mistake_of_usage(more: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parsed("audit", "list", *more)


async def test_a_command_says_that_it_sees_nothing_of_a_record_in_memory(capsys: pytest.CaptureFixture[str]) -> None:
    async with kernel_of(AuditMemory) as kernel:
        for arguments in (("audit", "list"), ("audit", "verify")):
            options = parsed(*arguments)
            assert await options.command.run(kernel, options) == 1
    assert capsys.readouterr().err.count("kept in memory") == 2


async def test_the_routes_show_pages_and_chains() -> None:

    audit = MemoryAudit()
    for number in range(5):
        await audit.record(an_entry(target=f"run-{number}"))
    showing = Showing(lambda: audit)
    first = await showing.page(AuditRequest(limit=3), ANONYMOUS)
    assert first.next is not None
    second = await showing.page(AuditRequest(limit=3, cursor=first.next), ANONYMOUS)
    assert [each.target for each in [*first.items, *second.items]] == [f"run-{number}" for number in (4, 3, 2, 1, 0)]
    assert second.next is None
    assert [each.status for each in (await showing.chains(Nothing(), ANONYMOUS)).chains] == ["whole"]


def test_nobody_may_look_who_may_only_read() -> None:

    allowed = {role: Principal("x", "key", (role,), permissions).may(INSPECT) for role, permissions in ROLES.items()}
    assert allowed == {"viewer": False, "operator": True, "admin": True}


@pytest.mark.boundary("tta_audit.Audit")
@pytest.mark.parametrize("stranger", strangers("async", returns=int), ids=str)
async def test_whatever_a_record_of_somebody_else_s_does_the_hooks_say_so(
    stranger: Stranger,
) -> None:
    class Odd(MemoryAudit):
        async def forget(self, user: str) -> int:
            return await stranger()  # type: ignore[no-any-return]

    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            await asked(AuditError, LIMIT, int, Odd().forget, "anna")
        return
    if stranger.outcome in (Outcome.FAILURE, Outcome.TIME_LIMIT):
        with pytest.raises(AuditError, match=r"^(?!.*anna)"):
            await asked(AuditError, LIMIT, int, Odd().forget, "anna")
        return
    with suppress(AuditError):
        assert isinstance(await asked(AuditError, LIMIT, int, Odd().forget, "anna"), int)


@pytest.mark.parametrize("kind", ["raises", "hangs"])
async def test_a_record_that_fails_is_told_by_whoever_asked_for_it(kind: str) -> None:
    class Odd(MemoryAudit):
        async def record(self, entry: Entry) -> None:
            if kind == "hangs":
                await anyio.sleep_forever()
            raise AuditError("the disk is full")

    class OddAudit(Plugin[NoConfig]):
        provides = (AUDIT,)

        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            ctx.provide(AUDIT, Odd())
            yield

    settings = LayeredSettings(hook_timeouts={"command_ran": LIMIT})
    async with kernel_of({"odd": OddAudit}, settings=settings) as kernel:
        answers = await kernel.ask(command_ran, CommandRan("runs cancel", "run-7", "done"))
    assert isinstance(answers["audit"], AuditError if kind == "raises" else TimeoutError)


async def test_a_handler_answers_503_while_the_plugin_does_not_run() -> None:

    plugin = AuditPlugin(NoConfig())
    route = plugin.routes()[0]

    with pytest.raises(HttpProblem) as caught:
        await route.handler(AuditRequest(), ANONYMOUS)
    assert caught.value.type.status == 503


@pytest.mark.boundary("tta_access.Access")
@pytest.mark.parametrize("stranger", strangers("plain", returns=Principal), ids=str)
async def test_whatever_says_who_ran_a_command_it_is_recorded_or_told(stranger: Stranger) -> None:
    class Odd(Authenticator):
        def local(self) -> Principal:
            return stranger()  # type: ignore[no-any-return]

    class OddAccess(Plugin[NoConfig]):
        provides = (ACCESS,)

        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            ctx.provide(ACCESS, Odd(Config(), MemoryKeys()))
            yield

    classes = {"access": OddAccess, "audit": AuditPlugin, "program": Program}
    kernel = running(classes, HttpPlugin, AuditMemory)
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            async with kernel:
                await kernel.ask(command_ran, CommandRan("runs cancel", "run-7", "done"))
        return
    async with kernel:
        answers = await kernel.ask(command_ran, CommandRan("runs cancel", "run-7", "done"))
        records = await kernel.get(AUDIT).read()
    assert isinstance(answers["audit"], Exception) is not bool(records)
    if stranger.outcome is Outcome.FAILURE:
        assert records == []
