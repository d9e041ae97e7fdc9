"""Numbers and tables as text."""

import pytest

from scripts.tables import Table, digits, span


def test_numbers_go_to_the_right():
    table = Table("title", "about", ("name", "time"), [("a", "1.00 s"), ("bcd", "12.0 s")], ["x: broken"])
    assert table.text().splitlines() == [
        "title",
        "about",
        "name    time",
        "a     1.00 s",
        "bcd   12.0 s",
        "! x: broken",
    ]
    assert table.markdown().splitlines()[2:5] == ["| name | time |", "| --- | ---: |", "| a | 1.00 s |"]
    assert "- Not measured: x: broken" in table.markdown()


def test_table_of_failures_only():
    table = Table("title", "", ("name", "time"), [], ["x: broken"])
    assert table.text() == "title\n! x: broken"
    assert "|" not in table.markdown()


@pytest.mark.parametrize(
    ("value", "text"), [(0.9996, "1.000"), (9.999, "10.00"), (99.96, "100.0"), (123456.0, "123456"), (0.0, "0.000")]
)
def test_digits(value, text):
    assert digits(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.0, "1.00 s"), (0.001, "1.00 ms"), (1e-6, "1.00 µs"), (1e-9, "0.001 µs")]
)
def test_span(seconds, text):
    assert span(seconds) == text
