"""Make a plugin of your own out of this template: ``python plugin-template/new.py kind-words ../kind-words``."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*")
LEFT_OUT = {"new.py", "__pycache__", "build", "dist"}

NEXT = """\
{target} holds the plugin {name}. Next, in the environment in which tta runs:

  pip install -e '{target}[test]'
  pytest {target}
  tta plugins

To give it a part in a turn, put this into your environment's file, such as config/development.yaml. A list replaces
the one of a lower layer, so all steps of config/base.yaml are repeated; `story` no longer streams, because the text
now ends with {name}.

plugins:
  workflows:
    config:
      workflows:
        turn:
          steps:
            - id: scene
              agent: world-builder
              input: {{world: input.world, seed: input.seed}}
            - id: intent
              agent: input-processor
              input: {{text: input.text, world: steps.scene.world}}
            - id: world
              agent: world-builder
              input: {{intent: steps.intent.intent, world: steps.scene.world, seed: input.seed}}
            - id: story
              agent: narrative-generator
              input: {{change: steps.world.change, world: steps.world.world, seed: input.seed, turn: input.turn}}
            - id: kind
              agent: {name}
              input: {{text: steps.story.text}}
          output: {{text: steps.kind.text, world: steps.story.world}}
"""


def files() -> Iterator[Path]:
    """Yield what belongs to the template, relative to it."""
    for path in sorted(TEMPLATE.rglob("*")):
        inner = path.relative_to(TEMPLATE)
        dropped = any(part in LEFT_OUT or part.startswith(".") or part.endswith(".egg-info") for part in inner.parts)
        if path.is_file() and not dropped and path.suffix != ".pyc":
            yield inner


def spellings(name: str) -> dict[str, str]:
    """Return what the template's name becomes, in each of its spellings."""
    return {
        "example-agent": name,
        "example_agent": name.replace("-", "_"),
        "ExampleAgent": "".join(word.capitalize() for word in name.split("-")),
    }


def renamed(text: str, new: dict[str, str]) -> str:
    """Replace all spellings in one pass, so that a new name may contain the old one."""
    return re.sub("|".join(new), lambda found: new[found.group()], text)


def objection(name: str, target: Path) -> str | None:
    """Say why there can be no such plugin there."""
    if not NAME.fullmatch(name):
        return f"{name!r} is not a name: use lower-case words joined by hyphens, such as kind-words"
    if name.startswith("tta-"):
        return f"{name!r} begins with 'tta-', which the distribution gets anyway: use {name.removeprefix('tta-')!r}"
    title = spellings(name)["ExampleAgent"]
    source = "".join((TEMPLATE / file).read_text(encoding="utf-8") for file in files() if file.suffix == ".py")
    if re.search(rf"\b{title}\b", source) and name != "example-agent":
        return f"{name!r} would make a class {title}, which the template needs itself: use another name"
    if target.exists() and not target.is_dir():
        return f"{target} is a file: name a new folder, or an empty one"
    if target.is_dir() and any(target.iterdir()):
        return f"{target} is not empty: name a new folder, or an empty one"
    if target.resolve().is_relative_to(TEMPLATE):
        return f"{target} is inside the template: name a folder elsewhere"
    return None


def make(name: str, target: Path) -> None:
    """Copy the template to ``target`` under its new name."""
    new = spellings(name)
    for file in list(files()):
        copy = target / renamed(str(file), new)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(renamed((TEMPLATE / file).read_text(encoding="utf-8"), new), encoding="utf-8")
        shutil.copymode(TEMPLATE / file, copy)


def main(arguments: Sequence[str]) -> int:
    """Make the plugin, and print what to do next."""
    parser = argparse.ArgumentParser(prog="new.py", description="Make a plugin of your own out of this template.")
    parser.add_argument("name", metavar="NAME", help="lower-case words joined by hyphens, such as kind-words")
    parser.add_argument("target", metavar="TARGET", type=Path, help="a new folder, or an empty one")
    options = parser.parse_args(arguments)
    if why := objection(options.name, options.target):
        parser.error(why)
    make(options.name, options.target)
    print(NEXT.format(name=options.name, target=options.target), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
