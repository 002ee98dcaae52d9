"""onnxruntime as anyone would use it: what benchmarks compare this package with."""

from __future__ import annotations

import os
from pathlib import Path

from edgenode.records import F32, U8


class PlainSession:
    """One session with onnxruntime's defaults, or, `tuned`, with one thread that does not spin."""

    def __init__(self, model: Path, tuned: bool) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime

        options = onnxruntime.SessionOptions()
        if tuned:
            options.intra_op_num_threads = 1
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(model), options)
        _, height, width, _ = self._session.get_inputs()[0].shape
        self.size: tuple[int, int] = (int(width), int(height))

    def run(self, images: U8) -> F32:
        """The probabilities, float32 [N, K], of uint8 [N, H, W, 3]."""
        answer: F32 = self._session.run(["probabilities"], {"images": images})[0]
        return answer
