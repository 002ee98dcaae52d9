"""Whether a camera still looks where it looked: its regions belong to one view only.

The edges of a small grey picture are compared with a slow average of themselves, which passing vehicles and
people leave no trace in. The middle of that reference is searched in the picture (normalised cross-correlation):
where it is found clearly better somewhere else than in its place, at the same place again and again, the camera
was turned or pushed. A view that drifts by less than a percent a minute is followed, and a bare road or wall has
too few edges to be found again: nothing is said then.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgenode.records import F32, U8

SIZE = (192, 108)
"""Columns and rows of the small picture: one pixel is half a percent of the width."""
REACH = (36, 20)
"""Furthest shift that is looked for, in those pixels."""
_SMALLEST = 2.5
"""Pixels of shift under which a camera counts as unmoved: wind, vibration, one and a half percent."""
_SIMILAR = 0.5
"""Correlation from which the reference counts as found."""
_BETTER = 0.15
"""By so much the correlation must be better at the new place than at the old one."""
_ADAPTATION_S = 60.0
"""The reference follows the picture with this time constant: light changes over the day."""
_LEARN_S = 5.0
"""Before this much has been seen nothing is said."""
_AGREE = 2.0
"""Two looks agree on a shift when they differ by at most this many pixels."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Where the view went, in percent of the picture's width and height; right and down are positive."""

    right: float
    down: float

    @property
    def text(self) -> str:
        across = f"{abs(self.right):.0f} % of its width to the {'right' if self.right > 0 else 'left'}"
        along = f"{abs(self.down):.0f} % of its height {'down' if self.down > 0 else 'up'}"
        parts = [text for text, by in ((across, self.right), (along, self.down)) if abs(by) >= 0.5]
        return " and ".join(parts) or "a little"


class MoveWatch:
    """Learns a view and tells when it is another one. Used by one thread.

    Once moved, the reference stands still: the verdict ends only when the view is where it was, or with
    `forget`.
    """

    def __init__(self, after_s: float) -> None:
        """`after_s`: how long a shift must last to be told, and its absence to be taken back."""
        self._after_s = after_s
        self.forget()

    def forget(self) -> None:
        """Learn the view anew: somebody has said that it is right as it is."""
        self._reference: F32 | None = None
        self._learnt_s = 0.0
        self._looked_s: float | None = None
        self._candidate: tuple[float, float] | None = None
        self._since_s = 0.0
        self.moved: Shift | None = None
        """What is to be said now."""

    def look(self, picture: U8, now_s: float) -> Shift | None:
        """What is known after this picture, uint8 [H, W, 3] or luma [H, W]; the same as `moved`."""
        edges = _edges(picture)
        passed_s = 0.0 if self._looked_s is None else min(max(0.0, now_s - self._looked_s), 1.0)
        self._looked_s = now_s
        if self._reference is None:
            self._reference = edges
            return None
        if self._learnt_s >= _LEARN_S:
            self._judge(_shift(self._reference, edges), now_s)
        if self.moved is None and self._candidate is None:
            self._learnt_s += passed_s
            weight = passed_s / min(_ADAPTATION_S, max(self._learnt_s, 1.0))
            self._reference += weight * (edges - self._reference)
        return self.moved

    def _judge(self, shift: tuple[float, float] | None, now_s: float) -> None:
        """`shift` None: the view is not recognised; that alone says nothing (a lorry before the lens)."""
        if shift is None:
            return
        before = self._candidate
        at_home = shift == (0.0, 0.0)
        known = (self.moved is None) == at_home
        if known:
            self._candidate = None
            return
        if before is None or max(abs(shift[0] - before[0]), abs(shift[1] - before[1])) > _AGREE:
            self._candidate, self._since_s = shift, now_s
        elif now_s - self._since_s >= self._after_s:
            self._candidate = None
            self.moved = None if at_home else Shift(100.0 * shift[0] / SIZE[0], 100.0 * shift[1] / SIZE[1])


def _edges(picture: U8) -> F32:
    """Strength of the edges, float32 [108, 192], compressed so that one bright edge does not outweigh all."""
    height, width = picture.shape[:2]
    step_y, step_x = max(1, height // (SIZE[1] * 2)), max(1, width // (SIZE[0] * 2))
    sparse = np.ascontiguousarray(picture[::step_y, ::step_x])
    grey = sparse if sparse.ndim == 2 else cv2.cvtColor(sparse, cv2.COLOR_RGB2GRAY)
    grey = cv2.resize(grey, SIZE, interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(grey, (3, 3), 0)
    across, along = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    strength = np.sqrt(cv2.magnitude(across, along))
    return np.asarray(cv2.GaussianBlur(strength, (3, 3), 0), dtype=np.float32)


def _shift(reference: F32, edges: F32) -> tuple[float, float] | None:
    """(right, down) in pixels of where the reference is found; (0, 0) in its place; None where it isn't."""
    reach_x, reach_y = REACH
    middle = reference[reach_y:-reach_y, reach_x:-reach_x]
    if float(middle.std()) < 1e-3:
        return None
    found = cv2.matchTemplate(edges, middle, cv2.TM_CCOEFF_NORMED)
    y, x = np.unravel_index(int(np.argmax(found)), found.shape)
    right, down = float(x - reach_x), float(y - reach_y)
    here = float(found[reach_y - 1 : reach_y + 2, reach_x - 1 : reach_x + 2].max())
    best = float(found[y, x])
    if max(abs(right), abs(down)) < _SMALLEST:
        return (0.0, 0.0) if best >= _SIMILAR * 0.6 else None
    if best >= _SIMILAR and best - here >= _BETTER:
        return right, down
    return (0.0, 0.0) if here >= _SIMILAR else None
