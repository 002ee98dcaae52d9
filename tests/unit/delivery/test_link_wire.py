"""The client's own way for PUBLISH and PUBACK, against a socket that cuts the stream anywhere."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import paho.mqtt.client as paho
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from edgenode.delivery.link_wire import WireClient
from edgenode.delivery.mqtt5_properties import PackedProperties, variable_integer
from edgenode.records import Message

CONNACK = b"\x20\x03\x00\x00\x00"


class Wired:
    """A client that was accepted, and the broker's end of its socket."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, int]] = []
        self.heard: list[bytes] = []
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.client = WireClient(
                lambda mid, code: self.answers.append((mid, code)),
                callback_api_version=CallbackAPIVersion.VERSION2,
                client_id="node",
                protocol=MQTTProtocolVersion.MQTTv5,
                reconnect_on_failure=False,
            )
            self.client.on_socket_register_write = lambda *_: None
            self.client.on_message = lambda _client, _data, message: self.heard.append(message.payload)
            self.client.connect("127.0.0.1", server.getsockname()[1])
            self.far, _ = server.accept()
        self.far.settimeout(20.0)
        self.client.loop_write()
        assert self.far.recv(4096)[0] == 0x10
        self.tell(CONNACK)
        assert self.client.is_connected()

    def tell(self, *pieces: bytes) -> MQTTErrorCode:
        """The broker writes each piece, and the client reads after each."""
        rc = MQTTErrorCode.MQTT_ERR_SUCCESS
        near = self.client.socket()
        for piece in pieces:
            self.far.sendall(piece)
            if near is None:
                break
            near.setblocking(True)
            near.recv(len(piece), socket.MSG_PEEK | socket.MSG_WAITALL)
            near.setblocking(False)
            rc = self.client.loop_read()
        return rc

    def close(self) -> None:
        self.far.close()
        near = self.client.socket()
        if near is not None:
            near.close()


@pytest.fixture
def wired() -> Iterator[Wired]:
    found = Wired()
    yield found
    found.close()


def puback(mid: int, code: int | None, text: str = "") -> bytes:
    body = mid.to_bytes(2, "big")
    if code is not None:
        body += bytes([code])
        if text:
            properties = b"\x1f" + len(text).to_bytes(2, "big") + text.encode()
            body += variable_integer(len(properties)) + properties
    return b"\x40" + variable_integer(len(body)) + body


def publish(payload: bytes) -> bytes:
    body = b"\x00\x01a\x00" + payload
    return b"\x30" + variable_integer(len(body)) + body


said = st.lists(
    st.one_of(
        st.tuples(
            st.just("ack"), st.sampled_from([None, 0, 0x10, 0x87]), st.sampled_from(["", "no", "x" * 300])
        ),
        st.tuples(st.just("message"), st.binary(max_size=400), st.just("")),
        st.tuples(st.just("stranger"), st.just(0), st.just("")),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=said, cuts=st.lists(st.integers(1, 2000), max_size=12))
def test_every_answer_is_heard_once_wherever_the_stream_is_cut(
    wired: Wired, said: list[tuple[str, object, str]], cuts: list[int]
) -> None:
    wired.answers.clear()
    wired.heard.clear()
    stream, answers, payloads = b"", [], []
    for what, value, text in said:
        if what == "ack":
            mid = wired.client.post(Message("a/b", b"{}"), None)
            stream += puback(mid, value, text)  # type: ignore[arg-type]
            answers.append((mid, value or 0))
        elif what == "message":
            stream += publish(value)  # type: ignore[arg-type]
            payloads.append(value)
        else:
            stream += puback(99, 0)
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)})
    pieces = [stream[a:b] for a, b in zip([0, *ends], ends, strict=False) if b > a]
    assert wired.tell(*pieces) == MQTTErrorCode.MQTT_ERR_SUCCESS
    assert wired.answers == answers
    assert wired.heard == payloads


def test_an_answer_that_comes_twice_is_heard_once(wired: Wired) -> None:
    mid = wired.client.post(Message("a/b", b"{}"), None)
    wired.tell(puback(mid, 0) + puback(mid, 0))
    assert wired.answers == [(mid, 0)]


