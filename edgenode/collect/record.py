"""What stands beside a kept picture, as one line of JSON: where it is from, what the model said, why it was kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from edgenode.collect.look import Look
from edgenode.records import ModelIdentity

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Second:
    """What the shadow model said of the same sample."""

    label: str
    probability: float
    sha256: str


@dataclass(frozen=True, slots=True)
class Kept:
    """One picture worth a label."""

    camera: str
    region: str
    rule: str
    why: str
    captured_at: datetime
    model: ModelIdentity
    multi_label: bool
    probabilities: dict[str, float]
    """In the order of the model's labels."""
    label: str
    """The most probable one; the model's answer, not the truth."""
    margin: float
    """0 undecided, 1 certain; see `choose.margin_of`."""
    pixels: str
    """`region` at full resolution, or the `model`'s own input."""
    look: Look
    shadow: Second | None = None

    @property
    def stem(self) -> str:
        """Day folder and file name, without the ending."""
        return f"{self.captured_at:%Y-%m-%d}/{self.captured_at:%H%M%S.%f}_{self.camera}_{self.region}"

    @property
    def kind(self) -> tuple[str, str, str]:
        """What pictures have in common that can stand for each other."""
        return self.camera, self.region, self.label

    def line(self) -> str:
        """One line of JSON."""
        shadow = self.shadow and {
            "label": self.shadow.label,
            "probability": round(self.shadow.probability, 6),
            "sha256": self.shadow.sha256,
        }
        value: dict[str, Any] = {
            "schema": SCHEMA,
            "file": f"{self.stem}.png",
            "camera": self.camera,
            "region": self.region,
            "rule": self.rule,
            "why": self.why,
            "captured_at": self.captured_at.isoformat(),
            "model": {
                "name": self.model.name,
                "version": self.model.version,
                "sha256": self.model.sha256,
            },
            "task": "multi_label" if self.multi_label else "single_label",
            "label": self.label,
            "probabilities": {name: round(value, 6) for name, value in self.probabilities.items()},
            "margin": round(self.margin, 6),
            "shadow": shadow,
            "pixels": self.pixels,
            "look": str(self.look),
        }
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `line` wrote; keys it does not know are left aside. Raises ValueError."""
        try:
            value = json.loads(text)
            model, shadow = value["model"], value["shadow"]
            return cls(
                camera=value["camera"],
                region=value["region"],
                rule=value["rule"],
                why=value["why"],
                captured_at=datetime.fromisoformat(value["captured_at"]),
                model=ModelIdentity(model["name"], model["version"], model["sha256"]),
                multi_label=value["task"] == "multi_label",
                probabilities={str(name): float(each) for name, each in value["probabilities"].items()},
                label=value["label"],
                margin=float(value["margin"]),
                pixels=value["pixels"],
                look=Look.parse(value["look"]),
                shadow=shadow
                and Second(str(shadow["label"]), float(shadow["probability"]), str(shadow["sha256"])),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"is no line about a kept picture: {error!r}") from error
