"""Transactions of the driver: retried while a failure may pass, within limits, and told as the store's own errors."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import anyio
from neo4j import READ_ACCESS, WRITE_ACCESS, AsyncDriver, AsyncGraphDatabase, AsyncManagedTransaction, unit_of_work
from neo4j.exceptions import DriverError, Neo4jError

from tta_world import WorldError

from .config import Config

T = TypeVar("T")
Rows = Sequence[Mapping[str, Any]]
_BATCH = 1000
"""How many rows are sent at once."""
_GONE = "Neo.ClientError.Statement.EntityNotFound"
"""A node was deleted between being found and being locked: what was to be done begins anew."""
_TRIES = 5


class Transaction:
    """What is said to the server within one transaction."""

    def __init__(self, tx: AsyncManagedTransaction) -> None:
        self._tx = tx

    async def run(self, statement: str, **parameters: Any) -> Rows:
        """Say something, and return all that is answered."""
        result = await self._tx.run(statement, parameters)
        return [dict(record) async for record in result]

    async def run_batches(self, statement: str, rows: Sequence[Any], name: str = "rows") -> None:
        """Say something of many rows."""
        for begin in range(0, len(rows), _BATCH):
            await self.run(statement, **{name: rows[begin : begin + _BATCH]})


class Database:
    """One database of a Neo4j. A process reads what it wrote itself, from whichever server: by bookmarks."""

    def __init__(self, driver: AsyncDriver, config: Config) -> None:
        self.driver, self._config = driver, config
        self._bookmarks = AsyncGraphDatabase.bookmark_manager()

    async def read(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Do what only reads; raise `WorldError`."""
        return await self._execute(work, READ_ACCESS)

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Do something whole or not at all, and once more where it is unknown whether it was: it must bear that.

        What ``work`` raises undoes it. Raise `WorldError`.
        """
        return await self._execute(work, WRITE_ACCESS)

    async def _execute(self, work: Callable[[Transaction], Awaitable[T]], access: str) -> T:
        limited = unit_of_work(
            timeout=self._config.query_timeout, metadata={"app": "tta", "space": self._config.prefix}
        )

        async def wrapped(tx: AsyncManagedTransaction) -> T:
            return await work(Transaction(tx))

        with _told(), anyio.fail_after(self._config.call_timeout):
            for number in range(_TRIES):
                async with self.driver.session(
                    database=self._config.database, default_access_mode=access, bookmark_manager=self._bookmarks
                ) as session:
                    run = session.execute_read if access == READ_ACCESS else session.execute_write
                    try:
                        return await run(limited(wrapped))
                    except Neo4jError as exc:
                        if exc.code != _GONE or number == _TRIES - 1:
                            raise
        raise AssertionError("the last try returns or raises")


@contextmanager
def _told() -> Iterator[None]:
    """Tell failures as the store's own. A server's message may quote what it was sent, so only its code is told."""
    try:
        yield
    except Neo4jError as exc:
        raise WorldError(f"Neo4j: {exc.code}") from exc
    except DriverError as exc:
        raise WorldError(f"Neo4j: {type(exc).__name__}: {exc}") from exc
    except TimeoutError as exc:
        raise WorldError("Neo4j did not answer in time; see call_timeout") from exc
    except OSError as exc:
        raise WorldError(f"Neo4j: {type(exc).__name__}: {exc.strerror}") from exc


@asynccontextmanager
async def connect(config: Config) -> AsyncIterator[Database]:
    """Open a driver; nothing is sent yet."""
    # At its lowest level it logs what is sent, and so a person's name in their story.
    logging.getLogger("neo4j.io").setLevel(logging.INFO)
    driver = AsyncGraphDatabase.driver(
        config.url,
        auth=(config.user, config.password) if config.user else None,
        max_connection_pool_size=config.connections,
        connection_acquisition_timeout=config.connect_timeout,
        connection_timeout=config.connect_timeout,
        max_transaction_retry_time=config.retry_for,
        liveness_check_timeout=30.0,
        keep_alive=True,
        user_agent="tta-world-neo4j",
        notifications_min_severity="OFF",
        **(config.tls.arguments() if config.tls else {}),
    )
    try:
        yield Database(driver, config)
    finally:
        with anyio.move_on_after(config.connect_timeout, shield=True):
            await driver.close()
