"""Client, scheduler and workers of other versions are refused."""

import pytest

from rrl_batch.cluster.versions import check_versions
from rrl_batch.errors import UserError


class Cluster:
    """A client of a cluster whose processes have been asked for their versions."""

    def __init__(self, client, scheduler, *workers):
        self.found = {
            "client": client,
            "scheduler": scheduler,
            "workers": {f"tcp://{i}": worker for i, worker in enumerate(workers)},
        }

    def get_versions(self, packages):
        assert {"rrl-batch", "dask", "distributed", "numpy", "numba", "keras"} <= set(packages)
        return self.found


def process(**versions):
    common = {
        "python": "3.11.7.final.0", "rrl-batch": "0.1.0", "dask": "2026.7.1",
        "distributed": "2026.7.1", "numpy": "2.4.6", "numba": "0.68.1", "keras": "3.15.1",
    }  # fmt: skip
    return {"packages": common | versions}


def test_the_same_versions_everywhere_pass(client):
    check_versions(client)
    check_versions(Cluster(process(), process(numpy=None), process(python="3.11.9.final.0")))
    check_versions(Cluster(process(), process()))


def test_other_versions_are_refused_with_a_table_of_what_differs():
    old = process(numpy="1.26.4", **{"rrl-batch": None})
    with pytest.raises(UserError) as refused:
        check_versions(
            Cluster(process(python="3.12.1.final.0"), process(), process(), old, process())
        )
    head, *table = str(refused.value).splitlines()
    assert head.endswith("install the same ones everywhere, with constraints.txt.")
    assert [line.split() for line in table] == [
        ["this", "client", "scheduler", "2", "workers", "1", "worker"],
        ["python", "3.12", "3.11", "3.11", "3.11"],
        ["rrl-batch", "0.1.0", "0.1.0", "0.1.0", "missing"],
        ["numpy", "2.4.6", "2.4.6", "1.26.4"],
    ]


def test_a_scheduler_of_another_dask_is_refused():
    with pytest.raises(UserError, match=r"dask +2026\.7\.1 +2025\.1\.0 +2026\.7\.1"):
        check_versions(Cluster(process(), process(dask="2025.1.0"), process()))
