"""How a message lies in its row of the outbox."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from edgenode.delivery.outbox_rows import decode, encode_header
from edgenode.records import Message

words = st.text(max_size=12)
EVENT = ("specversion", "id", "source", "type", "time")


@given(
    qos=st.integers(0, 1),
    retain=st.booleans(),
    content_type=st.sampled_from(["application/json", "image/jpeg", ""]),
    properties=st.one_of(
        st.lists(st.tuples(words, words), max_size=6),
        st.lists(words, min_size=4, max_size=4).map(
            lambda values: list(zip(EVENT, ("1.0", *values), strict=True))
        ),
        st.lists(words, min_size=5, max_size=5).map(lambda values: list(zip(EVENT, values, strict=True))),
    ),
    expiry_s=st.none() | st.integers(1, 10),
)
def test_what_is_stored_comes_out_again(
    qos: int, retain: bool, content_type: str, properties: list[tuple[str, str]], expiry_s: int | None
) -> None:
    message = Message("a/b", b"{}", qos, retain, expiry_s, content_type, tuple(properties))
    assert decode("a/b", encode_header(message), b"{}", expiry_s) == message


def test_rows_of_the_long_form_are_read() -> None:
    """As they were all written once."""
    properties = [["specversion", "1.0"], ["id", "1-0"], ["source", "/e"], ["type", "t"], ["time", "now"]]
    header = json.dumps([1, False, "application/json", properties])
    message = decode("a/b", header, b"{}", None)
    assert message.user_properties == tuple((key, value) for key, value in properties)
    assert len(encode_header(message)) < len(header) / 2
