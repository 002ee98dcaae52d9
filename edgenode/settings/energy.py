"""`[energy]`: what the machine draws where no meter tells, and what it may draw."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from edgenode.settings.values import Fraction, Section, parse_duration

Watts = Annotated[float, Field(gt=0.0, le=10_000.0)]


class EnergySettings(Section):
    """By default nothing is assumed and nothing limited."""

    idle_watts: Watts | None = None
    """What the machine draws while it does nothing, as somebody measured it: `edgenode energy calibrate`."""
    core_watts: Watts | None = None
    """What one busy core adds to that. With both, energy is worked out from CPU time, labelled `model`."""
    budget_watts: Watts | None = None
    """Frame rates are lowered while the machine draws more than this."""
    max_temperature: Annotated[float, Field(ge=30.0, le=120.0)] | None = None
    """Frame rates are lowered while the hottest sensor shows more than this, in °C."""
    target_p95: Annotated[float, BeforeValidator(parse_duration), Field(gt=0.0, le=60.0)] | None = None
    """Frame rates are lowered while 1 of 20 samples waits and runs longer than this."""
    on_battery: Fraction = 1.0
    """Share of the frame rates that is kept while a battery feeds the machine."""
    slowest: Annotated[float, Field(gt=0.0, le=1.0)] = 0.2
    """No camera is slowed below this share of its `fps`."""

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.idle_watts is None) != (self.core_watts is None):
            raise ValueError("idle_watts and core_watts belong together: give both or neither")
        return self
