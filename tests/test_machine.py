import platform
import re
import subprocess
import sys

import keras
import pynvml
import pytest

from nam import machine


def test_without_a_gpu_the_card_says_so_and_describes_the_processor(monkeypatch):
    def none():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", none)
    monkeypatch.setattr(machine, "on_gpu", lambda: True)
    card = machine.card()
    assert card["gpu"] == "none" and card["cpu"] and card["cores"] >= 1 and card["ram_gib"] > 0


def test_with_a_gpu_the_card_names_it(monkeypatch):
    class Memory:
        total = 6 * 2**30

    answers = {
        "nvmlInit": None, "nvmlDeviceGetHandleByIndex": 0, "nvmlDeviceGetCudaComputeCapability": (6, 1),
        "nvmlSystemGetCudaDriverVersion": 12040, "nvmlDeviceGetName": "GeForce GTX 1060", "nvmlDeviceGetCount": 1,
        "nvmlDeviceGetMemoryInfo": Memory, "nvmlSystemGetDriverVersion": "550.1",
    }  # fmt: skip
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, lambda *_, answer=answer: answer)
    assert machine.card()["gpu"] == "none"  # Keras does not use it
    monkeypatch.setattr(machine, "on_gpu", lambda: True)
    gpu = machine.card()["gpu"]
    assert gpu["name"] == "GeForce GTX 1060" and gpu["compute_capability"] == "6.1" and gpu["driver"] == "550.1"
    assert gpu["memory_gib"] == pytest.approx(6) and gpu["driver_cuda"] == "12.4"


def test_16_bits_are_those_that_the_machine_is_fast_in(monkeypatch):
    for devices, half in ((["cpu:0", "gpu:0"], "mixed_float16"), (["cpu:0"], "mixed_bfloat16")):
        monkeypatch.setattr(keras.distribution, "list_devices", lambda devices=devices: devices)
        assert machine.half() == half


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_a_process_of_one_core_keeps_what_its_threads_free():
    code = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import ctypes, resource, threading
from nam import machine
machine.keep_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def fill():
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        block = libc.malloc(100 * 2**20)
        ctypes.memset(block, 1, 100 * 2**20)
        libc.free(block)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
thread = threading.Thread(target=fill)
thread.start()
thread.join()
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert int(found[-1]) < 100  # of 25,600 pages


def test_the_commit_is_that_of_nams_own_repository(tmp_path, monkeypatch):
    assert re.fullmatch(r"[0-9a-f]{40}(\+changes)?|unknown", machine.card()["commit"])
    words = "-c user.name=nobody -c user.email=nobody@example.org commit --quiet --allow-empty --message first"
    for command in (["init", "--quiet"], words.split()):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "site-packages" / "nam" / "machine.py"))
    (tmp_path / "site-packages" / "nam").mkdir(parents=True)
    assert machine.card()["commit"] == "unknown"  # installed within another repository
