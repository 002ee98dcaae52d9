"""A configuration file on its way to `Settings`: read, proven, told where it is wrong, changed in place."""
