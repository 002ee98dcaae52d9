"""The settings tree: a TOML file, `EDGENODE__` environment variables, secrets in files.

Precedence, highest first: environment, file, defaults. Unknown keys are errors wherever they stand.
`configuration.file.load` reads a file into `Settings` and turns mistakes into sentences.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from edgenode.settings.access import CommandSettings as CommandSettings
from edgenode.settings.access import HttpSettings as HttpSettings
from edgenode.settings.collect import CollectSettings
from edgenode.settings.energy import EnergySettings
from edgenode.settings.rollout import RolloutSettings as RolloutSettings
from edgenode.settings.rules import RuleSettings as RuleSettings
from edgenode.settings.rules import ScheduleSettings as ScheduleSettings
from edgenode.settings.values import (
    Duration,
    Fraction,
    Name,
    NodeName,
    Point,
    Section,
    SomeTime,
    parse_size,
    refuse_repeats,
)
from edgenode.settings.values import parse_duration as parse_duration  # the trainer reads durations too

ENV_PREFIX = "EDGENODE__"


def default_node_name() -> str:
    """The host name, in the characters a topic level may have."""
    name = re.sub(r"[^a-z0-9_-]+", "-", socket.gethostname().lower()).strip("-_")[:63]
    return name or "edgenode"


class NodeSettings(Section):
    name: NodeName = Field(default_factory=default_node_name)
    """Topic level, MQTT client id and user name of this node; by default the host name."""
    state_dir: Path = Path("/var/lib/edgenode")
    """Where the outbox, the models and the remembered states live. The only place the node writes to."""
    drain: Duration = 5.0
    """How long a stop may take to classify and deliver what is already inside."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe messages that are logged."""
    log_format: Literal["auto", "text", "json"] = "auto"
    """`auto`: with journal priorities under systemd, plain text otherwise."""


class MqttSettings(Section):
    host: str = "localhost"
    """Broker host name, or `embedded` for the built-in development broker on loopback."""
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """`auto` tries 5 and falls back to 3.1.1 where the broker knows no better."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """8883 with `ca_file`, otherwise 1883."""
    username: str | None = None
    """By default no user name; where the broker checks access, it must equal `node.name`."""
    password: SecretStr | None = None
    """In the file itself; every reader of the file knows it."""
    password_file: Path | None = None
    """A file holding only the password; better than `password`."""
    ca_file: Path | None = None
    """Certificates that may sign the broker's; turns TLS on."""
    cert_file: Path | None = None
    """The node's own certificate, where the broker asks for one; its common name is `node.name`."""
    key_file: Path | None = None
    """The private key of `cert_file`."""
    base_topic: Annotated[str, Field(pattern=r"^[^+#\s/][^+#\s]*[^+#\s/]$")] = "edgenode/v1"
    """What all topics begin with; the name of the node follows."""
    keepalive: Annotated[float, BeforeValidator(parse_duration), Field(ge=5.0, le=3600.0)] = 10.0
    """How often a silent connection is probed; the broker declares the node `offline` after one and a half of it."""
    reconnect_pause: Annotated[float, BeforeValidator(parse_duration), Field(ge=0.1, le=3600.0)] = 5.0
    """Longest pause between two tries to reach a broker that is away."""
    home_assistant: bool = False
    """Publish Home Assistant discovery under `homeassistant/`."""
    classification: Literal["on_change", "all", "off"] = "on_change"
    """Raw predictions: on change and once a second, every one, or none."""
    allow_insecure: bool = False
    """Permit a broker beyond loopback without TLS."""

    @property
    def effective_port(self) -> int:
        return self.port if self.port is not None else (8883 if self.ca_file is not None else 1883)

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("give password or password_file, not both")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: give both or neither")
        if self.cert_file is not None and self.ca_file is None:
            raise ValueError("cert_file without ca_file: the broker's certificate could not be checked")
        return self


