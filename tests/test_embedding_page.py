"""The page on embedding: each of its programs runs as it stands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest


@pytest.fixture
def page(root: Path) -> str:
    return (root / "docs/embedding.md").read_text(encoding="utf-8")


@pytest.fixture
def development(root: Path, tmp_path: Path, playable: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand at the top of a tree in which a turn needs no server."""
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "base.yaml").write_bytes((root / "config/base.yaml").read_bytes())
    shutil.copytree(root / "config/workflows", folder / "workflows")
    (folder / "development.yaml").write_bytes(msgspec.yaml.encode({"plugins": playable}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TTA_ENV", raising=False)
    monkeypatch.delenv("TTA_CONFIG", raising=False)


def program(page: str, section: str) -> str:
    text = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    [code] = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return str(code)


def run(code: str) -> None:
    exec(compile(code, "embedding.md", "exec"), {"__name__": "embedding"})


@pytest.mark.usefixtures("development")
@pytest.mark.parametrize(
    ("section", "last"),
    [
        ("A story as it is told", ""),
        ("In a task group of the host", ""),
        ("In the hooks of a framework", "ended"),
        ("Not async", "3"),
        ("As a component of TTA", ""),
    ],
)
def test_its_program_plays_a_turn(page: str, section: str, last: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(program(page, section))
    told = capsys.readouterr().out
    assert len(told.split()) > 20
    assert told.rstrip().endswith(last)


@pytest.mark.usefixtures("development")
def test_a_hosts_own_log_shows_no_password(page: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", program(page, "Logs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.splitlines()[-1] == "tta.clock: at db://<redacted>@db.example.org/0"


@pytest.mark.usefixtures("development")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_async_host_plays_a_turn_on_either(page: str, backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(program(page, "Async").replace('backend="asyncio"', f'backend="{backend}"'))
    assert len(capsys.readouterr().out.split()) > 20


@pytest.mark.usefixtures("development")
def test_its_test_of_a_host_passes(page: str, tmp_path: Path) -> None:
    (tmp_path / "test_host.py").write_text(program(page, "Tests of a host"), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_host.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert "1 passed" in done.stdout, done.stdout
