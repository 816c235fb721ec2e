"""The command ``tta`` as its user meets it: a process with exit codes, pipes and signals."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tta_kernel import Kernel
from tta_program import Subcommands
from tta_program.__main__ import main

Ship = Callable[..., Path]
Done = subprocess.CompletedProcess[str]
PLUGIN = "from tta_kernel import *\nclass P(Plugin[NoConfig]): pass\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a config folder in which only what is named runs."""
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "base.yaml").write_text("kernel: {autoload: false, log_format: json}\n")
    (folder / "development.yaml").write_text("")
    return folder


def environment(folder: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TTA_")}
    return {**kept, "TTA_CONFIG": str(folder), "PYTHONPATH": str(folder.parent / "site")}


def tta(folder: Path, *arguments: str) -> Done:
    command = [sys.executable, "-m", "tta_program", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment(folder), timeout=30)


def name_them(folder: Path, *names: str, required: bool = True) -> None:
    sections = ", ".join(f"{name}: {{required: {str(required).lower()}}}" for name in names)
    (folder / "development.yaml").write_text(f"plugins: {{{sections}}}\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["plugins"], ["config", "--json"], ["say", "it", "hello"]])
def test_a_reader_that_stops_reading_is_no_error(
    folder: Path, ship: Ship, arguments: list[str], unbuffered: str
) -> None:
    ship("speaking", "speaking = speaking:P", COMMAND)
    name_them(folder, "speaking")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "tta_program", *arguments]
    env = {**environment(folder), "PYTHONUNBUFFERED": unbuffered}
    process = subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE, env=env, text=True)
    os.close(writer)
    _, errors = process.communicate(timeout=30)
    assert errors == ""
    assert process.returncode == 141


def test_a_pipe_of_a_plugin_s_own_that_breaks_is_an_error(folder: Path, ship: Ship) -> None:
    ship("speaking", "speaking = speaking:P", COMMAND.replace("async def say(", "async def quiet(").replace(
        "KEY =", "async def say(kernel, options): raise BrokenPipeError('of a server')\nKEY ="))  # fmt: skip
    name_them(folder, "speaking")
    done = tta(folder, "say", "it", "hello")
    assert done.returncode == 1
    assert "BrokenPipeError: of a server" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["--", "check"], ["--env", "development", "check"], ["--env=development", "--", "check"]]
)
def test_options_and_dashes_may_stand_before_the_command(folder: Path, arguments: list[str]) -> None:
    done = tta(folder, *arguments)
    assert done.returncode == 0
    assert done.stdout == f"{folder}, environment 'development': 0 plugins are ready to start\n"


def test_dashes_may_stand_before_run(folder: Path) -> None:
    (folder / "development.yaml").write_text("kernel: {autolod: true}")
    done = tta(folder, "--", "run")
    assert done.returncode == 3
    assert done.stderr.startswith("tta run: could not start:\n")


LIFESPAN = """
import sys, time
from contextlib import asynccontextmanager
import anyio
from tta_kernel import *


class P(Plugin[NoConfig]):
    @asynccontextmanager
    async def lifespan(self, ctx):
        {enter}
        try:
            yield
        finally:
            {leave}
"""


def lifespan(enter: str = "pass", leave: str = "pass") -> str:
    return LIFESPAN.format(enter=enter, leave=leave)


def test_plugins_lists_what_is_installed_and_what_becomes_of_it(folder: Path, ship: Ship) -> None:
    ship("shown", "shown = shown:P", PLUGIN)
    ship("idle", "idle = idle:P", "raise OSError('imported')")
    name_them(folder, "shown")
    done = tta(folder, "plugins")
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines()}
    assert rows["NAME"] == ["NAME", "DISTRIBUTION", "VERSION", "STATE", "PROVIDES", "REQUIRES", "WHY"]
    assert rows["shown"] == ["shown", "shown", "1.0", "ready"]
    assert rows["idle"][:4] == ["idle", "idle", "1.0", "disabled"]
    assert " ".join(rows["idle"][4:]) == "runs only where config names it: plugins.idle: {enabled: true}"
    assert (done.returncode, done.stderr) == (0, "")