class InferenceSettings(Section):
    max_batch: Annotated[int, Field(ge=1, le=256)] = 8
    """What is waiting is batched, up to this many samples."""
    max_wait: Duration = 0.0
    """How long to wait for a fuller batch; a CPU gains nothing by waiting."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Threads onnxruntime uses inside one run."""
    provider: Literal["cpu", "openvino", "cuda", "tensorrt"] = "cpu"
    """What onnxruntime computes with; all but `cpu` need another build of it."""
    max_age: SomeTime = 2.0
    """A sample older than this is dropped, never classified as if it were new."""
    run_timeout: SomeTime = 5.0
    """A model that runs longer than this on one batch is stopped."""


class OutboxSettings(Section):
    max_size: Annotated[int, BeforeValidator(parse_size), Field(ge=64 * 2**10)] = 64 * 2**20
    """What the store may take on the disk; when full, the least severe and oldest events go, counted."""
    max_events: Annotated[int, Field(ge=10)] = 100_000
    """How many messages the store holds, under the same law."""
    max_age: SomeTime = 7 * 86400.0
    """Events older than this expire undelivered."""
    keep: Duration = 86400.0
    """How long delivered events stay for `edgenode outbox replay`."""
    repeat: Duration = 0.1
    """When a connection is lost, what was acknowledged so shortly before is sent again: brokers acknowledge before
    they write to their disk. 0 never."""
    hold_without_subscriber: bool = False
    """Keep an event while the broker answers that nobody subscribes to it (MQTT 5, reason code 16)."""
    chain: bool = False
    """Link each event to the one before by a hash, so that `edgenode verify` proves that none was altered."""


class ModelSettings(Section):
    file: Path
    """A model file, relative to the configuration file: installed and active at start or reload, whenever it is
    another one than the last time. Or the name of an installed model."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """When given, any other file is refused."""


class SmoothingSettings(Section):
    method: Literal["exponential", "vote", "none"] = "exponential"
    """`exponential`: time-weighted average of the probabilities; `vote`: share of the window in which a label led."""
    window: Duration = 1.0
    """Seconds the smoothing looks back; independent of the frame rate."""
    enter: Fraction = 0.6
    """Smoothed score from which a label becomes the state."""
    leave: Fraction = 0.4
    """Smoothed score under which the present state is left."""
    hold: Duration = 0.0
    """A state stays at least this long."""
    abstain_below: Fraction | None = None
    """Smoothed confidence under which the state is `unknown`; by default the model card's."""
    labels: dict[str, LabelThresholds] = {}
    """Other thresholds for single labels."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.leave > self.enter:
            raise ValueError(f"leave ({self.leave}) must not be above enter ({self.enter})")
        return self


class LabelThresholds(Section):
    enter: Fraction
    """As `smoothing.enter`, for this label."""
    leave: Fraction
    """As `smoothing.leave`, for this label."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.leave > self.enter:
            raise ValueError(f"leave ({self.leave}) must not be above enter ({self.enter})")
        return self


class RegionSettings(Section):
    name: Name = "frame"
    """Topic level and name in rules."""
    model: Name | None = None
    """Name under `[models]`; may be left out when there is only one."""
    box: tuple[Fraction, Fraction, Fraction, Fraction] | None = None
    """x0 y0 x1 y1, fractions of the frame."""
    polygon: Annotated[list[Point], Field(min_length=3, max_length=64)] | None = None
    """Its bounding box is cut; what lies outside is black."""
    quad: Annotated[list[Point], Field(min_length=4, max_length=4)] | None = None
    """Four corners, clockwise from the top left, straightened to a rectangle (perspective corrected)."""
    smoothing: SmoothingSettings = SmoothingSettings()
    """From probabilities to a steady state. Without `enter` and `leave` the thresholds in the model card hold."""

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if sum(shape is not None for shape in (self.box, self.polygon, self.quad)) > 1:
            raise ValueError("give one of box, polygon and quad")
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if x1 <= x0 or y1 <= y0:
                raise ValueError("box is x0 y0 x1 y1 with x0 < x1 and y0 < y1")
        return self


