"""`docs/asyncapi.yaml`: topics and payloads for machines. AsyncAPI 3.0, MQTT bindings 0.2.0."""

from __future__ import annotations

import json
from typing import Any

import yaml

from edgenode import __version__
from edgenode.delivery.payloads import json_schemas
from edgenode.records import JsonObject
from scripts.reference.examples import TOPICS, example_messages
from scripts.reference.inventory import CHANNELS, COMMANDS, PARAMETERS, Channel
from scripts.reference.topics import described_schemas

_BINDING = "0.2.0"
_HEAD = "# Written by `make reference` from edgenode/delivery; changes here are lost.\n"


class _Dumper(yaml.SafeDumper):
    """Without anchors: readers of this file rarely know them."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def asyncapi_text() -> str:
    return _HEAD + yaml.dump(
        asyncapi_document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110
    )


def asyncapi_document() -> JsonObject:
    schemas = json_schemas()
    described_schemas(schemas)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "edgenode",
            "version": __version__,
            "description": "What a node says and hears on its MQTT broker. Readers must ignore unknown keys.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "{host}:{port}",
                "protocol": "mqtt",
                "protocolVersion": "5.0",
                "description": "The broker of `[mqtt]`; MQTT 3.1.1 works too, without properties.",
                "variables": {"host": {"default": "localhost"}, "port": {"default": "1883"}},
            }
        },
        "channels": {channel.member: _channel(channel) for channel in CHANNELS},
        "operations": {channel.member: _operation(channel) for channel in CHANNELS},
        "components": {
            "messages": {channel.member: _message(channel) for channel in CHANNELS},
            "schemas": _schemas(schemas),
        },
    }


def _channel(channel: Channel) -> JsonObject:
    parameters: JsonObject = {
        "node": {"description": "Name of the node.", "default": TOPICS.node},
        **{name: {"description": PARAMETERS[name]} for name in channel.parameters},
    }
    if "verb" in parameters:
        parameters["verb"]["enum"] = [command.verb for command in COMMANDS]
    return {
        "address": f"{TOPICS.base_topic}/{{node}}/{channel.address}",
        "description": channel.text,
        "parameters": parameters,
        "messages": {channel.member: {"$ref": f"#/components/messages/{channel.member}"}},
    }


def _operation(channel: Channel) -> JsonObject:
    message = example_messages()[channel.member]
    binding: JsonObject = {"qos": message.qos, "retain": message.retain, "bindingVersion": _BINDING}
    if message.expiry_s is not None:
        binding["messageExpiryInterval"] = message.expiry_s
    operation: JsonObject = {
        "action": channel.direction,
        "channel": {"$ref": f"#/channels/{channel.member}"},
        "bindings": {"mqtt": binding},
    }
    if channel.direction == "receive":
        operation["reply"] = {
            "address": {
                "description": "MQTT 5: the request's response topic.",
                "location": "$message.header#/responseTopic",
            },
            "channel": {"$ref": "#/channels/reply"},
        }
    return operation


def _message(channel: Channel) -> JsonObject:
    message = example_messages()[channel.member]
    described: JsonObject = {
        "name": channel.member,
        "summary": channel.text,
        "contentType": message.content_type,
    }
    if channel.payload is None:
        described["payload"] = {"type": "string", "format": "binary"}
    else:
        described["payload"] = {"$ref": f"#/components/schemas/{channel.payload}"}
        described["examples"] = [{"payload": json.loads(message.payload)}]
    return described


def _schemas(schemas: dict[str, JsonObject]) -> JsonObject:
    """Each payload's schema, and those they share, under one roof."""
    shared: JsonObject = {}
    for schema in schemas.values():
        shared.update(schema.pop("$defs", {}))
    moved: JsonObject = json.loads(
        json.dumps({**schemas, **shared}).replace('"#/$defs/', '"#/components/schemas/')
    )
    return moved