def test_plugins_names_the_failed_one_with_its_reason(folder: Path, ship: Ship) -> None:
    ship("failing", "failing = failing:P", "raise OSError('no libfoo')")
    name_them(folder, "failing")
    done = tta(folder, "plugins", "--json")
    found = json.loads(done.stdout)
    described = {each["name"]: each for each in found["plugins"]}["failing"]
    assert done.returncode == 1
    assert (described["state"], "no libfoo" in described["reason"]) == ("failed", True)
    assert "no libfoo" in found["problems"][0]["what"]


def test_plugins_and_config_and_check_work_with_a_broken_config(folder: Path) -> None:
    (folder / "development.yaml").write_text("kernel: {autolod: true}\nplugins: {nowhere: {}}\n")
    for command in ("plugins", "config", "check"):
        done = tta(folder, command)
        said = done.stdout + done.stderr
        assert done.returncode == 1
        assert "did you mean 'autoload'?" in said
        assert "plugins.nowhere: no plugin of that name is installed" in said


OBJECTS = (
    "from tta_kernel import *\nclass P(Plugin[NoConfig]):\n"
    "    @hookimpl\n    def check(self): return [Problem('roster', 'is empty')]\n"
)


@pytest.mark.parametrize(
    ("arguments", "text", "problem"),
    [
        (["--env", "nowhere"], "", "{}/nowhere.yaml: there is no such file; known: development"),
        ([], "- kernel", "{}/development.yaml: expected a mapping with the keys kernel and plugins"),
        ([], "plugin: {}", "{}/development.yaml: plugin: unknown key; did you mean 'plugins'?"),
    ],
)
def test_plugins_are_not_asked_where_not_all_of_the_config_could_be_read(
    folder: Path, ship: Ship, arguments: list[str], text: str, problem: str
) -> None:
    ship("objecting", "objecting = objecting:P", OBJECTS)
    (folder / "base.yaml").write_text("plugins: {objecting: {}}")
    (folder / "development.yaml").write_text(text)
    done = tta(folder, "check", *arguments)
    note = "note: plugins: were not asked what they object to, since not all of the config could be read"
    assert (done.returncode, done.stdout.splitlines()) == (1, [problem.format(folder), note])


def test_a_broken_section_is_told_before_what_follows_from_it(folder: Path, ship: Ship) -> None:
    code = (
        "from tta_kernel import *\nKEY = Service('key')\n"
        "class P(Plugin[NoConfig]):\n    provides = (KEY,)\n"
        "class Q(Plugin[NoConfig]):\n    requires = (KEY,)\n"
    )
    ship("broken", "gives = broken:P\nneeds = broken:Q", code)
    (folder / "development.yaml").write_text("plugins: {gives: {confg: {}, required: false}, needs: {}}")
    done = tta(folder, "check")
    assert (done.returncode, done.stdout.splitlines()) == (
        1,
        [
            f"{folder}/development.yaml: plugins.gives.confg: unknown key; did you mean 'config'?",
            "plugin 'needs': requires Service('key') of 'gives', which can't be used",
        ],
    )
    assert tta(folder, "run").returncode == 3


def test_check_notes_what_others_go_on_without_where_it_is_not_required(folder: Path, ship: Ship) -> None:
    code = (
        "from tta_kernel import *\nKEY, OTHER = Service('key'), Service('other')\n"
        "class P(Plugin[NoConfig]):\n    provides = (KEY,)\n"
        "class R(Plugin[NoConfig]):\n    provides = (OTHER,)\n"
        "class Q(Plugin[NoConfig]):\n    after = (KEY, OTHER)\n"
    )
    ship("optional", "gives = optional:P\nother = optional:R\ntakes = optional:Q", code)
    (folder / "development.yaml").write_text("plugins: {gives: {required: false}, other: {}, takes: {}}")
    done = tta(folder, "check")
    note = "note: plugins.gives.required: isn't required: where it can't run, these go on without it: takes"
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, note)
    assert "plugins.other" not in done.stdout


def test_a_broken_section_of_what_is_off_is_told_and_nothing_is_imported(folder: Path, ship: Ship) -> None:
    ship("idle", "idle = idle:P", "raise AssertionError")
    (folder / "development.yaml").write_text("plugins: {idle: {enabled: false, confg: {}}}")
    done = tta(folder, "check")
    problem = f"{folder}/development.yaml: plugins.idle.confg: unknown key; did you mean 'config'?\n"
    assert (done.returncode, done.stdout) == (1, problem)


