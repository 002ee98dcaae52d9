"""Keeps matplotlib's list of fonts out of the home folder: a trainer writes where it is told and nowhere else."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile


def keep_out_of_home() -> None:
    """Before the first import of matplotlib. A folder named by MPLCONFIGDIR is left to whoever named it."""
    if "MPLCONFIGDIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="edgenode-trainer-")
        os.environ["MPLCONFIGDIR"] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
