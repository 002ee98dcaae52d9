"""The models: loaded as the node loads them, golden vector run, and measured alone and in a full batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgenode.doctor.finding import Finding, Level
from edgenode.errors import EdgeNodeError, ProviderError
from edgenode.inference.throughput import Effort, measure_throughput
from edgenode.settings import Settings
from edgenode.wiring import classifier_options, model_path

PART = "model"
_EFFORT = Effort(warm_up_s=0.1, round_s=0.15, rounds=3)
_LONG_RUN = 0.2
"""A batch may take this share of `run_timeout`, measured on a machine that does nothing else."""


def examine_models(settings: Settings, base_dir: Path) -> tuple[list[Finding], dict[str, float]]:
    """The findings, and the CPU seconds one image costs, by model. About a second a model."""
    found: list[Finding] = []
    cost_s: dict[str, float] = {}
    for name in settings.models:
        try:
            path = model_path(settings, name, base_dir)
            if path is None:
                raise EdgeNodeError(f"no file {settings.models[name].file}, and none is installed")
            finding, cost_s[name] = _measured(name, path, settings, base_dir)
        except (EdgeNodeError, OSError) as error:
            advice = f"edgenode model inspect {settings.models[name].file}; a model made for this node"
            found.append(Finding(PART, name, Level.PROBLEM, str(error), advice))
        else:
            found.append(finding)
    if not settings.models:
        text = "there is none: nothing can be classified"
        found.append(Finding(PART, "[models]", Level.WARNING, text, "docs/training.md makes one"))
    return found, cost_s


def _measured(name: str, path: Path, settings: Settings, base_dir: Path) -> tuple[Finding, float]:
    inference = settings.inference
    options = classifier_options(settings, base_dir, name)
    batches = sorted({1, inference.max_batch})
    missing = ""
    try:
        measured = measure_throughput(path, batches, (inference.threads,), options, _EFFORT)
    except ProviderError as error:
        missing = str(error)
        options = replace(options, provider="cpu")
        measured = measure_throughput(path, batches, (inference.threads,), options, _EFFORT)
    alone, full = measured.points[0], measured.points[-1]
    facts = {
        "version": measured.version,
        "sha256": measured.sha256,
        "provider": options.provider,
        "ms_per_image_alone": round(alone.run_s.median * 1000.0, 3),
        "ms_per_image_in_batch": round(full.run_s.median * 1000.0 / full.batch, 3),
        "cpu_ms_per_image": round(alone.cpu_s_per_image.median * 1000.0, 3),
        "batch": full.batch,
    }
    text = (
        f"{measured.version} ({measured.sha256[:12]}), golden vector right; {facts['ms_per_image_alone']:.2f} ms "
        f"an image alone, {facts['ms_per_image_in_batch']:.2f} in batches of {full.batch}"
    )
    level, advice = Level.OK, ""
    if missing:
        level = Level.WARNING
        text += f"; on the processor, as the node would run it: {missing}"
        advice = f'install what inference.provider = {inference.provider!r} needs, or set it to "cpu"'
    if full.run_s.median > _LONG_RUN * inference.run_timeout:
        level = Level.WARNING
        text += f"; a full batch takes {full.run_s.median:.1f} s of inference.run_timeout {inference.run_timeout:g} s"
        advice = (
            f"{advice}; " * bool(advice)
            + "a smaller inference.max_batch, a smaller model, or a longer run_timeout"
        )
    return Finding(PART, name, level, text, advice, facts), alone.cpu_s_per_image.median
