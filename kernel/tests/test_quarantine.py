"""Optional plugins that failed three starts in a row stay out, and are told, until somebody releases them."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tta_kernel import ConfigError, Kernel
from tta_program import LoopWatch, load, reload
from tta_program.quarantine import Quarantine
from tta_program.starts import StartCount

pytestmark = pytest.mark.usefixtures("nothing_installed")

PLUGINS = """
import os, pathlib, sys
from contextlib import asynccontextmanager
import anyio
from tta_kernel import *
import checks_of_shaky as checks

SOURCE = Service[object]("shaky-source")
here = pathlib.Path(os.environ["SHAKY"])

class Good(Plugin[NoConfig]):
    hookspecs = checks

class Shaky(Plugin[NoConfig]):
    provides = (SOURCE,)
    @hookimpl
    async def check_it(self): return "agreed"
    @asynccontextmanager
    async def lifespan(self, ctx):
        if (here / "broken").exists():
            raise OSError("no server at http://me:hunter22@example.org")
        ctx.provide(SOURCE, self)
        yield

class Needs(Plugin[NoConfig]):
    requires = (SOURCE,)

class Hangs(Plugin[NoConfig]):
    @asynccontextmanager
    async def lifespan(self, ctx):
        print("hanging", file=sys.stderr, flush=True)
        await anyio.sleep_forever()
        yield

"""
BLOCKS = """
import time
from contextlib import asynccontextmanager
import anyio
from tta_kernel import *

class Blocks(Plugin[NoConfig]):
    @asynccontextmanager
    async def lifespan(self, ctx):
        await anyio.lowlevel.checkpoint()
        time.sleep(0.6)
        yield
"""
SPECS = """
from tta_kernel import hookspec
@hookspec()
async def check_it() -> str: "Agree?"
"""


class House:
    """A config folder with plugins of which some are optional, and the file that keeps the count."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "starts.json"
        self.broken = folder / "broken"
        self.broken.touch()
        (folder / "base.yaml").write_text(
            "kernel: {autoload: false, quarantine: starts.json, start_timeout: 300ms, block_warning: 100ms}\n"
        )
        self.name("shaky", "needs")

    def name(self, *optional: str, required: str = "good") -> None:
        sections = ", ".join(f"{name}: {{required: false}}" for name in optional)
        (self.folder / "development.yaml").write_text(f"plugins: {{{required}: {{}}, {sections}}}\n")

    def kernel(self) -> Kernel:
        return Kernel(load(self.folder, "development"))

    async def start(self) -> dict[str, str]:
        kernel = self.kernel()
        with StartCount(kernel) as count:
            async with kernel, count.counting():
                return {name: str(record.state) for name, record in kernel.records.items()}

    def counted(self) -> dict[str, int]:
        return {name: each.times for name, each in Quarantine(self.file).read().items()}

    def tta(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tta_program", *arguments]
        environ = os.environ | {"TTA_CONFIG": str(self.folder), "PYTHONPATH": str(self.folder.parent / "site")}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environ, timeout=60)


