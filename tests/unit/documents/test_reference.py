"""The generated documents are what the code says, and leave nothing out."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from typing import Annotated, Any, cast

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter

from edgenode.delivery.payloads import PAYLOADS
from edgenode.delivery.topics import Topics
from edgenode.node.commands import command_table
from edgenode.node.node import Node
from edgenode.settings import Settings
from scripts.reference.__main__ import DOCUMENTS, ROOT
from scripts.reference.asyncapi import asyncapi_document
from scripts.reference.configuration import Table, model_in, tables
from scripts.reference.examples import TOPICS, example_messages
from scripts.reference.inventory import CHANNELS, COMMANDS

DOCS = ROOT / "docs"
NOT_TOPICS = {"base_topic", "node", "root", "camera", "all_commands", "verb_of"}
"""Members of `Topics` that are parts of topics, filters or questions."""


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_committed_document_is_what_is_generated(name: str) -> None:
    committed = (ROOT / name).read_text(encoding="utf-8")
    assert committed == DOCUMENTS[name](), "run `make reference` and look at the difference"


def settings_keys(model: type[BaseModel] = Settings, path: str = "") -> Iterator[str]:
    """Every key of the settings tree, read from the models without the generator's help."""
    for name, field in model.model_fields.items():
        here = f"{path}.{field.alias or name}".lstrip(".")
        yield here
        below = model_in(field.annotation)
        if below is not None:
            yield from settings_keys(below, here)


def test_the_configuration_page_has_every_setting_and_no_other() -> None:
    documented = [f"{key.table}.{key.name}" for table in tables() for key in table.keys]
    sections = list(Settings.model_fields)
    assert sorted([*documented, *sections]) == sorted(settings_keys())
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    for table in tables():
        section = page.split(f"## `{table.header}`\n")[1].split("\n## ")[0]
        assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [key.name for key in table.keys]


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.path)
def test_every_setting_says_what_it_is(table: Table) -> None:
    assert table.text
    assert [key.name for key in table.keys if not key.text] == [], (
        "give it a docstring in edgenode/settings/__init__.py"
    )


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.path)
def test_a_default_means_to_the_settings_what_it_says(table: Table) -> None:
    for name, field in table.model.model_fields.items():
        shown = next(key.default for key in table.keys if key.name == (field.alias or name))
        if not shown.startswith("`"):
            continue
        value = tomllib.loads(f"v = {shown.strip('`')}")["v"]
        marker = TypeAdapter(Annotated[field.annotation, *field.metadata]) if field.metadata else None
        read = (marker or TypeAdapter(field.annotation)).validate_python(value)
        assert read == field.default, name


def test_every_topic_is_documented() -> None:
    fields = set(Topics.__dataclass_fields__)
    members = {name for name, _ in inspect.getmembers(Topics) if not name.startswith("_")} | fields
    assert {channel.member for channel in CHANNELS} == members - NOT_TOPICS


def test_addresses_are_those_the_node_uses() -> None:
    messages = example_messages()
    for channel in CHANNELS:
        pattern = re.sub(r"\{\w+\}", "[a-z0-9_]+", channel.address)
        assert re.fullmatch(f"{TOPICS.root}/{pattern}", messages[channel.member].topic)


def test_every_payload_is_used_and_every_key_of_it_is_explained() -> None:
    assert {channel.payload for channel in CHANNELS} - {None} == set(PAYLOADS)
    schemas = asyncapi_document()["components"]["schemas"]
    silent = [
        f"{name}.{key}"
        for name, schema in schemas.items()
        for key, value in schema["properties"].items()
        if not value.get("description")
    ]
    assert silent == []


def test_every_command_is_documented() -> None:
    table = command_table(cast(Node, None))
    assert sorted(command.verb for command in COMMANDS) == sorted(table)


def test_every_code_of_an_error_is_documented() -> None:
    page = (DOCS / "topics.md").read_text(encoding="utf-8").rpartition("Codes of errors:")[2]
    sources = [
        DOCS.parent / "edgenode" / name
        for name in ("node/commands.py", "node/model_commands.py", "delivery/commands.py")
    ]
    text = "".join(source.read_text(encoding="utf-8") for source in sources)
    raised = re.findall(r'CommandError\(\s*"(\w+)"|code="(\w+)"|verb, \w+, "(\w+)"', text)
    raised += [
        (first, second, "") for first, second in re.findall(r'code = "(\w+)" if .* else "(\w+)"', text)
    ]
    refused = re.findall(r'"unknown", None, "(\w+)"', text)
    assert set(re.findall(r"`(\w+)`", page)) == {each for found in raised for each in found if each} | set(
        refused
    )


def test_the_asyncapi_document_holds_together() -> None:
    document = yaml.safe_load((DOCS / "asyncapi.yaml").read_text(encoding="utf-8"))
    assert document["asyncapi"] == "3.0.0"
    for reference in set(re.findall(r'"\$ref": "(#/[^"]+)"', json.dumps(document))):
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in place, reference
            place = place[part]
    for name, message in example_messages().items():
        binding = document["operations"][name]["bindings"]["mqtt"]
        assert (binding["qos"], binding["retain"]) == (message.qos, message.retain)
        assert binding.get("messageExpiryInterval") == message.expiry_s


def test_examples_have_every_key_of_their_payload() -> None:
    messages = example_messages()
    for channel in CHANNELS:
        if channel.payload is None or channel.direction == "receive":
            continue
        fields = PAYLOADS[channel.payload].model_fields
        keys = {field.serialization_alias or name for name, field in fields.items()}
        missing = keys - set(json.loads(messages[channel.member].payload))
        assert missing <= ({"error"} if channel.payload == "reply" else set())
