"""What a command doesn't need, it doesn't wait for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = {"aiohttp", "numpy", "onnxruntime", "rich", "sklearn"}
"""What takes a tenth of a second or more to import."""
PROGRAM = """
import sys
from tta_program.__main__ import main
code = main()
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""


def test_a_command_that_serves_nothing_and_asks_nobody_imports_no_heavy_library(root: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "check", "--env", "development"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    imported = set(done.stderr.splitlines()[-1].split())
    assert "tta_kernel" in imported
    assert HEAVY & imported == set()
