"""The exit codes of every command (numbers of sysexits.h, so that service managers can tell them apart)."""

OK = 0
INTERNAL = 70
"""A fault inside; starting again may help."""
CONFIGURATION = 78
"""The configuration cannot work; starting again without changing it never helps."""