@pytest.fixture
def house(ship: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    folder = tmp_path / "config"
    folder.mkdir()
    monkeypatch.setenv("SHAKY", str(folder))
    names = ("good", "shaky", "needs", "hangs")
    site = ship("shakies", "\n".join(f"{name} = shakies:{name.title()}" for name in names), PLUGINS)
    ship("blocker", "blocks = blocker:Blocks", BLOCKS)
    (site / "checks_of_shaky.py").write_text(SPECS)
    # Each test has its own.
    for module in ("blocker", "shakies", "checks_of_shaky"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return House(folder)


@pytest.mark.anyio
async def test_three_failed_starts_in_a_row_put_an_optional_plugin_into_quarantine(house: House) -> None:
    for times in (1, 2, 3):
        assert (await house.start())["shaky"] == "failed"
        # What needs it is not to blame.
        assert house.counted() == {"shaky": times}
    house.broken.unlink()

    assert (await house.start())["shaky"] == "failed"

    (problem, *rest) = house.kernel().wiring.warnings
    assert str(problem).startswith(
        "plugin 'shaky': is in quarantine, since it failed 3 starts in a row, the last one so"
    )
    assert "`tta plugins release shaky`" in problem.hint
    assert [str(each) for each in rest] == [
        "plugin 'needs': requires Service('shaky-source') of 'shaky', which can't be used"
    ]


@pytest.mark.anyio
async def test_a_check_of_a_plugin_in_quarantine_has_failed_and_is_not_absent(house: House) -> None:
    house.broken.unlink()
    for _ in range(3):
        Quarantine(house.file).count(failed={"shaky": "no server"})
    async with house.kernel() as kernel:
        answers = await kernel.ask(kernel.hooks.specs()["check_it"])
        health = await kernel.health()
    assert [*answers] == ["shaky"]
    assert str(answers["shaky"]) == "plugin 'shaky': is enabled, but cannot be used"
    assert health["shaky"].status == "degraded"
    assert "is in quarantine" in health["shaky"].detail


@pytest.mark.anyio
async def test_a_successful_start_makes_the_count_begin_anew(house: House) -> None:
    await house.start()
    await house.start()
    house.broken.unlink()
    assert (await house.start())["shaky"] == "running"
    assert house.counted() == {}


@pytest.mark.anyio
async def test_a_start_that_began_before_the_third_failure_ends_the_quarantine(house: House) -> None:
    house.broken.unlink()
    kernel = house.kernel()
    for _ in range(3):
        Quarantine(house.file).count(failed={"shaky": "no server"})
    with StartCount(kernel) as count:
        async with kernel, count.counting():
            assert house.counted() == {}


@pytest.mark.anyio
async def test_who_is_late_because_another_blocks_the_loop_has_not_failed(house: House) -> None:
    house.name("blocks", "hangs")
    kernel = house.kernel()
    with LoopWatch(kernel), StartCount(kernel) as count:
        async with kernel, count.counting():
            assert "by plugin 'blocks' at" in kernel.records["hangs"].reason
    assert "hangs" not in house.counted()


@pytest.mark.anyio
async def test_a_required_plugin_is_never_in_quarantine(house: House) -> None:
    house.name("needs", required="good: {}, shaky")
    for _ in range(4):
        Quarantine(house.file).count(failed={"shaky": "no server"})
    house.broken.unlink()
    assert (await house.start())["shaky"] == "running"


@pytest.mark.anyio
async def test_a_start_that_a_required_plugin_ends_counts_for_nobody(house: House) -> None:
    house.name("needs", required="good: {}, hangs: {}, shaky")
    with pytest.raises(Exception, match="shaky"):
        await house.start()
    assert house.counted() == {}


@pytest.mark.anyio
async def test_a_reload_goes_by_what_was_counted_at_the_start(house: House) -> None:
    for _ in range(2):
        await house.start()
    kernel = house.kernel()
    with StartCount(kernel) as count:
        async with kernel, count.counting():
            assert house.counted() == {"shaky": 3}
            assert (await reload(kernel)).restart_needed == []


def test_a_start_that_the_operator_interrupts_counts_for_nobody(house: House) -> None:
    house.name("shaky", required="good: {}, hangs")
    (house.folder / "base.yaml").write_text("kernel: {autoload: false, quarantine: starts.json}\n")
    environ = os.environ | {"TTA_CONFIG": str(house.folder), "PYTHONPATH": str(house.folder.parent / "site")}
    command = [sys.executable, "-m", "tta_program", "run"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stderr
        assert any("hanging" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert house.counted() == {}


def test_the_program_counts_shows_and_releases(house: House) -> None:
    for _ in range(3):
        environ = os.environ | {"TTA_CONFIG": str(house.folder), "PYTHONPATH": str(house.folder.parent / "site")}
        command = [sys.executable, "-m", "tta_program", "run"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ) as process:
            assert process.stderr
            assert any("running, as" in line for line in process.stderr)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    shown = house.tta("plugins", "--json")
    assert shown.returncode == 1
    plugins = {each["name"]: each for each in json.loads(shown.stdout)["plugins"]}
    assert (plugins["shaky"]["in_quarantine"], plugins["shaky"]["failed_starts"]) == (True, 3)
    assert (plugins["good"]["in_quarantine"], plugins["good"]["failed_starts"]) == (False, 0)
    assert "is in quarantine, since it failed 3 starts in a row" in house.tta("plugins").stdout
    assert "hunter22" not in shown.stdout + house.file.read_text()
    assert house.tta("check").returncode == 1
    assert house.tta("check", "--no-secrets").returncode == 0

    assert house.tta("plugins", "release").returncode == 2
    refused = house.tta("plugins", "release", "shakey")
    assert (refused.returncode, refused.stderr.strip()) == (
        1, "tta plugins release: shakey: no plugin of that name is installed; did you mean 'shaky'?"
    )  # fmt: skip
    released = house.tta("plugins", "release", "shaky")
    assert (released.returncode, released.stdout.strip()) == (0, "shaky: released; the next start tries it")
    assert house.tta("check").returncode == 0
    assert house.tta("plugins", "release", "shaky").returncode == 1


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"\xff\xfe", b"[]", b'{"version": 2}', b'{"plugins": {"shaky": {"times": -1}}}', b'{"plugins": 7}',
     b'{"x": ' + b"[" * 50_000, b"x" * (2 << 20)],
    ids=["empty", "cut", "no UTF-8", "a list", "a later release", "negative", "a number", "nested", "huge"],
)  # fmt: skip
@pytest.mark.anyio
async def test_a_damaged_file_is_told_and_left_and_all_start(house: House, damage: bytes) -> None:
    house.file.write_bytes(damage)
    house.broken.unlink()
    assert (await house.start())["shaky"] == "running"
    assert house.file.read_bytes() == damage
    (problem,) = load(house.folder, "development").uncounted
    assert str(problem).startswith(f"kernel.quarantine: {house.file}: is damaged")


def test_the_program_tells_a_damaged_file(house: House) -> None:
    house.file.write_bytes(b"{")
    checked = house.tta("check")
    assert (checked.returncode, checked.stderr) == (1, "")
    assert checked.stdout.startswith(f"kernel.quarantine: {house.file}: is damaged")
    released = house.tta("plugins", "release", "shaky")
    assert (released.returncode, released.stdout) == (1, "")
    assert "is damaged" in released.stderr


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_told_and_nobody_waits_for_it(house: House, make: Callable[[Path], None]) -> None:
    make(house.file)
    with pytest.raises(ConfigError, match="cannot be read"):
        Quarantine(house.file).read()
    assert load(house.folder, "development").uncounted


def test_the_file_is_its_owners_alone_and_nothing_else_is_left(house: House) -> None:
    Quarantine(house.file).count(failed={"shaky": "half a character \ud800 and \x1b[31m"})
    assert stat.S_IMODE(house.file.stat().st_mode) == 0o600
    assert {each.name for each in house.folder.iterdir() if "starts" in each.name} == {
        "starts.json",
        "starts.json.lock",
    }
    assert house.counted() == {"shaky": 1}


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be"):
        Quarantine(tmp_path / "file" / "starts.json").count(failed={"shaky": "no server"})


def test_processes_that_count_at_once_lose_nothing(house: House) -> None:
    code = (
        "import sys; from pathlib import Path; from tta_program.quarantine import Quarantine\n"
        "for n in range(20): Quarantine(Path(sys.argv[1])).count(failed={'shaky': 'x', sys.argv[2]: 'x'})"
    )
    with ThreadPoolExecutor() as pool:
        done = pool.map(
            lambda n: subprocess.run([sys.executable, "-c", code, house.file, f"p{n}"], check=False).returncode,
            range(3),
        )
        assert [*done] == [0, 0, 0]
    assert house.counted() == {"shaky": 60, "p0": 20, "p1": 20, "p2": 20}
