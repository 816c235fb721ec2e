"""The commands ``tta metrics …``: what Prometheus and Grafana are to be given."""

from __future__ import annotations

import argparse
from importlib.resources import files

from tta_kernel import Kernel
from tta_program import DONE, Subcommands

ALERTS = "alerts.yaml"
DASHBOARD = "dashboard.json"


def add(subcommands: Subcommands) -> None:
    """Add the commands."""
    subcommands.group("metrics", help="print alert rules and a dashboard for what is counted")
    subcommands.add("metrics alerts", _alerts, help="print alert rules for Prometheus")
    subcommands.add("metrics dashboard", _dashboard, help="print a dashboard for Grafana")


def shipped(name: str) -> str:
    """Return a file that comes with this package: `ALERTS` or `DASHBOARD`."""
    return files("tta_metrics").joinpath("files", name).read_text(encoding="utf-8")


async def _alerts(kernel: Kernel, options: argparse.Namespace) -> int:
    print(shipped(ALERTS), end="")
    return DONE


async def _dashboard(kernel: Kernel, options: argparse.Namespace) -> int:
    print(shipped(DASHBOARD), end="")
    return DONE
