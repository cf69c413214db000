"""What tables look like in terminals of several widths: nothing is cut, ids stay in one piece."""

import io

import pytest
from rich.console import Console

from cli import screen

ID = "h2-energy-1m8kedx7embw1nv"
CELLS = (ID, "fake_manila", "readout-twirl-zne-exponential", "11-29 10:43:20")


def _printed(width, *rows):
    out = io.StringIO()
    table = screen.table("job", "backend", "method", "at (UTC)", title="jobs")
    for row in rows:
        table.add_row(*row)
    Console(file=out, width=width, highlight=False).print(table)
    return out.getvalue()


@pytest.mark.parametrize("width", [20, 40, 60, 79])
def test_where_the_columns_do_not_fit_each_row_is_a_block_of_lines(width):
    printed = _printed(width, CELLS, CELLS)
    assert printed.splitlines()[0] == "jobs"
    assert printed.replace("\n", "").count(ID) == 2
    assert all(len(line) <= width for line in printed.splitlines())
    assert printed.count("backend: ") == 2


def test_a_block_leaves_out_empty_cells_and_reads_markup():
    printed = _printed(40, ("[green]a[/]" * 12, "", "m", ""))
    assert ("a" * 12) in printed and "backend" not in printed and "[green]" not in printed


@pytest.mark.parametrize(("width", "row"), [(80, CELLS), (120, CELLS), (40, ("a", "b", "c", "d"))])
def test_where_they_do_there_are_columns(width, row):
    printed = _printed(width, row)
    assert "backend:" not in printed and len(printed.splitlines()) >= 5


def test_an_id_that_looks_like_a_number_is_in_one_colour(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    screen.console().print("bell-0x759-12345 DONE")
    assert "\x1b" not in capsys.readouterr().out


def test_control_characters_of_others_are_shown_and_not_obeyed(capsys):
    rows = screen.table("detail")
    rows.add_row("GET /a\x1b[31mred\x9b2J\x07\nnext")
    screen.console().print(rows)
    said = capsys.readouterr().out
    assert "GET /a\\x1b[31mred\\x9b2J\\x07" in said and "next" in said
    assert not set(said) & {"\x1b", "\x9b", "\x07"}
