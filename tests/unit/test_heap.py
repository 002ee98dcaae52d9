"""The C library's heaps."""

from __future__ import annotations

import platform
import subprocess
import sys

from edgenode.heap import share_heaps


def test_the_c_library_takes_the_setting() -> None:
    assert share_heaps() is (platform.libc_ver()[0] == "glibc")


def test_it_leaves_a_process_without_threads_as_it_is() -> None:
    program = "from edgenode.heap import share_heaps; share_heaps(); print(len(bytes(9_000_000)))"
    assert (
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout
        == b"9000000\n"
    )
