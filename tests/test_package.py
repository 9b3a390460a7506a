"""What `import rrl_batch` offers, and what it costs."""

import subprocess
import sys

import pytest

import rrl_batch


@pytest.mark.parametrize("name", rrl_batch.__all__)
def test_every_name_is_there_and_explains_itself(name):
    assert getattr(rrl_batch, name).__doc__
    assert name in dir(rrl_batch)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'rrl_batch' has no attribute 'nonsense'"):
        _ = rrl_batch.nonsense


def test_the_import_loads_nothing_heavy():
    code = (
        "import sys, rrl_batch\n"
        "print({'numpy', 'pandas', 'dask', 'keras', 'pyarrow', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
