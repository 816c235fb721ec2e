"""What the plugin counts has names that metrics takes."""

from __future__ import annotations

import pytest

from tta_kernel import Figure
from tta_metrics.names import check_name, prometheus_name
from tta_tools.counting import FIGURES


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_a_figure_has_a_name_that_metrics_takes(figure: Figure) -> None:
    check_name(prometheus_name(figure.name, figure.kind, figure.unit), figure.kind, figure.help, figure.unit)
