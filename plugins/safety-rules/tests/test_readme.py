from __future__ import annotations

import re
from pathlib import Path

from tta_safety_rules.loading import load_engine

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_example_in_the_readme_is_a_good_file_of_rules(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "rules.yaml"
    file.write_text(example)

    rules = {rule.id: rule for rule in load_engine(file, None).rules.rules}

    assert rules["house.cliff"].match
    assert rules["depression.hopeless"].shadow
    assert rules["depression.hopeless"].patterns
