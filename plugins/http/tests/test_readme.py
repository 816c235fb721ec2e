from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tta_http import HttpPlugin
from tta_http.testing import Caller
from tta_kernel import Kernel

README = Path(__file__).resolve().parents[1] / "README.md"


async def test_the_example_in_the_readme_answers_as_it_says() -> None:
    [example] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "README.md", "exec"), names)

    async with Kernel(plugins={"http": HttpPlugin, "weather": names["WeatherPlugin"]}) as kernel:
        answer = await Caller(kernel.hooks).get("/weather/Lisbon?metric=false")

    assert answer == {"city": "Lisbon", "degrees": 70.7}
