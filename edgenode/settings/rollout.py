"""Settings of `[rollout]`: how new models come in, what they must prove, and when they go again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from edgenode.settings.values import Duration, Fraction, Section, Size, SomeTime


class RolloutSettings(Section):
    download_from: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+(:\d{1,5})?$")]] = []
    """Hosts, or host:port, from which the command `model_install` may fetch over https. None given: from nowhere."""
    ca_file: Path | None = None
    """Certificates that may sign those hosts'; by default the system's."""
    incoming: Path | None = None
    """The one folder from which `model_install` may take `file://` addresses. None given: from nowhere."""
    max_size: Size = 256 * 2**20
    """A larger model is refused, before it is fetched where the server says its size."""
    timeout: SomeTime = 600.0
    """How long fetching may take in all."""
    require_signature: bool = False
    """Refuse every model that none of `trusted_keys` has signed."""
    trusted_keys: list[Path] = []
    """Files with Ed25519 public keys, as `edgenode model keygen` writes them. A wrong signature by one of them is
    refused in any case."""
    accepted_loss: Fraction = 0.02
    """A model is promoted by the comparison in its card where that excludes, at 95 %, that more accuracy was lost."""
    shadow_samples: Annotated[int, Field(ge=1)] = 1000
    """So many samples a shadow must have answered for its agreement to count."""
    shadow_agreement: Fraction = 0.98
    """From this share of agreement on, a shadow may be promoted."""
    shadow_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.25
    """Most of one core that a shadow may use; samples it has no time for are skipped and counted."""
    probation: Duration = 600.0
    """So long a new model is watched, and the one before kept ready; 0 watches none."""
    sample_budget: Duration = 0.0
    """On probation, a model that takes longer for a sample on average goes back; 0: three times what the one before
    took."""
    max_drift: Annotated[float, Field(gt=0.0)] = 0.25
    """Population stability index above which a model drifts: an event, and on probation the way back."""
