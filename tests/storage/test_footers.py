"""What a damaged footer says of columns is an error, and never the end of the process."""

import io
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq

from rrl_batch.storage.footers import column_chunks

READ_ALL = """
import io, sys
import pyarrow as pa, pyarrow.parquet as pq
from rrl_batch.storage.footers import column_chunks

content = sys.stdin.buffer.read()
length = int.from_bytes(content[-8:-4], "little")
said = []
for place in range(len(content) - 8 - length, len(content) - 8):
    for change in (1, -1, 16):
        damaged = bytearray(content)
        damaged[place] = (damaged[place] + change) % 256
        try:
            column_chunks(pq.read_metadata(io.BytesIO(damaged)))
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            said.append(str(error))
print(len(said), sum("histogram size mismatch" in text for text in said))
"""


def written(rows_per_group):
    table = pa.table({"feh": [1.0, None, 2.0], "time": [[1.0, 2.0], [3.0], []]})
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=rows_per_group)
    return file.getvalue()


def test_column_chunks_are_those_of_the_groups():
    footer = pq.read_metadata(io.BytesIO(written(rows_per_group=2)))
    all_of_them = [footer.row_group(g).column(c) for g in range(2) for c in range(2)]
    assert column_chunks(footer) == all_of_them
    assert column_chunks(footer, [1]) == all_of_them[2:]
    assert [chunk.num_values for chunk in column_chunks(footer)] == [2, 3, 1, 1]
    assert column_chunks(footer, []) == []


def test_no_byte_of_a_footer_ends_the_process():
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL], input=written(3), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    damaged, of_histograms = map(int, done.stdout.split())
    assert damaged > 100
    assert of_histograms > 0  # of which pyarrow alone aborts
