"""Cost against cameras as an SVG file, drawn by hand: a gateway has no plotting library."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

_WIDTH, _HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 130, 36, 52
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#7f7f7f", "#bcbd22", "#8c564b")
_STEPS = (1.0, 2.0, 5.0)


def cost_plot(lines: Mapping[str, list[tuple[int, float]]], title: str) -> str:
    """`lines`: name to (cameras, share of a core in percent), ascending. Both axes begin at 0."""
    most_x = max((x for points in lines.values() for x, _ in points), default=1)
    most_y = max((y for points in lines.values() for _, y in points), default=1.0) or 1.0
    step_x, step_y = _step(most_x), _step(most_y)
    top_y = step_y * -(-most_y // step_y)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (_WIDTH - _LEFT - _RIGHT) * x / most_x
        up = (_HEIGHT - _TOP - _BOTTOM) * y / top_y
        return round(_LEFT + across, 1), round(_HEIGHT - _BOTTOM - up, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="14">{escape(title)}</text>',
    ]
    for y_value in _ticks(top_y, step_y):
        x, y = place(0, y_value)
        parts.append(f'<path d="M{x} {y}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{x - 8}" y="{y + 4}" text-anchor="end">{y_value:g}</text>')
    for x_value in _ticks(most_x, step_x):
        x, y = place(x_value, 0)
        parts.append(f'<path d="M{x} {y}v5" stroke="#444"/>')
        parts.append(f'<text x="{x}" y="{y + 18}" text-anchor="middle">{x_value:g}</text>')
    x, y = place(0, 0)
    parts.append(f'<path d="M{x} {_TOP}V{y}H{_WIDTH - _RIGHT}" fill="none" stroke="#444"/>')
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 12}" text-anchor="middle">cameras</text>'
    )
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})">% of a core</text>'
    )
    for number, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        corners = " ".join(f"{x},{y}" for x, y in (place(*point) for point in points))
        parts.append(f'<polyline points="{corners}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>'
            for x, y in (place(*point) for point in points)
        ]
        y = _TOP + 12 + 20 * number
        parts.append(f'<path d="M{_WIDTH - _RIGHT + 12} {y}h18" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{_WIDTH - _RIGHT + 36}" y="{y + 4}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _step(most: float) -> float:
    """A round step that divides 0 to `most` into four to ten parts."""
    power = 1.0
    while power * 100.0 < most:
        power *= 10.0
    while power > most:
        power /= 10.0
    steps = [power * 10.0**exponent * step for exponent in (-1, 0, 1) for step in _STEPS]
    return min((step for step in steps if most / step <= 10.0), default=most)


def _ticks(most: float, step: float) -> list[float]:
    return [step * number for number in range(int(most / step + 1e-9) + 1)]
