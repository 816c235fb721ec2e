"""For tests of plugins: run a few of them, hear their events, and see what becomes of misbehaving code."""

from __future__ import annotations

from .events import Published, published, until
from .figures import wrong_figures
from .kernels import Plugins, name_of, problems, running
from .logs import logged
from .shared import Shared
from .strangers import LIMIT, Outcome, Stranger, strangers

__all__ = [
    "LIMIT", "Outcome", "Plugins", "Published", "Shared", "Stranger", "logged", "name_of", "problems", "published",
    "running", "strangers", "until", "wrong_figures",
]  # fmt: skip
