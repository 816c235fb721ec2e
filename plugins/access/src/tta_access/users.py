"""Who has started this process."""

from __future__ import annotations

import os
import pwd


def user_name() -> str:
    """Return the name of the user; its number where it has none, as in many containers."""
    # Not what the environment says, which anybody can set.
    number = os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
