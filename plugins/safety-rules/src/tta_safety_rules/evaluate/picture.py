"""Curves of recall by false alarms as SVG: a few lines and words need no drawing library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

_SIZE = 480
_EDGE = 56
_LEGEND = 190
_COLOURS = (
    "#1b6ca8", "#c44536", "#3a7d44", "#8d5b9f", "#b8860b", "#2a9d8f", "#7f5539", "#5c677d", "#d08c60", "#43658b",
)  # fmt: skip

Curve = Sequence[tuple[float, float]]


def svg(curves: Mapping[str, Curve]) -> str:
    """Draw each curve from (0, 0) to (1, 1), named beside the picture."""
    width = _SIZE + 2 * _EDGE + _LEGEND
    height = _SIZE + 2 * _EDGE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" style="font: 13px sans-serif">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for step in range(11):
        at = step / 10
        x, y = _x(at), _y(at)
        parts.append(f'<path d="M{x} {_y(0)}V{_y(1)}M{_x(0)} {y}H{_x(1)}" stroke="#ddd" fill="none"/>')
        if step % 2 == 0:
            parts.append(f'<text x="{x}" y="{_y(0) + 18}" text-anchor="middle">{at:.0%}</text>')
            parts.append(f'<text x="{_x(0) - 8}" y="{y + 4}" text-anchor="end">{at:.0%}</text>')
    parts.append(f'<path d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}" stroke="#999" stroke-dasharray="4" fill="none"/>')
    for place, (name, points) in enumerate(curves.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        path = "L".join(f"{_x(x)} {_y(y)}" for x, y in points)
        parts.append(f'<path d="M{path}" stroke="{colour}" stroke-width="1.8" fill="none"/>')
        top = _EDGE + 20 * place
        parts.append(f'<rect x="{_x(1) + 16}" y="{top}" width="14" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{_x(1) + 36}" y="{top + 7}">{escape(name[:24])}</text>')
    middle = _EDGE + _SIZE / 2
    parts.append(f'<text x="{middle}" y="{height - 14}" text-anchor="middle">false alarms</text>')
    parts.append(f'<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">recall</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(share: float) -> float:
    return round(_EDGE + share * _SIZE, 1)


def _y(share: float) -> float:
    return round(_EDGE + (1 - share) * _SIZE, 1)
