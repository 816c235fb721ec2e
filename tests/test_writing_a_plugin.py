"""The page on writing a plugin: the test that it shows for a boundary passes as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SETTINGS = '[pytest]\nanyio_mode = auto\nfilterwarnings = error\naddopts = -p no:cacheprovider -p "no:xdist"\n'


def test_the_boundary_of_the_page_stands_against_all_strangers(root: Path, tmp_path: Path) -> None:
    page = (root / "docs/writing-a-plugin.md").read_text(encoding="utf-8")
    text = page.partition("\n### Code that isn't yours\n")[2].partition("\n## ")[0]
    [code] = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "test_sea.py").write_text(code, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(SETTINGS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 30
