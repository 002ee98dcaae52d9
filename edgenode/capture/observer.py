"""What a camera thread tells the outside about its work, for metrics and states."""

from __future__ import annotations

from typing import Protocol

from edgenode.records import CameraReport


class CaptureObserver(Protocol):
    """Called on the camera's threads, often: must be quick, thread-safe, never raise, never call the
    camera."""

    def frame_decoded(self, camera: str) -> None:
        """One picture came out of the decoder; most are never converted."""

    def packets(self, camera: str, count: int) -> None:
        """`count` compressed packets arrived."""

    def stage_seconds(self, stage: str, seconds: float) -> None:
        """`decode`: one classified frame decoded and converted; `prepare`: its masks, gate and regions."""

    def camera_report(self, report: CameraReport) -> None:
        """On every change of status or reason, and once a second. Calls for one camera never overlap."""

    def gate(self, camera: str, gate_name: str, is_open: bool, /) -> None:
        """A gate opened or closed."""

    def gate_skipped(self, camera: str, gate_name: str) -> None:
        """A frame that was due was not classified: `motion`, `packet`, or `late` (old frames after a stall)."""

    def gate_audit(self, camera: str, caught: bool) -> None:
        """Something began to move in the picture; whether the packet gate was told by the packets."""

    def corrupt_frame(self, camera: str) -> None:
        """A damaged picture was thrown away."""

    def thread_abandoned(self, camera: str) -> None:
        """A thread that did not come back from its source was given up, and another one started."""