def test_what_is_posted_leaves_whole_and_in_order_through_a_socket_that_is_full(wired: Wired) -> None:
    """paho's own packets among it: none may begin inside another."""
    near = wired.client.socket()
    assert near is not None
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    sent = [bytes([number]) * (1 + number * 997 % 20_000) for number in range(256)]
    got = bytearray()

    def read() -> None:
        while data := wired.far.recv(65536):
            got.extend(data)

    reader = threading.Thread(target=read)
    for number, payload in enumerate(sent):
        wired.client.post(Message("a/b", payload), PackedProperties(Message("a/b", payload)))
        if number % 16 == 0:
            wired.client.subscribe(f"c/{number}")
        wired.client.loop_write()
    reader.start()
    wired.client.post(Message("a/b", b"the end"), PackedProperties(Message("a/b", b"")))
    finished = threading.Event()
    while wired.client.want_write():
        wired.client.loop_write()
        finished.wait(0.001)
    near.shutdown(socket.SHUT_WR)
    reader.join(20.0)
    payloads, subscribed = [], 0
    data = bytes(got)
    while data:
        size, at = 0, 1
        while True:
            size |= (data[at] & 0x7F) << 7 * (at - 1)
            at += 1
            if data[at - 1] < 0x80:
                break
        body, data = (data[0], data[at : at + size]), data[at + size :]
        if body[0] == 0x32:
            topic, rest = body[1][2:5], body[1][7:]
            assert topic == b"a/b"
            payloads.append(rest[1 + rest[0] :])
        else:
            assert body[0] == 0x82
            subscribed += 1
    assert payloads == [*sent, b"the end"]
    assert subscribed == 16


def test_a_message_of_qos_0_is_answered_when_it_was_written(wired: Wired) -> None:
    mid = wired.client.post(Message("a/b", b"light", qos=0), None)
    assert wired.answers == []
    wired.client.loop_write()
    assert wired.answers == [(mid, 0)]
    assert wired.far.recv(100) == b"\x30\x0a\x00\x03a/blight"


def test_a_connection_that_ends_is_a_lost_one_after_all_that_was_said_before(wired: Wired) -> None:
    mid = wired.client.post(Message("a/b", b"{}"), None)
    wired.tell(puback(mid, 0) + b"\x40\x02\x00")
    wired.far.shutdown(socket.SHUT_RDWR)
    assert wired.client.loop_read() == MQTTErrorCode.MQTT_ERR_CONN_LOST
    assert wired.answers == [(mid, 0)]


@pytest.mark.parametrize(
    "data", [b"\x40\x01\x00", b"\x30\xff\xff\xff\xff\x01", b"\x00\x00", b"\xf0\x02ab", b"\x40\x00"]
)
def test_what_is_no_mqtt_ends_the_connection(wired: Wired, data: bytes) -> None:
    try:
        rc = wired.tell(data)
    except Exception:  # the link starts anew after whatever paho raises
        rc = MQTTErrorCode.MQTT_ERR_PROTOCOL
    assert rc != MQTTErrorCode.MQTT_ERR_SUCCESS


@pytest.mark.parametrize("topic", ["", "a/#", "a/+", "a\0b", "a" * 70_000])
def test_what_mqtt_forbids_is_not_posted(wired: Wired, topic: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        wired.client.post(Message(topic, b"{}"), None)
    assert not wired.client.want_write()


def test_numbers_go_round_without_meeting_one_that_waits(wired: Wired) -> None:
    first = wired.client.post(Message("a", b"{}"), None)
    seen = set()
    for _ in range(70_000):
        mid = wired.client.post(Message("a", b"", qos=0), None)
        assert mid != first
        assert 100 <= mid <= 65535
        seen.add(mid)
    assert len(seen) == 65535 - 100


def test_paho_reads_through_this_client() -> None:
    """`_sock_recv` is no promise of paho's: without it acknowledgements would go astray."""
    assert "_sock_recv" in vars(paho.Client)


def test_who_ended_the_connection_is_known(wired: Wired) -> None:
    wired.tell(publish(b"x"))
    assert not wired.client.closed
    wired.far.close()
    assert wired.client.loop_read() == MQTTErrorCode.MQTT_ERR_CONN_LOST
    assert wired.client.closed


def test_a_reset_is_an_end_by_the_other_side_and_its_last_words_are_heard(wired: Wired) -> None:
    reasons: list[int] = []
    wired.client.on_disconnect = lambda _client, _data, flags, reason, _properties: reasons.append(
        reason.value if flags.is_disconnect_packet_from_server else 0
    )
    wired.far.sendall(b"\xe0\x02\x8e\x00")
    wired.far.shutdown(socket.SHUT_WR)
    near = wired.client.socket()
    assert near is not None
    near.shutdown(socket.SHUT_WR)
    wired.client.post(Message("a/b", b"{}"), None)
    assert wired.client.loop_write() != MQTTErrorCode.MQTT_ERR_SUCCESS
    assert wired.client.closed
    assert reasons == [0x8E]


def test_what_was_subscribed_to_first_reaches_the_broker_before_what_was_posted(wired: Wired) -> None:
    """A node reads what is kept on a topic before it writes there itself."""
    wired.client.subscribe("a/b", qos=1)
    wired.client.post(Message("a/b", b"mine", 1, True), None)
    wired.client.loop_write()
    sent = wired.far.recv(4096)
    while len(sent) < 2 + sent[1] + 2:
        sent += wired.far.recv(4096)
    assert (sent[0] >> 4, sent[2 + sent[1]] >> 4) == (8, 3), "SUBSCRIBE, then PUBLISH"
