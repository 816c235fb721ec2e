"""The page behind a link: what happened, and a button. Mail scanners follow links, so looking acknowledges nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from .model import Entry, Link

_PAGE = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">
<title>{title}</title></head>
<body><main><h1>{title}</h1>{content}</main></body>
</html>
"""
_FORM = """\
<p>{when}, {severity}. Notification {key}.</p>
<p>{body}</p>
<form method="post">{name}<button type="submit">I have seen it, and take care of it</button></form>
"""
_NAME = '<p><label>Your name <input name="by" required maxlength="200" autocomplete="name"></label></p>'


def asking(entry: Entry, link: Link) -> str:
    """Return the page with the button; where the link is nobody's in particular, it asks for a name."""
    about = entry.notification
    form = _FORM.format(
        when=_time(entry.created_at),
        severity=about.severity,
        key=entry.key,
        body=escape(about.body).replace("\n", "<br>"),
        name="" if link.person else _NAME,
    )
    return _PAGE.format(title=escape(about.subject), content=form)


def done(entry: Entry) -> str:
    """Return the page that says who has acknowledged it."""
    said = entry.acknowledgement
    assert said is not None
    content = f"<p>{escape(said.by)} has acknowledged it, {_time(said.at)}.</p>"
    return _PAGE.format(title=escape(entry.notification.subject), content=content)


def over() -> str:
    """Return the page of a link that leads nowhere."""
    content = (
        "<p>It was used before, or is too old. <code>tta notify list</code> shows what nobody has acknowledged yet.</p>"
    )
    return _PAGE.format(title="This link is over", content=content)


def nameless() -> str:
    """Return the page for whoever gave no name."""
    return _PAGE.format(title="Who are you?", content="<p>Go back, and say your name.</p>")


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