def test_check_finds_everything_at_once_and_starts_nothing(folder: Path, ship: Ship) -> None:
    body = (
        "    requires = (Service('gone'),)\n"
        "    def lifespan(self, ctx): raise AssertionError\n"
        "class Q(Plugin[NoConfig]):\n"
        "    @hookimpl\n"
        "    def check(self): return [Problem('roster', 'is empty'), Problem('key', 'is gone', deployment_only=True)]\n"
    )
    ship("checked", "lacking = checked:P\nobjecting = checked:Q", PLUGIN.replace("pass\n", "\n") + body)
    name_them(folder, "lacking", "objecting")
    done = tta(folder, "check")
    assert done.returncode == 1
    assert ["requires Service('gone')" in done.stdout, "roster: is empty" in done.stdout] == [True, True]
    assert "key: is gone" in done.stdout
    assert "key" not in tta(folder, "check", "--no-secrets").stdout
    assert [each["where"] for each in json.loads(tta(folder, "check", "--json").stdout)][-2:] == ["roster", "key"]


def test_check_without_secrets_leaves_out_what_follows_from_a_missing_one(folder: Path, ship: Ship) -> None:
    code = (
        "import msgspec\nKEY = Service('key')\n"
        "class C(msgspec.Struct):\n    password: Secret\n"
        "class P(Plugin[C]):\n    provides = (KEY,)\n"
        "class Q(Plugin[NoConfig]):\n    requires = (KEY,)\n"
        "class R(Plugin[NoConfig]):\n    requires = (KEY, Service('gone'))\n"
    )
    ship("keeping", "holds = keeping:P\nneeds = keeping:Q\nlacks = keeping:R", "from tta_kernel import *\n" + code)
    text = "plugins: {holds: {config: {password: {file: nowhere}}}, needs: {}}"
    (folder / "development.yaml").write_text(text)
    assert "plugin 'needs': requires Service('key') of 'holds', which can't be used" in tta(folder, "check").stdout
    assert tta(folder, "check", "--no-secrets").returncode == 0
    (folder / "development.yaml").write_text(text.replace("needs", "lacks"))
    done = tta(folder, "check", "--no-secrets")
    assert (done.returncode, "Service('gone')" in done.stdout) == (1, True)


def test_check_without_secrets_still_asks_those_that_need_some(folder: Path, ship: Ship) -> None:
    code = (
        "import msgspec\n"
        "class C(msgspec.Struct):\n    password: Secret\n"
        "    def __post_init__(self):\n"
        "        if not self.password.startswith('db:'): raise ValueError('write db:…')\n"
        "class P(Plugin[C]): pass\n"
        "class D(msgspec.Struct):\n    password: Secret\n"
        "class Q(Plugin[D]):\n"
        "    @hookimpl\n    def check(self): return [Problem('roster', 'is empty')]\n"
    )
    ship("asked", "strict = asked:P\nasked = asked:Q", "from tta_kernel import *\n" + code)
    secret = "{config: {password: {env: NOWHERE}}}"
    (folder / "development.yaml").write_text(f"plugins: {{strict: {secret}, asked: {secret}}}")
    done = tta(folder, "check", "--no-secrets")
    assert (done.returncode, done.stdout) == (1, "roster: is empty\n")


def test_config_shows_each_value_with_its_layer_and_no_secret(folder: Path, ship: Ship) -> None:
    code = PLUGIN.replace("NoConfig]", "C]").replace("class P", "import msgspec\nclass C(msgspec.Struct):\n"
                          "    password: Secret = ''\n    size: Size = 0\nclass P")  # fmt: skip
    ship("configured", "configured = configured:P", code)
    (folder / "development.yaml").write_text("plugins: {configured: {config: {password: hunter2, size: 1kB}}}")
    done = tta(folder, "config")
    rows = [line.split() for line in done.stdout.splitlines()]
    layer = f"{folder}/development.yaml"
    assert ["plugins.configured.config.size", '"1kB"', "#", layer] in rows
    assert ["plugins.configured.config.password", '"<redacted>"', "#", layer] in rows
    assert ["kernel.stop_timeout", '"10s"', "#", "default"] in rows
    assert "hunter2" not in done.stdout + done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize("look", [["config"], ["config", "--json"], ["check"], ["check", "--json"]])
