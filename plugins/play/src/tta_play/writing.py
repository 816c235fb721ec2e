"""A story on a terminal while it is told: wrapped word by word, with what people say in italics."""

from __future__ import annotations

import re

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Text

_CHARACTER = (
    r"\u2e80-\u2fdf\u3001-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff60\U00020000-\U0003fffd"
)
"""What Chinese and Japanese write without spaces: a line may end after each, but for what opens or closes."""
_TOKEN = re.compile(
    rf"\n+|[^\S\n]+|[“‘「『（《【〈]*[{_CHARACTER}][、。，．！？：；…」』）》】〉”’]*|[^\s{_CHARACTER}]+"
)
_QUOTE = re.compile(r"(?=“)|(?<=”)")
_INDENT = 2


class Writing:
    """Writes one turn; every piece stands on the screen before the next one comes."""

    def __init__(self, console: Console, measure: int) -> None:
        self._console = console
        self._width = max(1, min(console.width, measure) - 2 * _INDENT)
        self._parts: list[tuple[str, str]] = []
        """What is still to be written of a piece: texts, and their styles."""
        self.begun = False
        self._column = 0
        self._space = False
        self._speech = False

    def add(self, piece: str) -> None:
        """Write a piece; the space after its last word waits for the next one, which may begin a line."""
        if not self.begun:
            # Not before there is something: what can't be played is refused right below its line.
            self._put("\n")
            self.begun = True
        for token in _TOKEN.findall(piece):
            if "\n" in token:
                self._break(token)
                # A quote that nobody closed ends with its paragraph.
                self._speech = False
            elif token.isspace():
                self._space = True
            else:
                self._word(token)
        self._console.print(Text.assemble(*self._parts), end="", soft_wrap=True)
        self._parts.clear()

    def end(self) -> None:
        """End the last line, and leave one empty."""
        self._console.print("\n" if self._column else "")

    def interrupted(self) -> str:
        """Return what ends the line that was begun, so that something else may be written; the story goes on below."""
        end = "\n" if self._column else ""
        self._column = 0
        self._space = False
        return end

    def _word(self, word: str) -> None:
        width = cell_len(word)
        if width > self._width and len(word) > 1:
            for part in filter(None, chop_cells(word, self._width)):
                self._word(part)
            return
        if self._column and self._column + self._space + width > self._width:
            self._break("\n")
        if not self._column:
            self._put(" " * _INDENT)
        elif self._space:
            self._put(" ", italic=self._speech)
            self._column += 1
        self._space = False
        self._column += width
        for part in _QUOTE.split(word):
            self._speech = self._speech or part.startswith("“")
            self._put(part, italic=self._speech)
            self._speech = self._speech and not part.endswith("”")

    def _break(self, lines: str) -> None:
        self._put(lines)
        self._column = 0
        self._space = False

    def _put(self, text: str, *, italic: bool = False) -> None:
        style = "italic" if italic else ""
        if self._parts and self._parts[-1][1] == style:
            # One run of a style, not one a word: each begins and ends with an escape sequence.
            text = self._parts.pop()[0] + text
        self._parts.append((text, style))
