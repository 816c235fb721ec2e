"""Both event loops for every async test, and distributions that nobody has to install."""

from __future__ import annotations

import importlib
import importlib.metadata
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

Ship = Callable[..., Path]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ship:
    """Lay a distribution with plugins into a folder on sys.path, and return the folder."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def ship(
        dist: str, entries: str = "", code: str | None = None, *, requires: str = "", version: str = "1.0"
    ) -> Path:
        module = dist.replace("-", "_")
        info = site / f"{module}-{version}.dist-info"
        info.mkdir(parents=True)
        needs = f"Requires-Dist: {requires}\n" if requires else ""
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n{needs}")
        if entries:
            (info / "entry_points.txt").write_text(f"[tta.plugins]\n{entries}\n")
        if code is not None:
            (site / f"{module}.py").write_text(code)
        importlib.invalidate_caches()
        return site

    return ship


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the distributions of this tree; what a test ships stays."""
    real = importlib.metadata.entry_points

    def of_tests(group: str) -> importlib.metadata.EntryPoints:
        found = real(group=group)
        return importlib.metadata.EntryPoints(e for e in found if not (e.dist and e.dist.name.startswith("tta-")))

    monkeypatch.setattr(importlib.metadata, "entry_points", of_tests)


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Let child processes hear SIGINT, which a shell keeps from what it runs in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