@pytest.mark.parametrize("name", ["TTA__PLUGINS__STORE__CONFIG__NAME", "TTA__KERNEL__\udce9", "TTA__\x1b[31m"])
def test_a_variable_of_odd_characters_is_looked_at_like_any_other(
    folder: Path, ship: Ship, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, look: list[str],
    name: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("TTA_CONFIG", str(folder))
    monkeypatch.setenv(name, "caf\udce9")
    assert main(look) == 1
    shown = "".join(capsys.readouterr())
    assert "\x1b" not in shown
    assert "\udce9" not in shown


def test_config_stays_narrow_whatever_a_value_is(folder: Path, ship: Ship) -> None:
    ship("wide", "wide = wide:P", "from tta_kernel import *\nfrom msgspec import Struct\n"
         "class C(Struct):\n    words: list[str] = []\nclass P(Plugin[C]): pass\n")  # fmt: skip
    words = ["word"] * 200
    (folder / "development.yaml").write_text(f"plugins: {{wide: {{config: {{words: {words}}}}}}}")
    lines = tta(folder, "config").stdout.splitlines()
    assert max(len(line.partition(" # ")[0]) for line in lines) < 120
    assert json.loads(tta(folder, "config", "--json").stdout)[-1]["value"] == words


def test_a_command_of_a_plugin_that_is_off_is_told_as_such(folder: Path, ship: Ship) -> None:
    ship("speaking", "say = speaking:P", COMMAND)
    done = tta(folder, "say", "it", "hello")
    why = "runs only where config names it: plugins.say: {enabled: true}"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, f"tta: error: the plugin 'say' is disabled: {why}")
    (folder / "development.yaml").write_text("plugins: {say: {config: {a: 1}}}")
    assert "the plugin 'say' can't be used" in tta(folder, "say", "it", "hello").stderr


def test_a_command_whose_plugin_s_section_is_misspelt_tells_that_first(folder: Path, ship: Ship) -> None:
    ship("speaking", "saying = speaking:P", COMMAND)
    (folder / "development.yaml").write_text("plugins: {sayng: {}}")
    done = tta(folder, "saying", "it", "hello")
    first, second = done.stderr.splitlines()[-2:]
    assert first.endswith("plugins.sayng: no plugin of that name is installed; did you mean 'saying'?")
    assert second.startswith("the plugin 'saying' is disabled: ")


def test_the_version_is_told(folder: Path) -> None:
    assert tta(folder, "--version").stdout.startswith("tta-kernel ")


def test_a_plugin_is_made_once_for_a_command(folder: Path, ship: Ship) -> None:
    code = "    def __init__(self, config):\n        print('made')\n        super().__init__(config)\n"
    ship("speaking", "speaking = speaking:P", COMMAND + code)
    name_them(folder, "speaking")
    done = tta(folder, "say", "it", "hello")
    assert (done.stdout, done.stderr) == ("hello ['speaking']\n", "made\n")


def test_plugins_and_check_say_the_same(folder: Path, ship: Ship) -> None:
    code = "    requires = (KEY,)\nKEY = Service('key')\nclass Q(Plugin[NoConfig]):\n    provides = (KEY,)\n"
    more = "class R(Plugin[NoConfig]):\n    @hookimpl\n    def check(self): return [Problem('here', 'is wrong')]\n"
    asks = PLUGIN.replace("class P", "KEY = Service('key')\nclass P").replace("pass\n", "\n")
    ship(
        "same",
        "asks = same:P\ngives = same:Q\nobjects = same:R",
        asks + code.replace("KEY = Service('key')\n", "") + more,
    )
    name_them(folder, "asks", "objects")
    check, plugins = tta(folder, "check"), tta(folder, "plugins")
    assert check.stdout == plugins.stderr
    assert check.stdout == (
        "plugin 'asks': requires Service('key') of 'gives', which is disabled; "
        "enable it (runs only where config names it: plugins.gives: {enabled: true}), or disable what needs it\n"
        "here: is wrong\n"
    )
    assert (check.returncode, plugins.returncode) == (1, 1)


def test_a_note_is_told_by_check_and_refuses_nothing(folder: Path, ship: Ship) -> None:
    code = "    @hookimpl\n    def check(self): return [Problem('here', 'is odd', note=True)]\n"
    ship("noting", "noting = noting:P", PLUGIN.replace("pass\n", "\n") + code)
    name_them(folder, "noting")
    done = tta(folder, "check")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "note: here: is odd")


