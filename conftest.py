"""How tests run side by side, and what they cost: with ``--cpu 20`` the twenty dearest are named."""

from __future__ import annotations

import faulthandler
import gc
import os
import shutil
import signal
import tempfile
from collections import defaultdict
from collections.abc import Generator

import pytest

_STUCK = 60.0
"""Seconds in which the fixtures of a test that has failed must end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("reporting")
    group.addoption("--cpu", type=int, default=0, metavar="N", help="show the N tests that took most processor time")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what runs in its background deaf to Ctrl-C, and whatever that starts is deaf, too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        # The same, of whoever starts them by nohup: tests of SIGHUP would be of nothing.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if config.pluginmanager.has_plugin("hypothesispytest"):
        from hypothesis import settings

        # No example fails for being slow once: these tests run beside others.
        settings.register_profile("untimed", settings(), deadline=None)
        settings.load_profile("untimed")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        # What a system under test writes is thrown away, and is never that of whoever runs the tests.
        os.environ["XDG_STATE_HOME"] = state = tempfile.mkdtemp(prefix="tta-state-")
        config.add_cleanup(lambda: shutil.rmtree(state, ignore_errors=True))
        os.environ.pop("TTA_STATE", None)
        os.environ.pop("TTA_KEY", None)
    config.pluginmanager.register(_ProcessorTime(config.getoption("cpu")))
    if "PYTEST_XDIST_WORKER" in os.environ:
        config.pluginmanager.register(_EndsIfStuck())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Run three tests a core under ``-n auto``: most of a test's time is waiting for a process or a server."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return 3 * (os.cpu_count() or 1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave the garbage collector out of it: what is collected here stays, and looking through it costs a third."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape lone surrogates in a report: with them none travels from a process of pytest-xdist."""
    report = yield
    report.sections = [(title, _escaped(text)) for title, text in report.sections]
    if report.failed and (shown := str(report.longrepr)) != _escaped(shown):
        report.longrepr = _escaped(shown)
    return report


def _escaped(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


class _ProcessorTime:
    """Counts user and system time, that of child processes included once they have been waited for.

    Each process of pytest-xdist measures its own tests, and its figures travel with its reports.
    """

    def __init__(self, shown: int) -> None:
        self._shown = shown
        self._before = 0.0
        self._by_test = defaultdict[str, float](float)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        self._before = _used()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        now = _used()
        report.processor_time = now - self._before  # type: ignore[attr-defined]
        self._before = now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._by_test[report.nodeid] += getattr(report, "processor_time", 0.0)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._by_test:
            return
        if self._shown:
            terminalreporter.section("processor time of the dearest tests")
            by_cost = sorted(self._by_test.items(), key=lambda pair: pair[1], reverse=True)
            for test, seconds in by_cost[: self._shown]:
                terminalreporter.write_line(f"{seconds:6.2f} s  {test}")
        # By now the workers have ended, so that their collecting and importing is counted, too.
        total, tests = _used(), len(self._by_test)
        terminalreporter.write_line(
            f"{tests} tests took {total:.0f} s of processor time, {1000 * total / tests:.0f} ms each"
        )


class _EndsIfStuck:
    """Ends a worker that doesn't come back from a failure: pytest-xdist says in which test, and starts another.

    A test on trio that has run out of its time leaves a task behind for which the fixtures' end waits, without a limit.
    """

    def __init__(self) -> None:
        self._stderr = os.dup(2)

    # Last, since pytest's own plugin calls the timer off in this hook.
    @pytest.hookimpl(trylast=True)
    def pytest_exception_interact(self) -> None:
        faulthandler.dump_traceback_later(_STUCK, exit=True, file=self._stderr)

    def pytest_runtest_logfinish(self) -> None:
        faulthandler.cancel_dump_traceback_later()


def _used() -> float:
    return sum(os.times()[:4])
