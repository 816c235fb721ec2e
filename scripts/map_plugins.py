"""Write the map of all distributions into ``plugins/README.md``, out of their manifests; ``--check`` only compares."""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
# From top to bottom, with the heading of each.
STOREYS = {
    "surface": "Surfaces",
    "actor": "Actors",
    "capability": "Capabilities",
    "backend": "Backends",
    "client": "Clients",
    "kernel": "Kernel",
}
BEGIN = "<!-- map: written by `make map` -->\n"
END = "<!-- end of the map -->\n"


class Distribution(NamedTuple):
    name: str
    link: str
    storey: str
    description: str
    needs: Sequence[str]


def read(root: Path) -> Iterator[Distribution]:
    """Read the manifest of each distribution; one without a storey is an error."""
    for manifest in sorted([root / "kernel/pyproject.toml", *root.glob("plugins/*/pyproject.toml")]):
        content = tomllib.loads(manifest.read_text(encoding="utf-8"))
        folder = manifest.parent
        storey = content.get("tool", {}).get("tta", {}).get("storey")
        if storey not in STOREYS:
            at = manifest.relative_to(root)
            sys.exit(f"{at}: [tool.tta] storey is {storey!r}, and should be one of {', '.join(STOREYS)}")
        project = content["project"]
        names = [re.split(r"[^\w-]", line, maxsplit=1)[0] for line in project["dependencies"]]
        needs = sorted(name.removeprefix("tta-") for name in names if name.startswith("tta-"))
        link = "../kernel" if folder.name == "kernel" else f"{folder.name}/README.md"
        yield Distribution(folder.name, link, storey, project["description"], needs)


def rows(root: Path) -> Iterator[str]:
    """Yield the lines of the map: a table for each storey that has somebody in it."""
    distributions = [*read(root)]
    for storey, heading in STOREYS.items():
        here = [each for each in distributions if each.storey == storey]
        if not here:
            continue
        yield from ("", f"## {heading}", "", "| distribution | what it is | builds on |", "|---|---|---|")
        for each in here:
            # All but the kernel need the kernel.
            needs = ", ".join(name for name in each.needs if name != "kernel")
            yield f"| [{each.name}]({each.link}) | {each.description} | {needs} |"
    yield ""


def with_map(page: str, root: Path) -> str:
    """Return the page with the map that the manifests ask for between its two marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"plugins/README.md: has no {BEGIN.strip()!r} followed by {END.strip()!r}")
    return before + begin + "\n".join(rows(root)) + "\n" + end + after


def main(arguments: Sequence[str]) -> int:
    """Return 1 where the map is stale and may not be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the map is stale")
    parser.add_argument("--root", type=Path, default=ROOT, help="the top of the tree (this one)")
    options = parser.parse_args(arguments)
    file = options.root / "plugins/README.md"
    page = file.read_text(encoding="utf-8")
    current = with_map(page, options.root)
    if page == current:
        return 0
    if options.check:
        print("plugins/README.md: doesn't say what the manifests say: run `make map`", file=sys.stderr)
        return 1
    file.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
