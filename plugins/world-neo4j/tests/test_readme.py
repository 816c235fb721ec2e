from __future__ import annotations

import re
from pathlib import Path

import msgspec

from tta_world_neo4j import Config

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_example_in_the_readme_is_a_config() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    section = msgspec.yaml.decode(example)["plugins"]["world-neo4j"]
    section["config"]["password"] = "from a file"

    assert msgspec.convert(section["config"], Config).url == "neo4j://neo4j.example.org:7687"
