"""The routes of all plugins, served: what the OpenAPI document promises is kept."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tta_diagnostics import ADDRESSES
from tta_kernel import Kernel, KernelSettings, PluginSettings
from tta_program import BlockingKernel

KEYS = {role: f"ttak_{secrets.token_urlsafe(32)}" for role in ("viewer", "operator", "admin")}
ELSEWHERE = ("redis", "neo4j", "file", "play", "orchestration")
"""Parts of names of plugins that need a server, write into somebody's home, or have nothing to serve."""


@pytest.fixture
def address(root: Path) -> Iterator[str]:
    """Serve what is installed, from memory, and let everybody ask as often as they like."""
    ours = {f"tta-{path.parent.name}" for path in root.glob("plugins/*/pyproject.toml")}
    names = {each.name for each in entry_points(group="tta.plugins") if each.dist and each.dist.name in ours}
    rate = {"per_second": 1_000_000, "burst": 1_000_000}
    plugins = {name: PluginSettings(enabled=not any(part in name for part in ELSEWHERE)) for name in names}
    plugins["access"] = PluginSettings(
        config={"keys": {role: {"key": key, "roles": [role]} for role, key in KEYS.items()}, "failures": 10_000}
    )
    rates = dict.fromkeys(("probe", "read", "write", "costly"), rate)
    plugins["diagnostics"] = PluginSettings(config={"listeners": [{"port": 0}], "drain": 0, "rates": rates})
    with BlockingKernel(Kernel(KernelSettings(plugins=plugins))) as blocking:
        yield blocking.kernel.get(ADDRESSES)[0]


# An event that nobody publishes would be waited for each time.
SETTINGS = """\
[[operations]]
include-path = "/events"
parameters = { "query.wait" = 0.01 }
"""


def document(address: str) -> bytes:
    request = Request(f"{address}/openapi.json", headers={"Authorization": f"Bearer {KEYS['viewer']}"})
    with urlopen(request) as answer:
        found: bytes = answer.read()
    return found


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("role", ["", *KEYS])
def test_what_the_document_promises_is_kept(address: str, role: str, tmp_path: Path) -> None:
    """Let schemathesis try each route with each of its checks, as each role."""
    file = tmp_path / "openapi.json"
    file.write_bytes(document(address))
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    command = [str(Path(sys.executable).with_name("st")), "run", str(file), "--url", address, "--checks", "all"]
    command += ["--max-examples", "3", "--seed", "1", "--no-color"]
    if role:
        command += ["-H", f"Authorization: Bearer {KEYS[role]}"]

    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=390)

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
