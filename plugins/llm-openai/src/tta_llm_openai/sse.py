"""Server-sent events, cut out of bytes as they come: https://html.spec.whatwg.org/multipage/server-sent-events.html."""

from __future__ import annotations

from collections.abc import Iterator


class TooLong(Exception):
    """A line, or an event, has more bytes than it may."""


class Events:
    """Cuts a stream into the data of its events, wherever the network has cut it; ``most`` bytes each."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._after_return = False

    def feed(self, piece: bytes) -> Iterator[str]:
        """Yield the data of each event that ends in a piece.

        Lines are decoded whole, so that a character may be cut anywhere. Raises `TooLong`, and UnicodeDecodeError.
        """
        # A line ends with CR, LF or both: an LF at the beginning may belong to the CR before.
        if self._after_return and piece.startswith(b"\n"):
            piece = piece[1:]
        if piece:
            self._after_return = piece.endswith(b"\r")
        begin = len(self._rest)
        self._rest += piece
        if b"\n" not in piece and b"\r" not in piece:
            self._check(len(self._rest))
            return
        whole = bytes(self._rest)
        end = max(whole.rfind(b"\n", begin), whole.rfind(b"\r", begin)) + 1
        self._rest = bytearray(whole[end:])
        for line in whole[:end].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")[:-1]:
            if line:
                self._take(line)
            elif self._data:
                data, self._data, self._size = self._data, [], 0
                yield b"\n".join(data).decode("utf-8")
        self._check(len(self._rest))

    @property
    def pending(self) -> bool:
        """Whether an event has begun that hasn't ended."""
        return bool(self._data or self._rest)

    def _take(self, line: bytes) -> None:
        # All but `data` is passed over: comments, which keep a connection alive, and fields that nobody here uses.
        name, _, value = line.partition(b":")
        if name == b"data":
            value = value.removeprefix(b" ")
            # The end of the line counts, too: else lines without anything in them cost nothing, and are never enough.
            self._size += len(value) + 1
            self._check(self._size)
            self._data.append(value)

    def _check(self, size: int) -> None:
        if size > self._most:
            raise TooLong(f"more than {self._most} bytes")
