"""Numbers that make no sense, for contracts: whoever takes one in a call refuses all of these."""

from __future__ import annotations

import math
from typing import Any

NO_DURATIONS: tuple[Any, ...] = (math.nan, math.inf, -math.inf, -1.0, 1e300, 10**400, True, "1")
"""What is no number of seconds (`tta_kernel.check_duration`); where it must be positive, 0 is none, too."""
NO_COUNTS: tuple[Any, ...] = (math.nan, math.inf, -math.inf, -1, 0, 1.0, True, "1")
"""What is no number of things of which there must be one (`tta_kernel.check_count`)."""
