"""A tenth of what ``make chaos`` plays, by a seed; and a protocol whose process is killed in the middle."""

from __future__ import annotations

import anyio
import anyio.to_thread
import pytest

from tta_crisis import CRISIS
from tta_crisis.testing import until
from tta_redis.testing import redis_server
from tta_workflows import WORKFLOWS, Run

from .soak import soak, started
from .worker import Spec, id_of, kernel

ONE_TENTH = 1_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_protocol_goes_on_where_a_killed_process_left_it() -> None:
    with redis_server("--appendonly", "yes", own=True) as server:
        spec = Spec(server.config(), 1, numbers=(0,), patience="1s")
        process = started(spec)
        assert process.stdout is not None
        with process:
            assert (await anyio.to_thread.run_sync(process.stdout.readline)).strip() == b"opened 0"
            process.kill()
        async with kernel(spec) as found:

            async def over() -> Run | None:
                run = await found.get(WORKFLOWS).query(f"crisis:{id_of(0)}")
                return run if run is not None and run.over else None

            run = await until(over, limit=40.0)
            intervention = await found.get(CRISIS).get(id_of(0))
    assert run is not None
    assert run.status == "done"
    assert intervention is not None
    assert intervention.escalated_at > intervention.opened_at


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_escalation_is_lost_whatever_is_killed_and_no_machine_acknowledges() -> None:
    verdict = soak(ONE_TENTH, seed=1)
    assert verdict.wrong == []
    assert verdict.kills
    assert verdict.received >= ONE_TENTH
