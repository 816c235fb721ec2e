"""The OpenAPI document as a page to read, without a script and without a request to anybody else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import msgspec

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { padding: .6rem; overflow-x: auto; border: 1px solid #8886; border-radius: .3rem; }
section { border-top: 1px solid #8886; padding: .6rem 0; }
h3 { margin: .4rem 0; } .method { font-weight: 700; display: inline-block; min-width: 4.5rem; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .1rem 1rem .1rem 0; vertical-align: top; }
"""


def page(document: Mapping[str, Any]) -> str:
    """Return the page."""
    return "".join(_parts(document))


def _parts(document: Mapping[str, Any]) -> Iterator[str]:
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
    yield f"<h1>{title}</h1><p>All routes of this deployment; <code>/openapi.json</code> is for programs. "
    yield "A key goes into <code>Authorization: Bearer …</code>. What goes wrong is told as "
    yield "<code>application/problem+json</code>, with a <code>code</code> that stays.</p>"
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            groups.setdefault(operation["tags"][0], []).append("".join(_route(path, method, operation)))
    for name, sections in sorted(groups.items()):
        yield f"<h2>{escape(name)}</h2>{''.join(sections)}"
    yield "</body></html>"


def _route(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f'<section id="{escape(operation["operationId"])}"><h3><span class="method">{method.upper()}</span>'
    yield f"<code>{escape(path)}</code></h3><p>{escape(operation['summary'])} Needs "
    yield f"<code>{escape(operation['x-permission'])}</code>.</p>"
    rows = [(each["name"], each["in"], each["schema"]) for each in operation.get("parameters", ())]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        rows += [(name, "body", schema) for name, schema in content["schema"]["properties"].items()]
    if rows:
        yield "<table>"
        for name, place, schema in rows:
            yield f"<tr><td><code>{escape(name)}</code></td><td>{place}</td><td>{escape(_kind(schema))}</td></tr>"
        yield "</table>"
    for status, answer in operation["responses"].items():
        if not status.startswith(("1", "2")):
            continue
        for kind, content in answer.get("content", {}).items():
            yield f"<p>{status} <code>{escape(kind)}</code></p>"
            if "example" in content:
                shown = msgspec.json.format(msgspec.json.encode(content["example"]), indent=2).decode()
                yield f"<pre>{escape(shown)}</pre>"
    yield "</section>"


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(_kind(each) for each in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    limits = [f"{name} {schema[name]}" for name in ("minimum", "maximum", "default") if name in schema]
    return ", ".join([str(schema.get("type", "anything")), *limits])
