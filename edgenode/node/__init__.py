"""The node: the parts built from settings, wired, supervised; what it says of itself and does when told to."""
