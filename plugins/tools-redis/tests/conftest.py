from __future__ import annotations

from tta_redis.testing import redis, shared_redis  # noqa: F401  # fixtures
