"""Which camera's sample a model takes next: fair over time, and as fresh as can be once there are too many."""

from __future__ import annotations

CREDIT_S = 0.2
CREDIT_SAMPLES = 4.0
"""What a camera that had nothing waiting may be behind when it comes again, in the model's time or in samples,
whichever is more. A slow camera has its share at once, while its picture is fresh; one that was away for an hour does
not keep the model for a minute."""
ROUND_SHARE = 8.0
"""A sample weighs as much against its camera as the model's time for a sample of each eighth camera: the
more cameras share the model, the less often each is served, and the more must one turn too many count."""
_EPOCH_S = 1.0
"""A camera that had nothing to offer for one to two of these does not count as one of those who share the model."""
_SMOOTHING = 0.1
_MOST_GROWTH = 4.0
"""One run that hangs says nothing of the next ones."""


class ServiceOrder:
    """Keeps what each camera has had of the model's time. Used under the lock of the buffer that it orders.

    While nothing is dropped every sample is served, and the oldest goes first: that makes the oldest answer youngest.
    Once samples are superseded, those that are served are to be young, since their older neighbours will be replaced
    before their turn: then the youngest goes first. In both each second that a camera has had more than another of the
    model's time counts as a second of age against it, and age counts up to one round of all cameras: beyond that
    nothing is fresh. So equal cameras get equal shares, no two are ever further apart than one round (drift plus
    penalty: M. Neely, "Stochastic Network Optimization", 2010, chapter 4), and who is served within this bound is who
    is fresh. Age is since the hand-off: a camera whose frames are late on their way is served like others.
    """

    def __init__(self) -> None:
        self._had_s: dict[str, float] = {}
        """The model's time that each camera has had, less what it was forgiven when it came late."""
        self._virtual_s = 0.0
        """How much the camera that is served now had before: where those begin that come."""
        self._sample_s = 0.0
        """The model's time for one sample, smoothed."""
        self._crowded = False
        self._last: tuple[float, int] | None = None
        self._sharing: set[str] = set()
        self._shared: set[str] = set()
        """Cameras that were served in this epoch, and in the one before."""
        self._epoch_s = 0.0

    @property
    def sample_s(self) -> float:
        """The model's time for one sample while samples wait; 0 before that is known."""
        return self._sample_s

    @property
    def crowded(self) -> bool:
        """Whether more is offered than can be taken: since a sample was superseded something has always waited."""
        return self._crowded

    def dropped(self) -> None:
        """A sample made room for another one."""
        self._crowded = True

    def emptied(self) -> None:
        """Nothing waits any more."""
        self._crowded = False

    @property
    def sharing(self) -> int:
        """How many cameras share the model."""
        return max(1, len(self._sharing | self._shared))

    def came(self, camera: str) -> None:
        """`camera` had nothing waiting and has now."""
        self._sharing.add(camera)
        credit_s = max(CREDIT_S, CREDIT_SAMPLES * self._sample_s)
        self._had_s[camera] = max(self._had_s.get(camera, self._virtual_s), self._virtual_s - credit_s)

    def rank(self, camera: str, age_s: float, sharing: int) -> float:
        """Of a camera whose next sample came `age_s` ago, where so many share the model: the lowest is served next."""
        if not self._crowded:
            return self._had_s[camera] - age_s
        return self._had_s[camera] + min(age_s, self._sample_s * sharing)

    def served(self, camera: str, sharing: int) -> None:
        """One sample of `camera` is taken."""
        self._sharing.add(camera)
        had_s = self._had_s[camera]
        self._virtual_s = max(self._virtual_s, had_s)
        self._had_s[camera] = had_s + self._sample_s * max(1.0, sharing / ROUND_SHARE)

    def took(self, count: int, now_s: float, waited: bool) -> None:
        """A batch of `count` was taken at `now_s`; `waited`: the model had to wait for its first sample."""
        if self._last is not None and not waited:
            last_s, samples = self._last
            sample_s = max(0.0, now_s - last_s) / samples
            if self._sample_s > 0.0:
                sample_s = min(sample_s, _MOST_GROWTH * self._sample_s)
                self._sample_s += _SMOOTHING * (sample_s - self._sample_s)
            else:
                self._sample_s = sample_s
        self._last = (now_s, count)
        if now_s - self._epoch_s >= _EPOCH_S:
            self._epoch_s = now_s
            self._shared, self._sharing = self._sharing, set()
