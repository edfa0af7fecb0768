"""The machine that a run is computed on, and the software that computes it."""

import contextlib
import ctypes
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import psutil
import pynvml

PACKAGES = ("nam", "keras", "tensorflow", "tensorflow-cpu", "jax", "jaxlib", "numpy", "pillow", "scikit-learn")


def card() -> dict[str, Any]:
    """The machine and the software: accelerator or CPU, memory, versions, and the commit of nam's own code."""
    values: dict[str, Any] = {
        "gpu": _gpu() if on_gpu() else "none",
        "cpu": _cpu_name(),
        "cores": _cores(),
        "ram_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
    }
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            values[package] = metadata.version(package)
    values["commit"] = _commit()
    return values


def other_versions(then: dict[str, Any], now: dict[str, Any]) -> str:
    """Where software that the first of two cards tells of differs, as `keras 3.14.0, now 3.15.0`; else empty."""
    names = [name for name in ("python", "backend", *PACKAGES) if name in then and then[name] != now.get(name)]
    return "; ".join(f"{name} {then[name]}, now {now.get(name, 'none')}" for name in names)


def _cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def keep_memory() -> None:
    """Lets this process keep the memory that it frees, where glibc manages it.

    A training step frees and takes hundreds of megabytes each second; glibc hands them back to the system every time,
    and every page taken anew is a fault of a microsecond or two: half the time of a small model's step. What is larger
    than 64 MiB stays only in the first arena, so a process of one core has no other.
    """
    trim_threshold, top_pad, mmap_max, arena_max = -1, -2, -4, -8  # as malloc.h names them
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another system, another allocator
        libc = ctypes.CDLL(None)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(top_pad, 16 * 2**20)
        libc.mallopt(mmap_max, 0)  # nothing is mapped on its own, to be unmapped when it is freed
        libc.mallopt(arena_max, _cores())


def on_gpu() -> bool:
    """Whether Keras computes on a GPU here; a machine may have one that it does not use."""
    return any("gpu" in device for device in keras.distribution.list_devices())


def half() -> str:
    """Keras's name for computing in 16 bits where that is safe: in float16 on GPUs, in bfloat16 elsewhere.

    Processors with AVX512_BF16 or AMX multiply in bfloat16 about twice as fast as in float32; none does in float16.
    """
    return "mixed_float16" if on_gpu() else "mixed_bfloat16"


def share(images: int) -> None:
    """Lets the devices of this machine share every batch that holds a multiple of `images`, on JAX.

    Each holds all weights and computes a part of the batch; the update is that of one device. As many devices take
    part as divide `images`. To be called before a model is made.
    """
    distribution = None
    if keras.backend.backend() == "jax":
        devices = keras.distribution.list_devices()
        count = max(n for n in range(1, len(devices) + 1) if images % n == 0)
        if count < len(devices):
            print(f"{count} of {len(devices)} devices take part: batches of {images} images do not divide among more")
        if count > 1:
            distribution = keras.distribution.DataParallel(devices=devices[:count])
    keras.distribution.set_distribution(distribution)


def _gpu() -> dict[str, Any] | str:
    """The first GPU; the driver's CUDA is the newest that it can run."""
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        cuda = pynvml.nvmlSystemGetCudaDriverVersion()
        gpu = {
            "name": pynvml.nvmlDeviceGetName(handle),
            "count": pynvml.nvmlDeviceGetCount(),
            "compute_capability": f"{major}.{minor}",
            "memory_gib": round(pynvml.nvmlDeviceGetMemoryInfo(handle).total / 2**30, 1),
            "driver": pynvml.nvmlSystemGetDriverVersion(),
            "driver_cuda": f"{cuda // 1000}.{cuda % 1000 // 10}",
        }
    except pynvml.NVMLError:
        return "none"
    for package in ("nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            gpu[package] = metadata.version(package)
    return gpu


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1]
    return platform.processor() or platform.machine()


def _commit() -> str:
    here = Path(__file__).resolve()

    def git(*words: str) -> str:
        told = subprocess.run(["git", "-C", str(here.parent), *words], capture_output=True, text=True, check=True)
        return told.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)  # nam may be installed within another repository
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
