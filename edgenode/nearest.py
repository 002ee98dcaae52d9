"""The nearest known name to a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when nothing is like it. Case does not count."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """` (did you mean "x"?)`; where nothing is near, the few known names; otherwise nothing."""
    names = sorted(set(known))
    match = nearest(name, names)
    if match is not None:
        return f' (did you mean "{match}"?)'
    return f" (known: {', '.join(names)})" if 0 < len(names) <= 12 else ""
