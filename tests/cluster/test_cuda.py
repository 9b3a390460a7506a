"""Clusters of kind cuda: what they say is missing, and what they are where a driver answers."""

import logging
import os
import sys
from contextlib import nullcontext
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

import pytest
from distributed import LocalCluster

from rrl_batch.cluster.connect import connect
from rrl_batch.cluster.kinds.cuda import cuda, visible_gpus
from rrl_batch.errors import RunError, UserError
from rrl_batch.job import ClusterSection
from rrl_batch.models.device import WITHOUT_GPU


class NoDriverError(Exception):
    """As NVML's errors."""


class OnGpus(LocalCluster):
    """A cluster as LocalCUDACluster makes it: a process a GPU, with the environment replaced."""

    def __init__(self, CUDA_VISIBLE_DEVICES, **options):
        self.gpus = CUDA_VISIBLE_DEVICES
        super().__init__(n_workers=0, **options)
        self.new_spec["options"] |= {"preload": [], "plugins": set()}
        self.scale(len(self.gpus))

    def new_worker_spec(self):
        name = min(set(self.gpus) - set(self.worker_spec))
        env = {"CUDA_VISIBLE_DEVICES": name}
        options = self.new_spec["options"] | {"env": env}
        return {name: {"cls": self.new_spec["cls"], "options": options}}


@pytest.fixture
def install(monkeypatch):
    """Return a function that puts packages where dask-cuda and NVML would be."""

    def install(name, **content):
        package = ModuleType(name)
        package.__spec__ = ModuleSpec(name, None)
        for key, value in content.items():
            setattr(package, key, value)
        monkeypatch.setitem(sys.modules, name, package)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    install("pynvml", NVMLError=NoDriverError)
    install("dask_cuda", LocalCUDACluster=OnGpus, __path__=[])
    install("dask_cuda.utils", get_gpu_count=lambda: 2)
    return install


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [(None, ["0", "1"]), ("1", ["1"]), ("GPU-a,GPU-b", ["GPU-a", "GPU-b"])],
)
def test_the_gpus_are_those_that_cuda_shows(visible, gpus, install, monkeypatch):  # noqa: ARG001
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_gpus() == gpus


def no_driver():
    raise NoDriverError("NVML Shared Library Not Found")


def test_what_is_missing_is_said(install, monkeypatch):
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert visible_gpus().startswith("this process sees no GPU")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    install("dask_cuda.utils", get_gpu_count=lambda: 0)
    assert visible_gpus().startswith("this process sees no GPU")
    install("dask_cuda.utils", get_gpu_count=no_driver)
    assert visible_gpus() == "no NVIDIA driver answers (NVML Shared Library Not Found)"
    monkeypatch.setitem(sys.modules, "dask_cuda.utils", None)  # as if its import failed
    assert visible_gpus().startswith("dask-cuda finds no CUDA bindings (import of dask_cuda.utils")


@pytest.mark.skipif(find_spec("dask_cuda") is not None, reason="dask-cuda is installed")
def test_without_a_gpu_the_cores_are_used_and_it_is_said(monkeypatch, caplog):
    module = import_module("rrl_batch.cluster.kinds.cuda")
    monkeypatch.setattr(module, "local", lambda *given: nullcontext(given))
    section = ClusterSection(
        kind="cuda", workers=4, cpu_workers=9, threads_per_worker=2, memory_per_worker="3 GiB"
    )
    with caplog.at_level(logging.WARNING), cuda(section, None) as (instead, _):
        pass
    assert instead == ClusterSection(threads_per_worker=2, memory_per_worker="3 GiB")
    assert caplog.messages == [
        "cluster.kind = 'cuda': the package dask-cuda is not installed (pip install "
        "'rrl-batch[cuda]'); all work is done on the cores instead."
    ]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"workers": 3}, r"cluster\.workers = 3, one a GPU, and this process sees 2; lower it"),
        ({"cpu_workers": 999}, r"2 workers with a GPU and 999 others, of 1 threads each, are more"),
    ],
)
def test_more_workers_than_gpus_or_cores_are_refused(options, sentence, install):  # noqa: ARG001
    with pytest.raises(UserError, match=sentence):
        next(cuda(ClusterSection(kind="cuda", **options), None).gen)


def test_workers_that_do_not_start_are_a_sentence(install):
    def broken(**_):
        raise RuntimeError("Cluster failed to start: Uninitialized")

    install("dask_cuda", LocalCUDACluster=broken, __path__=[])
    with pytest.raises(RunError, match=r"on GPUs do not start: .*Uninitialized; see .*nvidia-smi"):
        next(cuda(ClusterSection(kind="cuda", workers=1, cpu_workers=0), None).gen)


def environment():
    return {name: os.environ.get(name) for name in ("KERAS_BACKEND", *WITHOUT_GPU)}


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="this machine has one core only")
def test_a_worker_a_gpu_declares_it_and_those_beside_see_none(install, monkeypatch):  # noqa: ARG001
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    section = ClusterSection(kind="cuda", cpu_workers=1, dashboard_address="127.0.0.1:0")
    with connect(section) as client:
        client.wait_for_workers(2, timeout=300)
        workers = client.scheduler_info(n_workers=-1)["workers"]
        seen = {str(workers[address]["name"]): e for address, e in client.run(environment).items()}
    about = {str(w["name"]): (w["resources"], w["memory_limit"]) for w in workers.values()}
    (of_gpu, memory), (of_cpu, same) = about["1"], about["cpu-0"]
    assert (of_gpu, of_cpu) == ({"GPU": 1}, {})
    assert memory == same > 0
    assert seen["1"] == {
        "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "1", "JAX_PLATFORMS": None,
    }  # fmt: skip
    assert seen["cpu-0"] == {"KERAS_BACKEND": "tensorflow", **WITHOUT_GPU}
