"""The command ``tta safety train``."""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from tta_kernel import Kernel
from tta_program import DONE, Subcommands, fail

AUTHORED = Path("plugins/safety-rules/data/train")
OUT = Path("plugins/safety-rules/src/tta_safety_rules/learned")


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = subcommands.add(
        "safety train", _train, help="make the heads' weights from data: the same bytes from the same data"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the folder with the shared data")
    parser.add_argument(
        "--authored", type=Path, default=AUTHORED, metavar="DIR",
        help="the folder with the lines that were written for this project (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="where the weights go (%(default)s)")
    parser.add_argument(
        "--embeddings", type=Path, metavar="FILE",
        help="where embeddings are kept from one training to the next (in the cache folder)",
    )  # fmt: skip
    parser.add_argument("--date", default="", help="what the card says (today)")


async def _train(kernel: Kernel, options: argparse.Namespace) -> int:
    for folder in (options.data, options.authored):
        if not folder.is_dir():
            return fail("safety", f"{folder}: there is no such folder")
    try:
        from tta_safety_rules.embeddings.model import STAMP, SentenceModel, cache_folder

        from .embedding import Embeddings
        from .flow import Sources, train
    except ImportError as exc:
        return fail("safety", f"training needs more than checking does: pip install 'tta-safety-rules[train]' ({exc})")
    folder = cache_folder()
    try:
        model = SentenceModel(folder)
    except FileNotFoundError as exc:
        return fail("safety", str(exc))
    stamp = (folder / STAMP).read_text()
    embeddings = Embeddings(model, options.embeddings or folder / "trained.sqlite", stamp)
    date = options.date or dt.datetime.now(dt.UTC).date().isoformat()
    made = train(Sources(options.authored, options.data), embeddings, stamp, date, lambda text: print(text, flush=True))
    options.out.mkdir(parents=True, exist_ok=True)
    for name, data in made.files.items():
        (options.out / name).write_bytes(data)
        print(f"{options.out / name}: {len(data)} bytes")
    return DONE
