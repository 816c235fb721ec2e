"""Whatever somebody's code does that is asked for a number or told an event, all other metrics are there."""

from __future__ import annotations

from typing import Any

import pytest

from tta_kernel import Event, EventBus
from tta_kernel.testing.strangers import Outcome, Stranger, strangers
from tta_metrics import Metrics, prometheus_text


class Rung(Event, frozen=True, tag="bell.rung"):
    times: int = 1


@pytest.mark.boundary("tta_metrics.Metrics.gauge.read", "tta_metrics.Metrics.family.read")
@pytest.mark.parametrize("stranger", strangers("plain", returns=float), ids=str)
def test_a_gauge_that_cannot_be_read_is_left_out(stranger: Stranger) -> None:
    metrics = Metrics()
    metrics.gauge("tta_odd", "odd", read=stranger)
    metrics.gauge("tta_right", "right", read=lambda: 7)
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            prometheus_text(metrics)
        return
    text = prometheus_text(metrics).decode()
    assert "\ntta_right 7\n" in text
    if stranger.outcome is Outcome.FAILURE:
        assert "tta_odd " not in text
        assert 'tta_metrics_read_errors_total{metric="tta_odd"} 1\n' in text


@pytest.mark.boundary("tta_metrics.Metrics.counter.read")
@pytest.mark.parametrize("stranger", strangers("plain", returns=float), ids=str)
def test_a_counter_that_cannot_be_read_is_left_out(stranger: Stranger) -> None:
    metrics = Metrics()
    metrics.counter("tta_odd_total", "odd", read=stranger)
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            prometheus_text(metrics)
        return
    text = prometheus_text(metrics).decode()
    assert "\ntta_metrics_missed_events_total 0\n" in text
    assert stranger.outcome is not Outcome.FAILURE or "tta_odd_total " not in text


@pytest.mark.boundary("tta_metrics.Metrics.follow.update")
@pytest.mark.parametrize("stranger", strangers("plain"), ids=str)
async def test_an_update_that_fails_leaves_the_next_event_and_the_other_updates_counted(stranger: Stranger) -> None:
    bus = EventBus()
    metrics = Metrics(events=bus)
    heard: list[int] = []

    def odd(event: Rung) -> Any:
        return stranger()

    with metrics.follow(Rung, odd), metrics.follow(Rung, lambda event: heard.append(event.times)):
        bus.publish(Rung(times=1))
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await metrics.catch_up()
            return
        await metrics.catch_up()
        bus.publish(Rung(times=2))
    assert heard == [1, 2]
    failed = 2 if stranger.outcome is Outcome.FAILURE and "raises" in str(stranger) else 0
    assert f"tta_metrics_failed_events_total {failed}\n" in prometheus_text(metrics).decode()


async def test_what_came_too_fast_is_counted_as_missed() -> None:
    bus = EventBus()
    metrics = Metrics(events=bus)
    counter = metrics.counter("tta_rings_total", "rings")
    with metrics.follow(Rung, lambda event: counter.inc(event.times)):
        for _ in range(10_005):
            bus.publish(Rung())
        await metrics.catch_up()
        assert "tta_metrics_missed_events_total 5\n" in prometheus_text(metrics).decode()
    assert counter.value == 10_000
    assert "tta_metrics_missed_events_total 5\n" in prometheus_text(metrics).decode()
