"""GPUs, by NVIDIA's own binding where it is installed (`pip install nvidia-ml-py`)."""

from typing import Any


def gpus() -> dict[str, Any] | None:
    """Driver and devices, memory in bytes. None where there is no binding, or it finds no driver."""
    try:
        import pynvml  # noqa: PLC0415 - what is not installed is not missed
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(place) for place in range(pynvml.nvmlDeviceGetCount())]
        return {"driver": _text(pynvml.nvmlSystemGetDriverVersion()), "devices": [_device(pynvml, h) for h in handles]}
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def _device(pynvml: Any, handle: Any) -> dict[str, Any]:
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    name = _text(pynvml.nvmlDeviceGetName(handle))
    return {"name": name, "memory_total": int(memory.total), "memory_used": int(memory.used)}


def _text(value: bytes | str) -> str:
    # Older bindings give bytes.
    return value.decode(errors="replace") if isinstance(value, bytes) else value
