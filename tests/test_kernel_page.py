"""The page on the kernel: the program that it shows runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


def test_a_host_brings_settings_and_a_plugin_of_its_own(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("TTA_ENV", "TTA_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    page = (root / "docs/kernel.md").read_text(encoding="utf-8")
    section = page.partition("\n## A host of its own\n")[2].partition("\n## ")[0]
    [code] = re.findall(r"^```python\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
    exec(compile(code, "kernel.md", "exec"), {"__name__": "kernel_page"})
    assert capsys.readouterr().out == "good evening\nTrue\n"
