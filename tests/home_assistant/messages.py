"""What a node says to Home Assistant, as JSON for a process without edgenode.

Steps in order, each [name, [[topic, payload], …]]: two cameras announced, states, one camera gone, all gone.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace

from edgenode.delivery.home_assistant import announced, discovery, discovery_messages
from edgenode.records import Message
from scripts.reference.examples import example_messages
from tests.unit.delivery.test_home_assistant import FACTS


def _pairs(messages: list[Message]) -> list[list[str]]:
    return [[message.topic, message.payload.decode()] for message in messages]


def steps() -> list[list[object]]:
    everything = discovery(FACTS)
    fewer = discovery(replace(FACTS, cameras=FACTS.cameras[:1], rules=FACTS.rules[:1]))
    root, examples = FACTS.topics.root, example_messages()
    camera = json.loads(examples["camera_state"].payload)
    region = json.loads(examples["region_state"].payload)
    event = json.loads(examples["event"].payload)
    states = [
        [FACTS.topics.state, examples["state"].payload.decode()],
        *(
            [FACTS.topics.camera_state(name), json.dumps(camera | {"camera": name})]
            for name in ("line_1", "gate")
        ),
        [FACTS.topics.region_state("line_1", "belt"), json.dumps(region | {"label": "defect"})],
        [FACTS.topics.event("defective_part"), json.dumps(event)],
    ]
    assert all(str(topic).startswith(root) for topic, _ in states)
    return [
        ["announce", _pairs(discovery_messages(everything, {}))],
        ["states", states],
        ["fewer", _pairs(discovery_messages(fewer, announced(everything)))],
        ["none", _pairs(discovery_messages({}, announced(fewer)))],
    ]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(steps(), indent=1))
