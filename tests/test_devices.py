"""Two processors that JAX pretends to have share the batches of a run."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.small import FLAGS

pytest.importorskip("jax")

UPDATE = """
import re
import sys
import jax, keras, numpy as np
from nam import machine, models
from nam.config import Config
from nam.data import Spec

machine.share(6)
keras.utils.set_random_seed(0)
config = Config(samples=3, glimpses=3, scales=2, hidden=16, advantage=sys.argv[2]).resolved("digits")
model = models.build(config, Spec(40, 40, 1, tuple("0123456789")))
model.compile(keras.optimizers.SGD(0.1))
rng = np.random.default_rng(0)
images, labels = rng.integers(0, 256, (6, 40, 40, 1)).astype("uint8"), np.arange(6)
model.train_on_batch(images, labels)
weights = model.get_weights()

distribution = keras.distribution.distribution()
if distribution:
    images = jax.device_put(images, distribution.get_data_layout(images.shape).backend_layout)
states = [v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables]
look = jax.jit(lambda states, images: model.stateless_call(*states, images)[0]["logits"])
program = look.lower(states, images).compile().as_text()
np.savez(
    sys.argv[1],
    *weights,
    devices=len(model.trainable_variables[0].value.sharding.device_set),
    exchanges=len(re.findall("all-gather|all-reduce|all-to-all|collective-permute", program)),
)
"""


def on(devices: int, *arguments: str) -> str:
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    process = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.slow
@pytest.mark.parametrize("advantage", ["learned", "leave-one-out"])
def test_two_devices_make_the_update_of_one(tmp_path, advantage):
    found = []
    for devices in (1, 2):
        path = tmp_path / f"{devices}.npz"
        on(devices, "-c", UPDATE, str(path), advantage)
        found.append(np.load(path))
    one, two = found
    assert (one["devices"], two["devices"]) == (1, 2)
    assert two["exchanges"] == 0  # every device reads its own images only
    for name in set(one.files) - {"devices", "exchanges"}:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_devices_that_do_not_divide_a_batch_stay_out(tmp_path):
    command = ["-m", "nam.train", *FLAGS, "--epochs", "1", "--logs", str(tmp_path), "--batch-size", "32"]
    output = on(3, *command)
    assert "2 of 3 devices take part: batches of 32 images do not divide among more" in output
    assert "finished: " in output
