"""The page of what was tried."""

from tests.faults.reliability import Trial, write


def test_rows_of_several_runs_are_one_page(tmp_path):
    path = tmp_path / "page.md"
    write(
        path, [Trial("Files", "cut", 2, "told"), Trial("Files", "cut", 3, "told"), Trial("Ends", "a | b\n c", 1, "x")]
    )
    text = path.read_text()
    assert text.index("## Ends") < text.index("## Files")
    assert text.count("| cut | 5 | told |\n") == 1
    assert "| a \\| b c | 1 | x |\n" in text
    write(path, [Trial("Files", "cut", 1, "one line"), Trial("Files", "full disk", 1, "told")])
    again = path.read_text()
    assert again == text.replace("| cut | 5 | told |\n", "| cut | 1 | one line |\n| full disk | 1 | told |\n")
