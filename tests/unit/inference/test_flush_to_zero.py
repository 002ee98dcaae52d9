"""Loading a model leaves the loading thread's arithmetic alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.models import make_model

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from edgenode.inference.classifier import Classifier
with Classifier.load(Path(sys.argv[1])):
    pass
print(float((np.array([1e-40], np.float32) * np.float32(0.5))[0]) > 0)
"""


def test_the_first_model_of_a_process_leaves_denormal_numbers_to_its_thread(tmp_path: Path) -> None:
    """onnxruntime puts the thread that makes the first session of a process into flush-to-zero mode."""
    model = make_model(tmp_path / "m.onnx")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(model)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True", done.stdout
