"""Ours, durable: see `ours.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from . import ours
from .common import Rows


@asynccontextmanager
async def open_rows(redis_url: str) -> AsyncIterator[Rows]:
    """Yield what it runs."""
    async with ours.open_durable(redis_url) as rows:
        yield rows
