"""The page for authors of plugins: mistakes are said as it shows, and what it serves is called from another process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from tta_redis.testing import redis_server

MISTAKES = (
    ("  kind-words: {config: {sentense: x}}\n", "text: steps.story.text"),
    ("", "txt: steps.story.text"),
    ("", "text: input.seed"),
    ("", "text: input.txt"),
    ("  kind-words: {enabled: false}\n", "text: steps.story.text"),
)
"""What is wrong in each of the page's examples: further lines of config, and the input of the step."""

CHECK = """
import sys
from tta_program.__main__ import main

for folder in sys.argv[1:]:
    main(["check", "--config", folder, "--env", "development"])
"""


@pytest.fixture
def page(root: Path) -> str:
    return (root / "docs/writing-a-plugin.md").read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@pytest.fixture
def plugin(root: Path, tmp_path: Path) -> Path:
    """Make the page's plugin."""
    target = tmp_path / "kind-words"
    subprocess.run([sys.executable, "-S", root / "plugin-template/new.py", "kind-words", target], check=True)
    return target


@pytest.fixture
def environ(plugin: Path, tmp_path: Path) -> Mapping[str, str]:
    """Install the plugin where only those processes look that get this environment."""
    info = tmp_path / "site/tta_kind_words-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tta-kind-words\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[tta.plugins]\nkind-words = tta_kind_words:KindWords\n")
    ours = {key: value for key, value in os.environ.items() if not key.startswith("TTA_")}
    return ours | {"PYTHONPATH": os.pathsep.join([str(plugin / "src"), str(tmp_path / "site")])}


def block(section: str, language: str) -> str:
    """Return the first block of the section in ``language``."""
    found = re.search(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@contextmanager
def serving(folder: Path, environ: Mapping[str, str]) -> Iterator[None]:
    """Run the plugin as the page says, from when its agent can be called."""
    command = [sys.executable, "-m", "tta_program", "run", "--config", str(folder)]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        log = []
        for line in process.stderr:
            log.append(line)
            if "running, as" in line:
                break
        else:
            pytest.fail("".join(log))
        try:
            yield
        finally:
            process.terminate()
            process.communicate(timeout=20)


def test_mistakes_are_said_as_the_page_shows(root: Path, page: str, environ: Mapping[str, str], tmp_path: Path) -> None:
    turn = block(section(page, "Give it a part in a turn"), "yaml")
    folders = [tmp_path / str(number) for number in range(len(MISTAKES))]
    for folder, (config, step) in zip(folders, MISTAKES, strict=True):
        (folder / "workflows").mkdir(parents=True)
        (folder / "base.yaml").write_bytes((root / "config/base.yaml").read_bytes())
        broken = turn.replace("{text: steps.story.text}", f"{{{step}}}")
        (folder / "workflows/turn.yaml").write_text(broken, encoding="utf-8")
        (folder / "development.yaml").write_text(f"plugins:\n{config}", encoding="utf-8")

    checked = subprocess.run(
        [sys.executable, "-c", CHECK, *folders], env=environ, capture_output=True, text=True, check=False, timeout=40
    )

    shown = block(section(page, "Check it, and play"), "text").splitlines()
    said = re.sub(rf"^{re.escape(str(tmp_path))}/\d/", "../kind-words/config/", checked.stdout, flags=re.MULTILINE)
    assert [line for line in shown if line not in said.splitlines()] == [], said + checked.stderr


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_what_the_page_does_instead_of_blocking_leaves_the_event_loop_free(
    page: str, tmp_path: Path, anyio_backend: str
) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block(section(page, "Don't block the event loop"), "python"), "page", "exec"), names)
    (tmp_path / "text").write_text("the sea")
    went_on = threading.Event()

    def answer(question: str) -> str:
        """Answer only if the event loop does something else meanwhile."""
        return question if went_on.wait(20) else "blocked"

    async def go_on() -> None:
        went_on.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(go_on)
        assert await names["ask"](answer, "is it calm?") == "is it calm?"
    went_on.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(go_on)
        # Two checkpoints, since trio runs what is ready in a random order.
        assert await names["total"](range(1001)) == 500_500
        assert went_on.is_set()
    assert await names["read"](tmp_path / "text") == "the sea"
    assert await names["rank"](["b", "a"]) == ["a", "b"]


def test_what_the_page_serves_is_called_from_another_process(
    page: str, plugin: Path, environ: Mapping[str, str]
) -> None:
    shown = section(page, "Serve it to other processes")
    folder = plugin / "serving"
    folder.mkdir()
    (folder / "development.yaml").write_text("{}\n")
    (plugin / "ask.py").write_text(block(shown, "python"), encoding="utf-8")
    with redis_server() as server:
        settings = msgspec.yaml.decode(block(shown, "yaml"))
        settings["plugins"]["redis"]["config"] = msgspec.to_builtins(server.config())
        (folder / "base.yaml").write_bytes(msgspec.yaml.encode(settings))

        with serving(folder, environ):
            asked = subprocess.run(
                [sys.executable, plugin / "ask.py"],
                env=environ,
                capture_output=True,
                text=True,
                check=False,
                timeout=20,
            )

    assert asked.stdout == "The sea is calm. Take all the time you need.\n", asked.stderr


def test_the_boundaries_that_the_page_shows_hold_against_all_strangers(page: str, tmp_path: Path) -> None:
    shown = page.partition("\n### Code that isn't yours\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```python\n(.*?)^```$", shown, re.MULTILINE | re.DOTALL)
    (tmp_path / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\n")
    (tmp_path / "test_shown.py").write_text("\n\n".join(blocks), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "asyncio", "test_shown.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stdout[-3000:]
    assert len(blocks) == 2
