from __future__ import annotations

import re
from pathlib import Path

import yaml

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_example_in_the_readme_is_a_config() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)

    assert yaml.safe_load(example)["plugins"]["agents-redis"]["config"] == {"ttl": "10s"}
