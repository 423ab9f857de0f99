"""A bar chart in SVG, written as text: no library, and sharp on any screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Twice the target and more looks alike, so that what misses it stays readable.
_MOST = 2.0
_LABELS, _BARS, _VALUES = 330, 360, 170
_ROW, _TOP = 22, 34
# Readable on white and on the dark page of a repository's host alike.
_MET, _MISSED, _INK = "#2da44e", "#d4712a", "#8b949e"


@dataclass(frozen=True)
class Bar:
    """A bar: `reached` is a share of the target, `value` what stands behind it."""

    label: str
    reached: float
    value: str


def bar_chart(bars: Sequence[Bar]) -> str:
    """Return an SVG document: a bar each, from nothing to twice the target, which is a line."""
    width = _LABELS + _BARS + _VALUES
    height = _TOP + _ROW * len(bars) + 8
    target = _LABELS + _BARS / _MOST
    rows = [_row(bar, _TOP + _ROW * number) for number, bar in enumerate(bars)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif" font-size="12" '
            f'fill="{_INK}">',
            f'<text x="{target}" y="20" text-anchor="middle">target</text>',
            *rows,
            f'<path d="M{target} 26V{height - 6}" stroke="{_INK}" stroke-dasharray="3 3"/>',
            "</svg>\n",
        ]
    )


def _row(bar: Bar, top: int) -> str:
    length = round(_BARS * min(bar.reached, _MOST) / _MOST)
    colour = _MET if bar.reached >= 1 else _MISSED
    more = " »" if bar.reached > _MOST else ""
    middle = top + 14
    return (
        f'<text x="{_LABELS - 8}" y="{middle}" text-anchor="end">{escape(bar.label)}</text>'
        f'<rect x="{_LABELS}" y="{top + 3}" width="{max(1, length)}" height="{_ROW - 8}" '
        f'rx="2" fill="{colour}"/>'
        f'<text x="{_LABELS + _BARS + 8}" y="{middle}">{escape(bar.value)}{more}</text>'
    )
