"""Publishing as anyone would, with paho's own loop: what benchmarks compare this package with."""

from __future__ import annotations

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


class PlainPublisher:
    """One connection; paho's thread sends. `publish` may be called by any thread."""

    def __init__(self, host: str, port: int) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.connect(host, port)
        self._client.loop_start()

    def publish(self, topic: str, payload: str) -> None:
        """QoS 0, as for any state that the next one replaces."""
        self._client.publish(topic, payload)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
