from __future__ import annotations

import re
from pathlib import Path

import msgspec
import yaml

from tta_breakers_redis import Config
from tta_program import LayeredSettings

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_example_in_the_readme_is_a_config() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    settings = msgspec.convert(yaml.safe_load(example), LayeredSettings)

    assert settings.decode("breakers-redis", Config).ttl == 86_400.0
