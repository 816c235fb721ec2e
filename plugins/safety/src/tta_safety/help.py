"""Whom somebody in distress can reach, and the words for it: the package's, with an operator's files over them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from tta_kernel import ConfigError, Problem, Service
from tta_program.files import read_text

from .lines import Lines, shipped_lines
from .texts import Texts, shipped_texts


class Help:
    """What is named and said in a process; whoever holds it has what `become` put in force last."""

    def __init__(self, lines: Lines | None = None, texts: Texts | None = None) -> None:
        self._lines, self._texts = lines, texts

    @property
    def lines(self) -> Lines:
        """Whom to call."""
        return self._lines or shipped_lines()

    @property
    def texts(self) -> Texts:
        """What is said in a crisis, and how answers are heard."""
        return self._texts or shipped_texts()

    def become(self, other: Help) -> None:
        """Put others in force, at once and whole."""
        self._lines, self._texts = other.lines, other.texts


HELP = Service[Help]("safety-help")
"""What is named and said to somebody in distress."""
SHIPPED = Help()
"""What the package brings; nobody changes it."""


def read_help(lines: Path | None, texts: Path | None, *, today: date) -> Help:
    """Read an operator's files over what the package brings; raise a `ConfigError` with all that is wrong in them."""
    problems: list[Problem] = []
    made = Help()
    for path, key in ((lines, "lines_file"), (texts, "texts_file")):
        if path is None:
            continue
        try:
            text = read_text(path)
            if not text.strip():
                raise ValueError("is empty, as a file that is being written")
            if key == "lines_file":
                made = Help(shipped_lines().overlaid(text, str(path), today=today), made.texts)
            else:
                made = Help(made.lines, shipped_texts().with_languages(text, str(path)))
        except ValueError as error:
            problems.append(Problem(str(path), str(error), f"plugins.safety.config.{key} names it"))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return made


def stamps(paths: Sequence[Path | None]) -> Sequence[tuple[int, int, int] | None]:
    """Return by what it shows that files are others than before, without reading them."""
    return [_stamp(path) for path in paths]


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    try:
        found = path.stat() if path is not None else None
    except (OSError, ValueError):
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found is not None else None