def test_options_behind_dashes_are_the_command_s_own(folder: Path, ship: Ship) -> None:
    ship("speaking", "speaking = speaking:P", COMMAND)
    name_them(folder, "speaking")
    assert tta(folder, "say", "it", "--", "--env=nowhere").stdout == "--env=nowhere ['speaking']\n"
    assert tta(folder, "say", "it", "hello", "--env", "nowhere").returncode == 3


@pytest.mark.parametrize("arguments", [[], ["fly"], ["check", "--josn"], ["plugins", "--env"]])
def test_wrong_usage_is_2(folder: Path, arguments: list[str]) -> None:
    done = tta(folder, *arguments)
    assert done.returncode == 2
    assert "tta" in done.stderr


def test_an_unknown_option_is_told_with_what_its_command_takes(folder: Path) -> None:
    done = tta(folder, "check", "--no-secret", "--jsn")
    assert done.returncode == 2
    assert done.stderr.startswith("usage: tta check [-h] [--json] [--no-secrets]\n")
    assert done.stderr.splitlines()[-1] == "tta check: error: unrecognized arguments: --jsn"


def test_a_group_of_commands_says_what_it_is_about() -> None:
    parser = argparse.ArgumentParser(prog="tta")
    subcommands = Subcommands(parser)

    async def show(kernel: Kernel, options: argparse.Namespace) -> int:
        return 0

    subcommands.group("clock", help="look at the clock")
    subcommands.add("clock show", show, help="show the hour")
    assert "    clock     look at the clock\n" in parser.format_help()


def test_help_names_the_commands_of_plugins_too(folder: Path, ship: Ship) -> None:
    ship("speaking", "speaking = speaking:P", COMMAND)
    name_them(folder, "speaking")
    done = tta(folder, "--help")
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("run", "plugins", "check", "config", "say"))


