"""USB cameras through V4L2."""

from __future__ import annotations

import os
import re
import time

import cv2
import numpy as np

from edgenode.capture.address import Address
from edgenode.capture.source import Grab, SourceInfo, SourceOptions
from edgenode.errors import PictureError, SourceError, SourceRefusedError
from edgenode.records import U8

_DEVICE = re.compile(r"^/dev/video(\d+)$")


class UsbSource:
    """A V4L2 device, read with OpenCV: its reader waits with a timeout, FFmpeg's would wait for ever.

    Needs read and write access to the device (group `video`). OpenCV's own read timeout of 10 s applies.
    """

    def __init__(self, address: Address, options: SourceOptions) -> None:
        del options  # V4L2 knows no timeouts of ours
        self._device = address.target
        if not os.path.exists(self._device):
            raise SourceError(f"{self._device} does not exist: is the camera plugged in?")
        if not os.access(self._device, os.R_OK | os.W_OK):
            raise SourceRefusedError(f"{self._device} may not be used: add the user to the group 'video'")
        self._capture = cv2.VideoCapture(_index(self._device), cv2.CAP_V4L2)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError(f"{self._device} is no camera, or another program is using it")
        self._opened_s = time.monotonic()
        self._info = SourceInfo(
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            float(self._capture.get(cv2.CAP_PROP_FPS)),
            "v4l2",
            live=True,
            finite=False,
        )

    @property
    def info(self) -> SourceInfo:
        return self._info

    def read(self) -> Grab:
        if not self._capture.grab():
            raise SourceError(f"{self._device} gives no pictures: unplugged, or stopped answering")
        return Grab(
            media_s=time.monotonic() - self._opened_s,
            keyframe=True,
            corrupt=False,
            packet_bytes=0,
            picture=self._retrieve,
        )

    def _retrieve(self) -> U8:
        ok, picture = self._capture.retrieve()
        if not ok:
            raise PictureError(f"{self._device}: this frame cannot be decoded")
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def close(self) -> None:
        self._capture.release()


def _index(device: str) -> int:
    """The number of a device, through the stable names below /dev/v4l; OpenCV opens V4L2 by number only."""
    match = _DEVICE.match(os.path.realpath(device))
    if match is None:
        raise SourceError(f"{device} is no video device: use usb:0 or usb:/dev/v4l/by-id/…")
    return int(match[1])
