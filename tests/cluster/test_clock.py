"""A clock that is set back delays nothing that Dask sends."""

import os
import subprocess
import sys

from rrl_batch.cluster.worker import takes_turns

# as on a machine whose clock is set: also for what has `time.time` under another name
DRIVER = """
import time
real, behind = time.time, [0.0]
time.time = lambda: real() - behind[0]

from rrl_batch.cluster.connect import connect
from rrl_batch.job import ClusterSection

if __name__ == "__main__":
    with connect(ClusterSection(workers=1, dashboard_address="127.0.0.1:0")) as client:
        for number in range(5):
            client.submit(pow, number, 2, pure=False).result(timeout=120)
            client.loop.add_callback(client.scheduler_comm.send, {"op": "heartbeat-client"})
            time.sleep(0.003)  # it is sent, and the next message due 0.01 s after
            behind[0] += 3 * 3600
            assert client.submit(pow, number, 3, pure=False).result(timeout=120) == number**3
"""


def test_a_driver_whose_clock_is_set_back_goes_on(tmp_path):
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    done = subprocess.run(
        [sys.executable, driver], capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.returncode == 0, done.stderr


def clock_of_messages():
    import distributed.batched
    from tornado.ioloop import IOLoop

    return distributed.batched.time.__module__, IOLoop.time.__module__


def test_workers_and_scheduler_have_a_clock_that_is_not_set_back(client):
    client.run(takes_turns(abs), -1)
    own = ("rrl_batch.cluster.clock", "rrl_batch.cluster.clock")
    assert client.submit(takes_turns(clock_of_messages), pure=False).result() == own
    assert client.run_on_scheduler(clock_of_messages) == own