@pytest.mark.parametrize("told", ["at 100 % of its power", "up to 50%", "%s", "%(prog)s"])
def test_help_shows_what_a_plugin_says_as_it_is(folder: Path, ship: Ship, told: str) -> None:
    more = f"subcommands.add('shout', say, help={told!r})"
    group = f"subcommands.group('say', help={told!r})"
    call = 'subcommands.add("say it"'
    ship("speaking", "speaking = speaking:P", COMMAND.replace(call, f"{group}; {more}; {call}"))
    name_them(folder, "speaking")
    done = tta(folder, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(told) == 2


@pytest.mark.parametrize("arguments", [["--help"], ["plugins"], ["say", "it", "“hello”"]])
def test_what_the_terminal_has_no_letter_for_is_escaped(folder: Path, ship: Ship, arguments: list[str]) -> None:
    ship("speaking", "speaking = speaking:P", COMMAND)
    name_them(folder, "speaking")
    command = [sys.executable, "-m", "tta_program", *arguments]
    env = {**environment(folder), "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(command, capture_output=True, encoding="latin-1", check=False, env=env, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("\\u201chello\\u201d" in done.stdout) is (arguments[0] == "say")


@pytest.mark.parametrize(("arguments", "shown"), [([], "list what is installed"), (["say"], "say a word")])
def test_without_a_command_those_that_there_are_are_told(
    folder: Path, ship: Ship, arguments: list[str], shown: str
) -> None:
    ship("speaking", "speaking = speaking:P", COMMAND)
    name_them(folder, "speaking")
    for command in (arguments, [*arguments, "nonsense"]):
        done = tta(folder, *command)
        assert done.returncode == 2
        assert shown in done.stderr


COMMAND = """
from tta_kernel import *
import anyio

async def say(kernel, options):
    print(options.word, sorted(r.name for r in kernel.records.values() if r.state == "running"), flush=True)
    return 5 if options.word == "five" else await anyio.sleep_forever() if options.word == "wait" else 0

KEY = Service("speech")

class P(Plugin[NoConfig]):
    provides = (KEY,)
    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands):
        subcommands.add("say it", say, help="say a word", requires=(KEY,)).add_argument("word")
    @asynccontextmanager
    async def lifespan(self, ctx):
        ctx.provide(KEY, "speech")
        yield
""".replace("import anyio", "import anyio\nfrom contextlib import asynccontextmanager", 1)


def test_a_command_runs_with_just_what_it_requires_and_its_code_is_the_exit_code(folder: Path, ship: Ship) -> None:
    ship("speaking", "speaking = speaking:P", COMMAND)
    ship("beside", "beside = beside:P", PLUGIN)
    name_them(folder, "speaking", "beside")
    done = tta(folder, "say", "it", "five")
    assert (done.returncode, done.stdout) == (5, "five ['speaking']\n")


def test_a_command_that_uses_what_it_does_not_require_hears_so(folder: Path, ship: Ship) -> None:
    code = COMMAND.replace("requires=(KEY,)", "requires=()").replace("print(options.word,", "kernel.get(KEY), print(")
    ship("speaking", "speaking = speaking:P", code)
    name_them(folder, "speaking")
    done = tta(folder, "say", "it", "five")
    assert done.returncode == 3
    assert "'speaking', which provides it, is skipped: the command doesn't require it" in done.stderr


def test_a_command_that_cannot_be_added_is_a_problem(folder: Path, ship: Ship) -> None:
    ship("speaking", "speaking = speaking:P\nlouder = speaking:Q", COMMAND + "class Q(P):\n    provides = ()\n")
    name_them(folder, "speaking", "louder")
    done = tta(folder, "check")
    assert done.returncode == 1
    assert "its commands: ArgumentError" in done.stdout
    assert re.search(r"ArgumentError.* at .*/speaking.py:\d+$", done.stdout, flags=re.MULTILINE)


def test_a_command_that_is_interrupted_ends_with_130(folder: Path, ship: Ship) -> None:
    ship("speaking", "speaking = speaking:P", COMMAND)
    name_them(folder, "speaking")
    with tta_in_background(folder, "say", "it", "wait", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "wait ['speaking']\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_one_that_is_interrupted_while_plugins_are_imported_ends_with_130(folder: Path, ship: Ship) -> None:
    ship("slow", "slow = slow:P", "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n" + PLUGIN)
    name_them(folder, "slow")
    done = tta(folder, "plugins")
    assert (done.returncode, done.stderr) == (130, "")


def tta_in_background(
    folder: Path, *arguments: str, stdin: int | None = None, stdout: int | None = None
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tta_program", *arguments]
    return subprocess.Popen(
        command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment(folder)
    )


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Iterator[str]]]:
    """Run ``tta run`` up to its line "running", and hand out the rest of its lines."""
    with tta_in_background(folder, "run", stdin=subprocess.PIPE) as process:
        assert process.stderr is not None
        lines = iter(process.stderr)
        try:
            for line in lines:
                if '"running' in line:
                    break
            yield process, lines
        finally:
            process.kill()


def go_on(process: subprocess.Popen[str]) -> None:
    """Send a line to a plugin that waits for one."""
    assert process.stdin is not None
    process.stdin.write("go on\n")
    process.stdin.flush()


def events(lines: Iterator[str]) -> list[str]:
    return [str(json.loads(line)["event"]) for line in lines if line.startswith("{")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_run_in_order_with_0(folder: Path, number: signal.Signals) -> None:
    with running(folder) as (process, lines):
        process.send_signal(number)
        assert events(lines) == [f"stopping after {number.name}", "stopped"]
        assert process.wait(20) == 0


def test_a_plugin_that_sets_the_log_up_anew_silences_nobody(folder: Path, ship: Ship) -> None:
    body = "import logging.config\n" + lifespan("logging.config.dictConfig({'version': 1, 'root': {'handlers': []}})")
    ship("silencing", "silencing = silencing:P", body)
    name_them(folder, "silencing")
    with running(folder) as (process, lines):
        process.terminate()
        assert events(lines) == ["stopping after SIGTERM", "stopped"]


def test_a_hangup_reloads_and_a_broken_file_changes_nothing(folder: Path) -> None:
    with running(folder) as (process, lines):
        (folder / "development.yaml").write_text("kernel: {autolod: true}\n")
        process.send_signal(signal.SIGHUP)
        refused = next(lines)
        (folder / "development.yaml").write_text("kernel: {start_timeout: 5s}\n")
        process.send_signal(signal.SIGHUP)
        reloaded = next(lines)
        process.terminate()
        assert process.wait(20) == 0
    assert "nothing is reloaded" in refused
    assert "did you mean 'autoload'" in refused
    assert "kernel.start_timeout" in reloaded


def test_a_hangup_is_told_to_whoever_keeps_a_record_of_what_was_done(folder: Path, ship: Ship) -> None:
    body = """
import logging
from tta_kernel import *


class P(Plugin[NoConfig]):
    @hookimpl(optionalhook=True)
    async def command_ran(self, ran):
        logging.getLogger("tta.keeping").warning("%s of %s: %s", ran.name, ran.target, ran.outcome)
        if ran.outcome == "done":
            raise OSError("the disk is full")
"""
    ship("keeping", "keeping = keeping:P", body)
    name_them(folder, "keeping")
    good = (folder / "development.yaml").read_text()
    with running(folder) as (process, lines):
        (folder / "development.yaml").write_text("kernel: {autolod: true}\n")
        process.send_signal(signal.SIGHUP)
        assert "nothing is reloaded" in next(lines)
        assert "config reload of SIGHUP: wanting" in next(lines)
        (folder / "development.yaml").write_text(good)
        process.send_signal(signal.SIGHUP)
        assert "reloaded; changed: []" in next(lines)
        assert "config reload of SIGHUP: done" in next(lines)
        assert "the reload is not recorded: plugin 'keeping'" in next(lines)
        process.terminate()
        assert process.wait(20) == 0


def test_a_reload_that_runs_into_a_fault_of_a_plugin_s_ends_nothing(folder: Path, ship: Ship) -> None:
    body = "import msgspec\nclass C(msgspec.Struct):\n    size: int = 0\n    def __eq__(self, other): return 1 / 0\n"
    ship("odd", "odd = odd:P", body + PLUGIN.replace("NoConfig", "C"))
    name_them(folder, "odd")
    with running(folder) as (process, lines):
        process.send_signal(signal.SIGHUP)
        assert "nothing is reloaded" in next(lines)
        process.terminate()
        assert process.wait(20) == 0


def test_a_start_that_fails_is_3_and_says_why(folder: Path, ship: Ship) -> None:
    ship("startless", "startless = startless:P", lifespan(enter="raise OSError('no server')"))
    name_them(folder, "startless")
    done = tta(folder, "run")
    assert done.returncode == 3
    (told,) = events(iter(done.stderr.splitlines()))
    why = "could not start, because plugin 'startless': failed while starting: OSError: no server at "
    assert told.startswith(why)
    assert "startless.py:" in told


def test_where_a_start_failed_is_in_a_log_that_says_everything(folder: Path, ship: Ship) -> None:
    ship("startless", "startless = startless:P", lifespan(enter="raise OSError('no server')"))
    name_them(folder, "startless")
    (folder / "base.yaml").write_text("kernel: {autoload: false, log_format: json, log_level: debug}\n")
    (told,) = [event for event in events(iter(tta(folder, "run").stderr.splitlines())) if "Traceback" in event]
    assert "startless.py" in told


@pytest.mark.parametrize("command", [["run"], ["say", "it", "hello"]])
def test_a_plugin_that_says_why_it_cannot_start_is_quoted_once(folder: Path, ship: Ship, command: list[str]) -> None:
    ship("speaking", "speaking = speaking:P", COMMAND.replace("ctx.provide(", "raise NotReady('no voice')\n        ("))
    name_them(folder, "speaking")
    done = tta(folder, *command)
    assert done.returncode == 3
    why = "plugin 'speaking': failed while starting: no voice (it may not wait, because it is required, or something"
    if command == ["run"]:
        assert events(iter(done.stderr.splitlines())) == [f"could not start, because {why} that needs it)"]
    else:
        assert done.stderr == f"tta say it: could not start:\n{why} that needs it)\n"


# A plugin whose task fails once it is told to.
FAILING = """
import sys
from contextlib import asynccontextmanager
import anyio
from tta_kernel import *


class P(Plugin[NoConfig]):
    @asynccontextmanager
    async def lifespan(self, ctx):
        ctx.start_soon(self.fail, restart=Restart(times=0))
        yield

    async def fail(self):
        await anyio.to_thread.run_sync(sys.stdin.readline)
        1 / 0
"""


def test_a_required_plugin_that_fails_while_it_runs_is_1(folder: Path, ship: Ship) -> None:
    ship("failing", "failing = failing:P", FAILING)
    name_them(folder, "failing")
    with running(folder) as (process, lines):
        go_on(process)
        said = "".join(lines)
        assert process.wait(20) == 1
    assert "stopped, because plugin 'failing': failed while running: ZeroDivisionError" in said


STUBBORN = {
    "ignores_cancellation": "with anyio.CancelScope(shield=True): await anyio.sleep_forever()",
    "blocks_the_loop": "time.sleep(60)",
}


@pytest.mark.parametrize("how", STUBBORN)
def test_a_plugin_that_does_not_stop_is_named_with_its_stack_and_the_process_ends_with_70(
    folder: Path, ship: Ship, how: str
) -> None:
    ship("stubborn", "stubborn = stubborn:P", lifespan(leave=STUBBORN[how]))
    name_them(folder, "stubborn")
    (folder / "base.yaml").write_text("kernel: {autoload: false, log_format: json, stop_timeout: 200ms}\n")
    with running(folder) as (process, lines):
        process.terminate()
        said = "".join(lines)
        assert process.wait(20) == 70
    assert "'stubborn'" in said
    assert "stubborn.py" in said
    assert "in lifespan" in said


def test_a_required_plugin_fails_and_another_blocks_the_loop_and_still_the_process_ends(
    folder: Path, ship: Ship
) -> None:
    ship("failing", "failing = failing:P", FAILING)
    ship("stubborn", "stubborn = stubborn:P", lifespan(leave="time.sleep(60)"))
    name_them(folder, "failing", "stubborn")
    (folder / "base.yaml").write_text("kernel: {autoload: false, log_format: json, stop_timeout: 200ms}\n")
    with running(folder) as (process, _):
        go_on(process)
        assert process.wait(20) == 70


def test_a_required_plugin_fails_to_start_and_another_blocks_the_loop_and_still_the_process_ends(
    folder: Path, ship: Ship
) -> None:
    ship("failing", "failing = failing:P", lifespan("await anyio.to_thread.run_sync(sys.stdin.readline); 1 / 0"))
    ship("stubborn", "stubborn = stubborn:P", lifespan(leave="time.sleep(60)"))
    name_them(folder, "failing", "stubborn")
    (folder / "base.yaml").write_text("kernel: {autoload: false, log_format: json, stop_timeout: 200ms}\n")
    with tta_in_background(folder, "run", stdin=subprocess.PIPE) as process:
        go_on(process)
        assert process.wait(20) == 70


@pytest.mark.parametrize(("first", "second"), [(signal.SIGINT, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)])
def test_a_second_signal_ends_at_once(folder: Path, ship: Ship, first: signal.Signals, second: signal.Signals) -> None:
    ship("slow", "slow = slow:P", lifespan(leave="print('leaves', file=sys.stderr, flush=True); time.sleep(60)"))
    name_them(folder, "slow")
    with running(folder) as (process, lines):
        process.send_signal(first)
        while next(lines) != "leaves\n":
            pass
        process.send_signal(second)
        assert process.wait(5) == 128 + second


def test_a_hangup_while_it_starts_reloads_nothing_and_does_no_harm(folder: Path, ship: Ship) -> None:
    wait = "await anyio.to_thread.run_sync(sys.stdin.readline)"
    ship("slow", "slow = slow:P", lifespan(f"print('starts', file=sys.stderr, flush=True); {wait}"))
    name_them(folder, "slow")
    with tta_in_background(folder, "run", stdin=subprocess.PIPE) as process:
        assert process.stderr is not None
        while next(process.stderr) != "starts\n":
            pass
        process.send_signal(signal.SIGHUP)
        said = next(process.stderr)
        go_on(process)
        assert "running" in next(process.stderr)
        process.terminate()
        assert process.wait(20) == 0
    assert "nothing is reloaded: the kernel is not running" in said


def test_a_signal_during_a_start_is_prompt(folder: Path, ship: Ship) -> None:
    ship("slow", "slow = slow:P", lifespan("print('starts', file=sys.stderr, flush=True); await anyio.sleep(20)"))
    name_them(folder, "slow")
    with tta_in_background(folder, "run") as process:
        assert process.stderr is not None
        while next(process.stderr) != "starts\n":
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0
