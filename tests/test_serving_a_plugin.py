"""The page for authors of plugins: what it serves to other processes is called from another, on a real Redis."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tta_redis.testing import redis_server


@pytest.fixture
def section(root: Path) -> str:
    page = (root / "docs/writing-a-plugin.md").read_text(encoding="utf-8")
    return page.partition("\n## Serve it to other processes\n")[2].partition("\n## ")[0]


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
    """Return the one block of the section in ``language``."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return str(found)


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


def test_what_the_page_serves_is_called_from_another_process(
    section: str, plugin: Path, environ: Mapping[str, str]
) -> None:
    folder = plugin / "serving"
    folder.mkdir()
    (folder / "development.yaml").write_text("{}\n")
    (plugin / "ask.py").write_text(block(section, "python"), encoding="utf-8")
    with redis_server() as server:
        settings = msgspec.yaml.decode(block(section, "yaml"))
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
