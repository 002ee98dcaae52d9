"""The one place that imports onnxruntime, with the settings a node needs.

Importing this module imports onnxruntime (0.15 s, 40 MB): nothing outside `inference/` imports it, and
`card`, `pixels`, `wire` and `onnx_file` do not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = (
    "1"  # onnxruntime from 1.29 on sends telemetry unless this is set before
)

import onnxruntime

from edgenode.errors import ModelError, ProviderError

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""Names in the settings to onnxruntime's own."""
_PACKAGES = {
    "cpu": "onnxruntime",
    "openvino": "onnxruntime-openvino",
    "cuda": "onnxruntime-gpu",
    "tensorrt": "onnxruntime-gpu (with TensorRT's libraries)",
}
_OPTIONS: dict[str, dict[str, str]] = {
    # OpenVINO's own default is BF16 on newer CPUs, which is not what the card's figures were measured with
    "openvino": {"device_type": "CPU", "precision": "ACCURACY"},
}
_LOG_ERRORS = 3
_LOG_FATAL = 4

onnxruntime.set_default_logger_severity(_LOG_ERRORS)


def runtime_version() -> str:
    return str(onnxruntime.__version__)


def available_providers() -> tuple[str, ...]:
    """The settings' provider names that this machine's onnxruntime was built with."""
    built = onnxruntime.get_available_providers()
    return tuple(name for name, full in PROVIDERS.items() if full in built)


def open_session(data: bytes, threads: int, provider: str, where: str) -> Any:
    """An `InferenceSession` of the model in `data`. Raises ModelError, whatever onnxruntime raises; ProviderError
    where only the provider is to blame.

    Intra-op threads as given, without spinning: at 10 pictures a second two spinning threads burn 49.5 ms of
    CPU a picture, waiting ones 6.0. One inter-op thread, sequential, denormals as zero, errors alone logged.
    Falling back to another provider behind the operator's back is off.

    The session is made on a thread of its own: onnxruntime leaves the thread that makes the process's first one
    in flush-to-zero mode, and that must not be a thread whose arithmetic matters to anybody.
    """
    if provider not in PROVIDERS:
        raise ModelError(f"{where}: unknown provider {provider!r}; one of {', '.join(PROVIDERS)}")
    if provider not in available_providers():
        raise ProviderError(
            f"{where}: provider {provider!r} is not in this onnxruntime {runtime_version()}, which has "
            f"{', '.join(available_providers())}; install {_PACKAGES[provider]} or set inference.provider"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _LOG_ERRORS
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.add_session_config_entry("session.load_model_format", "ONNX")
    wanted = PROVIDERS[provider]
    try:
        session = _session(data, options, _chain(provider))
    except Exception as error:  # Fail, InvalidGraph, InvalidProtobuf, RuntimeError, UnicodeDecodeError, …
        said = first_line(error)
        if provider != "cpu" and _works_on_the_processor(data, options):
            raise ProviderError(f"{where}: provider {provider!r} did not start: {said}") from error
        raise ModelError(f"{where}: onnxruntime refuses the model: {said}") from error
    used: Sequence[str] = session.get_providers()
    if wanted not in used:
        raise ProviderError(
            f"{where}: provider {provider!r} did not start; its libraries or its device are missing "
            f"(onnxruntime would have used {', '.join(used)})"
        )
    return session


def _chain(provider: str) -> list[str | tuple[str, dict[str, str]]]:
    """The provider, and those that run the single operators it lacks: of TensorRT, CUDA before the processor."""
    names = [provider, *(["cuda"] if provider == "tensorrt" and "cuda" in available_providers() else [])]
    if provider != "cpu":
        names.append("cpu")
    return [(PROVIDERS[name], _OPTIONS.get(name, {})) for name in names]


def _session(data: bytes, options: Any, chain: list[str | tuple[str, dict[str, str]]]) -> Any:
    # on a thread of its own: making the first session leaves its thread taking denormal numbers as zero
    with ThreadPoolExecutor(1, thread_name_prefix="open-model") as opening:
        return opening.submit(
            onnxruntime.InferenceSession,
            data,
            options,
            providers=chain,
            enable_fallback=0,
            read_config_from_model=0,
        ).result()


def _works_on_the_processor(data: bytes, options: Any) -> bool:
    """Whether a model that a provider did not take is one that onnxruntime takes: then the provider is to blame (a
    device that is gone, a driver that is too old)."""
    try:
        _session(data, options, _chain("cpu"))
    except Exception:
        return False
    return True


def run_options() -> Any:
    """Options for one run (0.2 µs): setting `terminate` on them from another thread ends that run alone."""
    options = onnxruntime.RunOptions()
    options.log_severity_level = _LOG_FATAL  # what fails is raised, and told by whoever handles it
    return options


def first_line(error: BaseException) -> str:
    """The beginning of an exception's text, as one line of at most 300 characters."""
    text = " ".join(str(error).split())
    return (text[:297] + "...") if len(text) > 300 else text or type(error).__name__
