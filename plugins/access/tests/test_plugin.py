"""The plugins, and the commands for keys as a person meets them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from tta_access import (
    ACCESS,
    KEYS,
    ROLES,
    Access,
    AccessError,
    AccessFile,
    AccessMemory,
    AccessPlugin,
    Credentials,
    Denied,
    FileKeys,
)  # fmt: skip
from tta_access import commands as access_commands
from tta_http import HttpPlugin
from tta_kernel import ConfigError, Kernel, PluginError
from tta_kernel.hookspecs import health, snapshot
from tta_kernel.testing import problems, running
from tta_program import Subcommands

# ruff: noqa: ASYNC240  # a test waits for its own files


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "keys.json"


def kernel_of(file: Path, **config: Any) -> Kernel:
    classes = {"access": AccessPlugin, "access-file": AccessFile}
    return running(classes, HttpPlugin, config=config, configs={"access-file": {"file": str(file)}})


async def tta(kernel: Kernel, *arguments: str) -> int:
    parser = argparse.ArgumentParser(prog="tta")
    access_commands.add(Subcommands(parser), ROLES)
    options = parser.parse_args(arguments)
    return int(await options.command.run(kernel, options))


@pytest.mark.parametrize(
    ("key", "why"), [("change-me", "shorter than"), ("change-me-now-please-or-else", "default"), ("ab" * 20, "repeats")]
)
async def test_nothing_starts_with_a_key_that_is_short_or_looks_like_a_default(file: Path, key: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        async with kernel_of(file, keys={"ci": {"key": key, "roles": ["admin"]}}):
            raise AssertionError
    assert key not in str(caught.value)


async def until_denied(access: Access, shown: Credentials) -> None:
    with anyio.fail_after(5):
        while True:
            try:
                await access.authenticate(shown)
            except Denied:
                return


async def test_a_key_that_a_command_made_opens_until_a_command_revokes_it(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with kernel_of(file, cache_ttl=0.001) as kernel, kernel_of(file) as beside:
        assert await tta(beside, "keys", "create", "probe", "--role", "viewer", "--role", "viewer") == 0
        key = capsys.readouterr().out.strip()
        shown = Credentials(authorization=f"Bearer {key}")
        who = await kernel.get(ACCESS).authenticate(shown)
        assert (who.name, who.roles) == ("probe", ("viewer",))
        id = key.split("_")[1]
        assert await tta(beside, "keys", "revoke", id) == 0
        assert await tta(beside, "keys", "revoke", id) == 1
        assert id in capsys.readouterr().err
        await until_denied(kernel.get(ACCESS), shown)


async def test_the_list_shows_no_key_and_no_digest(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with kernel_of(file) as kernel:
        await tta(kernel, "keys", "create", "probe", "--role", "viewer", "--expires", "90d", "--json")
        made = json.loads(capsys.readouterr().out)
        await kernel.get(ACCESS).authenticate(Credentials(diag_key=made["key"]))
        assert await tta(kernel, "keys", "list") == 0
        assert await tta(kernel, "keys", "list", "--json") == 0
        shown = capsys.readouterr().out
        (stored,) = await kernel.get(KEYS).keys()
    assert made["id"] in shown
    assert made["key"] not in shown
    assert stored.digest not in shown
    assert stored.expires_at == pytest.approx(stored.created_at + 90 * 86400)


async def test_when_a_key_was_used_is_written_when_the_plugin_stops(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with kernel_of(file) as kernel:
        await tta(kernel, "keys", "create", "probe", "--role", "viewer")
        await kernel.get(ACCESS).authenticate(Credentials(diag_key=capsys.readouterr().out.strip()))
    (stored,) = await FileKeys(file).keys()
    assert stored.used_at == pytest.approx(stored.created_at, abs=60)


async def test_a_third_key_of_a_principal_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with kernel_of(file) as kernel:
        codes = [await tta(kernel, "keys", "create", "probe", "--role", "viewer") for _ in range(3)]
    assert codes == [0, 0, 1]
    assert "revoke one of them first" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "probe"), ("create", "probe", "--role", "vewer"), ("create", "a b", "--role", "viewer"),
        ("create", "-", "--role", "viewer"), ("create", "probe", "--role", "viewer", "--expires", "soon"),
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_a_usage_error(file: Path, arguments: tuple[str, ...]) -> None:
    async with kernel_of(file) as kernel:
        with pytest.raises(SystemExit) as caught:
            await tta(kernel, "keys", *arguments)
    assert caught.value.code == 2
    assert not file.exists()


async def test_commands_refuse_a_store_in_memory(capsys: pytest.CaptureFixture[str]) -> None:
    async with running({"access": AccessPlugin, "access-memory": AccessMemory}, HttpPlugin) as kernel:
        codes = [
            await tta(kernel, "keys", "create", "probe", "--role", "viewer"),
            await tta(kernel, "keys", "list"),
            await tta(kernel, "keys", "revoke", "x"),
        ]
    assert codes == [1, 1, 1]
    assert capsys.readouterr().err.count("kept in memory") == 3


async def test_a_process_acts_for_the_key_in_its_environment(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kernel_of(file) as kernel:
        assert kernel.get(ACCESS).local().name.startswith("local:")
        await tta(kernel, "keys", "create", "night-shift", "--role", "operator")
    monkeypatch.setenv("TTA_KEY", capsys.readouterr().out.strip())
    async with kernel_of(file) as kernel:
        assert kernel.get(ACCESS).local().name == "night-shift"


async def test_a_wrong_key_in_the_environment_keeps_it_from_starting(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTA_KEY", "s3cr3t-but-wrong")
    with pytest.raises(PluginError, match="TTA_KEY") as caught:
        async with kernel_of(file):
            pass
    assert "s3cr3t" not in str(caught.value)


async def test_a_key_file_that_others_can_read_is_found_by_check_and_keeps_it_from_starting(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with kernel_of(file) as kernel:
        await tta(kernel, "keys", "create", "probe", "--role", "viewer")
    file.chmod(0o644)
    [problem] = problems({"access-file": AccessFile}, config={"file": str(file)})
    assert "chmod 600" in problem


async def test_a_damaged_key_file_keeps_it_from_starting(file: Path) -> None:
    file.parent.mkdir(mode=0o700)
    file.write_bytes(b"{")
    file.chmod(0o600)
    with pytest.raises((AccessError, PluginError), match=r"keys\.json"):
        async with kernel_of(file):
            pass


async def test_health_says_what_is_wrong_with_the_key_file_while_it_runs(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with kernel_of(file) as kernel:
        await tta(kernel, "keys", "create", "probe", "--role", "viewer")
        assert {each.status for each in (await kernel.health()).values()} == {"ok"}
        file.chmod(0o644)
        with pytest.raises(Denied):
            await kernel.get(ACCESS).authenticate(Credentials(diag_key="unknown"))
        answer = (await kernel.ask(health))["access-file"]
        assert not isinstance(answer, Exception)
        assert answer.status == "degraded"
        assert "chmod 600" in answer.detail
        assert (await kernel.ask(snapshot))["access"] == {"access.denied": 1}


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"colour": "blue"}, "colour"),
        ({"roles": {"mine": ["runs"]}}, "roles"),
        ({"keys": {"ci": {"key": "change-me", "roles": ["viewer"]}}}, "keys.ci"),
        ({"anonymous_role": "admin"}, "anonymous_role"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused_before_anything_starts(config: dict[str, Any], where: str) -> None:
    [problem] = problems(AccessPlugin, AccessMemory, config=config)
    assert where in problem
    assert "change-me" not in problem


async def test_a_reload_takes_roles_over_without_a_restart(file: Path) -> None:
    async with kernel_of(file, anonymous_role="") as kernel:
        plugin = kernel.records["access"].plugin
        assert isinstance(plugin, AccessPlugin)
        commit = await plugin.prepare(type(plugin.config)(anonymous_role="viewer"))
        assert not (await kernel.get(ACCESS).authenticate(Credentials())).may("runs:read")
        commit()
        assert (await kernel.get(ACCESS).authenticate(Credentials())).may("runs:read")
