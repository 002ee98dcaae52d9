"""All regions' states: predictions in, decisions out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from edgenode.errors import EdgeNodeError
from edgenode.records import CameraReport, CameraStatus, Decision, JsonObject, Prediction

from .region_state import RegionSpec, RegionState, clock_offset_s

STATE_VERSION = 1

UNTRUSTED = frozenset(
    {
        CameraStatus.FROZEN,
        CameraStatus.BLIND,
        CameraStatus.MOVED,
        CameraStatus.OFFLINE,
        CameraStatus.FAILED,
        CameraStatus.DISABLED,
    }
)
"""What makes a camera's regions `invalid`. A stale camera keeps its states: it may have been late by a
second."""


class UnknownRegionError(EdgeNodeError):
    """A region was observed that the configuration does not have."""


class Decider:
    """Keeps the state of every region. Pure and not thread-safe: the caller serialises the calls.

    Time comes with the arguments: `*_s` monotonic seconds for the logic, `*_at` UTC for people.
    """

    def __init__(self, regions: Iterable[RegionSpec]) -> None:
        self._states = {(spec.camera, spec.region): RegionState(spec) for spec in regions}
        self._last_s = float("-inf")
        self._last_at = datetime.fromtimestamp(0, UTC)

    def observe(self, prediction: Prediction) -> Decision:
        """The state of the prediction's region after it.

        Predictions of one region come in the order of capture; of two predictions of the same moment the
        first counts. Raises UnknownRegionError.
        """
        state = self._states.get((prediction.camera, prediction.region))
        if state is None:
            raise UnknownRegionError(
                f"a prediction names {prediction.camera}.{prediction.region}, which is not configured"
            )
        self._note_time(prediction.captured_s, prediction.captured_at)
        return state.observe(prediction)

    def invalidate(
        self, camera: str, region: str | None, reason: str, now_s: float, now_at: datetime
    ) -> list[Decision]:
        """The picture of `camera` (or one region of it) cannot be trusted until `validate` says so.

        Decisions for the regions for which that is new; give them to the rules like any others.
        """
        self._note_time(now_s, now_at)
        decisions = (state.distrust(reason, now_s, now_at) for state in self._of(camera, region))
        return [decision for decision in decisions if decision is not None]

    def validate(self, camera: str, region: str | None, now_s: float) -> None:
        """The picture is good again. States leave `invalid` by samples captured after `now_s`."""
        for state in self._of(camera, region):
            state.trust(now_s)

    def observe_camera(self, report: CameraReport, now_s: float, now_at: datetime) -> list[Decision]:
        """`invalidate` or `validate`, by what the camera's thread reports; repeated reports change
        nothing."""
        if report.status in UNTRUSTED:
            reason = f"camera is {report.status}" + (f": {report.reason}" if report.reason else "")
            return self.invalidate(report.camera, None, reason, now_s, now_at)
        if report.status == CameraStatus.ONLINE:
            self.validate(report.camera, None, now_s)
        return []

    def thresholds(self, camera: str, region: str, label: str) -> tuple[float, float]:
        """(enter, leave) of a label. Raises KeyError for an unknown region."""
        spec = self._states[camera, region].spec
        return spec.thresholds.get(label, (spec.enter, spec.leave))

    def latest(self, camera: str, region: str) -> Decision | None:
        """What `current` has for one region; None also for an unknown one."""
        state = self._states.get((camera, region))
        return state.decision if state is not None else None

    def current(self) -> list[Decision]:
        """The latest decision of every region that has one; after `restore` those of the former process."""
        return [state.decision for state in self._states.values() if state.decision is not None]

    def export(self) -> JsonObject:
        """The state as a JSON object, for `restore` in a later process."""
        return {
            "version": STATE_VERSION,
            "anchor_s": self._last_s if self._last_s != float("-inf") else 0.0,
            "anchor_at": self._last_at.isoformat(),
            "regions": [
                {"camera": camera, "region": region, **state.export()}
                for (camera, region), state in self._states.items()
            ],
        }

    def restore(self, state: JsonObject, now_s: float, now_at: datetime) -> None:
        """Go on from an export. Regions that are no longer configured, or another version, are passed over.

        `now_s`, `now_at`: the moment of restoring; the pause since the export is taken from UTC.
        Raises KeyError, TypeError or ValueError on an object that `export` did not make.
        """
        if state["version"] != STATE_VERSION:
            return
        offset_s = clock_offset_s(state, now_s, now_at)
        for entry in state["regions"]:
            region = self._states.get((entry["camera"], entry["region"]))
            if region is not None:
                region.restore(entry, offset_s)
        self._note_time(now_s, now_at)

    def _of(self, camera: str, region: str | None) -> list[RegionState]:
        return [
            state
            for (of_camera, of_region), state in self._states.items()
            if of_camera == camera and region in (None, of_region)
        ]

    def _note_time(self, now_s: float, now_at: datetime) -> None:
        if now_s >= self._last_s:
            self._last_s, self._last_at = now_s, now_at
