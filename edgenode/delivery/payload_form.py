"""The form that all payloads share: frozen records, times as RFC 3339 in UTC, no blanks in the JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema


def rfc3339(at: datetime) -> str:
    """`2026-11-23T20:50:37.326000Z`. `at` must be timezone-aware."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


UtcTime = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]


class Payload(BaseModel):
    """A JSON object on a topic."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")

    def to_bytes(self) -> bytes:
        """UTF-8 JSON, no blanks, keys in the order of the fields."""
        return self.model_dump_json().encode()
