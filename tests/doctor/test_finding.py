from rrl_batch.doctor.finding import WIDTH, fails, listed, ok, summary


def test_a_line_is_wrapped_and_a_table_stays_as_it_is():
    table = "package  here      worker\nnumpy    2.1       " + "2.0  " * 20
    text = fails("words " * 30 + "end; do this.\n" + table).lines("versions")
    first, *others = text.split("\n")
    assert first.startswith("fails    versions    words words")
    assert all(line.startswith(" " * 21) for line in others)
    assert all(len(line) <= WIDTH for line in text.split("\n")[:-1])
    assert text.endswith(table.split("\n")[1])


def test_a_path_is_not_broken():
    path = "/a/long-winded/" + "folder-of-mine/" * 6
    assert path in ok(f"kept in {path}").lines("kernels")


def test_the_summary_counts():
    assert summary([ok("a"), fails("b"), ok("c")]) == "doctor     2 ok, 0 warning, 1 fails"


def test_a_long_list_is_cut():
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcde")) == "a, b, c and 2 more"
