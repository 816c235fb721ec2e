"""The server's jars, without a container: Maven copies them once into a cache outside of the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "5.26.0"
# The server runs as a process of its own, for tests; nothing of it is linked with, or shipped by, this program.
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tta</groupId>
  <artifactId>neo4j-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.neo4j</groupId>
      <artifactId>neo4j</artifactId>
      <version>{VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""
_DONE = "complete"


def jars() -> Path:
    """Return the folder in which the server's jars are, or will be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "tta" / f"neo4j-{VERSION}" / "lib"


def is_installed() -> bool:
    """Whether a server can be started."""
    return shutil.which("java") is not None and (jars() / _DONE).exists()


def install() -> bool:
    """Fetch the jars, about 130 MB, where that wasn't done; say why not, and return False, where it can't be."""
    if is_installed():
        return True
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if missing:
        return _say(f"there is no {' and no '.join(missing)}: install a JDK of 17 or 21, and Maven")
    folder = jars()
    # What was begun and not finished is no server.
    part = folder.with_name("part")
    part.mkdir(parents=True, exist_ok=True)
    pom = part.parent / "pom.xml"
    pom.write_text(_POM, encoding="utf-8")
    command = [
        "mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", "-DincludeScope=runtime",
        f"-DoutputDirectory={part}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return _say(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}")
    (part / _DONE).touch()
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return True


def _say(why: str) -> bool:
    sys.stderr.write(f"{why}\n")
    return False


if __name__ == "__main__":
    sys.exit(0 if install() else 1)
