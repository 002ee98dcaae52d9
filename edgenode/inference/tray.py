"""The array that a model's thread writes its batches into, again and again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgenode.errors import InferenceError
from edgenode.records import U8


class Tray:
    """One kept array, as large as the largest batch so far. Used by one thread.

    A fresh array for each batch costs more than filling it: it lies on pages that the kernel has to clear first.
    """

    def __init__(self) -> None:
        self._array: U8 = np.empty((0,), dtype=np.uint8)

    def filled(self, arrays: Sequence[U8]) -> U8:
        """`arrays`, at least one and of one shape, as one array [N, ...] that is valid until the next call.

        Raises InferenceError where their shapes differ.
        """
        count, shape = len(arrays), arrays[0].shape
        if self._array.shape[1:] != shape or len(self._array) < count:
            self._array = np.empty((count, *shape), dtype=np.uint8)
        batch = self._array[:count]
        for row, array in enumerate(arrays):
            if array.shape != shape:
                raise InferenceError(f"samples of one batch differ in shape: {array.shape} and {shape}")
            batch[row] = array
        return batch