class CameraSettings(Section):
    name: Name
    """Topic level and name in rules."""
    source: Annotated[str, Field(min_length=1)]
    """rtsp:// http(s):// file.mp4 dir/ usb:0 synthetic:line"""
    fps: Annotated[float, Field(ge=0.0, le=240.0)] = 5.0
    """Frames a second to classify; 0 takes all."""
    decode: Literal["all", "keyframes", "auto"] = "auto"
    """`keyframes` decodes nothing between them, which is cheap; `auto` does so where they come often enough for
    `fps`."""
    gate: Literal["none", "motion", "packet"] = "none"
    """Classify only while something moves: seen in the picture (`motion`), or in the sizes of the packets before
    they are decoded (`packet`)."""
    gate_audit: Fraction = 0.02
    """Share of the time with a closed packet gate in which everything is decoded, to count what it misses."""
    pixels: Literal["exact", "fast"] = "exact"
    """How samples come out of decoded video. `exact`: as the trainer makes them, out of RGB. `fast`: averaged before
    they become RGB, for less time and memory; where one colour is over- or underexposed they differ by some levels."""
    masks: list[Annotated[list[Point], Field(min_length=3, max_length=64)]] = []
    """Privacy: polygons blacked out before anything else sees the frame."""
    regions: list[RegionSettings] = []
    """What to cut out and classify; none given: one region `frame`, the whole picture."""
    enabled: bool = True
    """`false` keeps it closed until the command `camera_enable`."""
    loop: bool = False
    """Play a file again when it ends."""
    detect_moves: bool = False
    """Tell when a fixed camera was turned or pushed: it is `moved` then, and its regions are `invalid`."""
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    """Where `[energy]` sets a limit, cameras of 0 are slowed first and those of 9 last."""
    open_timeout: Annotated[float, BeforeValidator(parse_duration), Field(gt=0.0, le=60.0)] = 5.0
    """How long opening the source may take."""
    read_timeout: Annotated[float, BeforeValidator(parse_duration), Field(gt=0.0, le=60.0)] = 5.0
    """How long the next picture may take before the source is opened anew."""
    transport: Literal["tcp", "udp"] = "tcp"
    """RTSP transport; UDP shows damaged pictures when packets are lost."""

    @field_validator("regions")
    @classmethod
    def _unique(cls, regions: list[RegionSettings]) -> list[RegionSettings]:
        refuse_repeats([region.name for region in regions], "regions")
        return regions


class Settings(BaseSettings):
    """The whole configuration of one node."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        case_sensitive=False,
    )

    node: NodeSettings = Field(default_factory=NodeSettings)
    """Who this node is and where it keeps things."""
    mqtt: MqttSettings = MqttSettings()
    """The broker."""
    http: HttpSettings = HttpSettings()
    """Metrics, health and the status page."""
    commands: CommandSettings = CommandSettings()
    """What the node lets itself be told over MQTT."""
    inference: InferenceSettings = InferenceSettings()
    """How models are run, all of them alike."""
    energy: EnergySettings = EnergySettings()
    """What the machine draws, and what it may draw."""
    outbox: OutboxSettings = OutboxSettings()
    """The store in which events wait for the broker."""
    collect: CollectSettings = CollectSettings()
    """Pictures kept on this node for somebody to label: `edgenode label`. They never leave it by themselves."""
    rollout: RolloutSettings = RolloutSettings()
    """How new models come in, what they must prove, and when they go again: `docs/models.md`."""
    models: dict[Name, ModelSettings] = {}
    """The models by name: `[models.defects]`."""
    cameras: list[CameraSettings] = []
    """One table `[[cameras]]` each."""
    rules: list[RuleSettings] = []
    """One table `[[rules]]` each; `docs/rules.md` explains the conditions."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings

    @field_validator("cameras")
    @classmethod
    def _unique_cameras(cls, cameras: list[CameraSettings]) -> list[CameraSettings]:
        refuse_repeats([camera.name for camera in cameras], "cameras")
        return cameras

    @field_validator("rules")
    @classmethod
    def _unique_rules(cls, rules: list[RuleSettings]) -> list[RuleSettings]:
        refuse_repeats([rule.name for rule in rules], "rules")
        return rules


class GivenSettings(Settings):
    """Settings from what they are given and nothing else, whatever `EDGENODE__` variables say."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: Any,
        **named: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del settings_cls, named
        return (init_settings,)
