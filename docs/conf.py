"""Sphinx settings; the changelog's unreleased part is drawn from its fragments at each build."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent
ROOT = HERE.parent

project = "TTA"
author = "The TTA contributors"
project_copyright = author
version = release = (ROOT / "VERSION").read_text(encoding="utf-8").strip()

extensions = ["myst_parser", "sphinxcontrib.mermaid"]
exclude_patterns = ["_build", "changelog.d"]
html_theme = "furo"
html_title = f"TTA {release}"

# Links to a page's headings are checked, and ```mermaid is the fence that other viewers draw, too.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
myst_fence_as_directive = ["mermaid"]


def draft_the_changelog(_app: Sphinx) -> None:
    """Write what the next release would say to where ``changelog.md`` includes it from."""
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "unreleased"]
    draft = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    _, _, entries = draft.partition("## unreleased")
    _, _, entries = entries.partition("\n")
    target = HERE / "_build" / "unreleased.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text(entries.strip() + "\n", encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Draft the changelog before Sphinx reads the first page."""
    app.connect("builder-inited", draft_the_changelog)
