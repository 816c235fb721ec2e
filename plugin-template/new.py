"""Make a plugin of your own out of this template: ``python plugin-template/new.py kind-words ../kind-words``."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent
TREE = TEMPLATE.parent
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*")
LEFT_OUT = {"new.py", "__pycache__", "build", "dist"}

NEXT = """\
{target} holds the plugin {name}. Next, in the environment in which tta runs:

  pip install -e '{target}[test]'
  pytest {target}
  tta plugins

To give it a part in a turn, copy the configuration, and put the lines below at the end of the copy's development.yaml,
as they are: they continue the `plugins:` that is there. A list replaces the one of a lower layer, so all steps of
base.yaml are repeated.

  cp -r config {target}/config
  tta check --config {target}/config
  tta play --config {target}/config --trace -- "look around"

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
              stream: true
              input: {{change: steps.world.change, world: steps.world.world, seed: input.seed, turn: input.turn}}
            - id: {name}
              agent: {name}
              input: {{text: steps.story.text}}
          output: {{text: steps.{name}.text, world: steps.story.world}}
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


def sorted_names(text: str) -> str:
    """Sort imported and exported names anew, as linters want them: a class has another initial now."""

    def again(found: re.Match[str]) -> str:
        names = sorted(found[2].split(", "), key=lambda name: (len(name.strip('"')) == 1 or not name.isupper(), name))
        return found[1] + ", ".join(names) + found[3]

    return re.sub(r"^((?:from \S+ import |__all__ = \[))(.+?)(\]?)$", again, text, flags=re.MULTILINE)


def owner(name: str) -> str | None:
    """Return the distribution that has a plugin's name already, in this tree or installed."""
    wanted = f"tta-{name}"
    for manifest in [TREE / "kernel/pyproject.toml", *sorted(TREE.glob("plugins/*/pyproject.toml"))]:
        project = tomllib.loads(manifest.read_text(encoding="utf-8"))["project"]
        if project["name"] == wanted or name in project.get("entry-points", {}).get("tta.plugins", ()):
            return f"{project['name']}, in {manifest.parent}"
    for each in distributions():
        entries = each.entry_points.select(group="tta.plugins", name=name)
        if each.name == wanted or [*entries]:
            return f"{each.name}, which is installed"
    return None


def objection(name: str, target: Path) -> str | None:
    """Say why there can be no such plugin there."""
    if not NAME.fullmatch(name):
        return f"{name!r} is not a name: use lower-case words joined by hyphens, such as kind-words"
    if name.startswith("tta-"):
        return f"{name!r} begins with 'tta-', which the distribution gets anyway: use {name.removeprefix('tta-')!r}"
    if who := owner(name):
        return f"{name!r} is taken by {who}, and yours would take its place: use another name"
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
        text = renamed((TEMPLATE / file).read_text(encoding="utf-8"), new)
        copy.write_text(sorted_names(text) if file.suffix == ".py" else text, encoding="utf-8")
        shutil.copymode(TEMPLATE / file, copy)


def main(arguments: Sequence[str]) -> int:
    """Make the plugin, and print what to do next."""
    parser = argparse.ArgumentParser(prog="new.py", description="Make a plugin of your own out of this template.")
    parser.add_argument("name", metavar="NAME", help="lower-case words joined by hyphens, such as kind-words")
    parser.add_argument("target", metavar="TARGET", type=Path, help="a new folder, or an empty one")
    options = parser.parse_args(arguments)
    try:
        if why := objection(options.name, options.target):
            parser.error(why)
        make(options.name, options.target)
    except OSError as exc:
        parser.error(f"{exc.filename or options.target}: {exc.strerror}: name a folder where you may write")
    print(NEXT.format(name=options.name, target=options.target), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
