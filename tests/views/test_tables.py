import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslotlib.verdict import Verdict
from memslotlib.views.tables import WIDTH_COLUMNS, Cell, Table

GOLDEN = """\
What a vCPU meets while its slot is deleted and re-created

context  load             fetch
-------  ---------------  ----------------------------------------------
real16   SEEN 300 of 300  an exit with a rather long explanation that
                          has to wrap
prot32   NOT RUN                                                   1,234
"""


def test_a_table_is_72_columns_of_plain_text():
    table = Table(
        ("context", "load", "fetch"),
        [
            (
                "real16",
                Verdict.seen(300, 300, host="h"),
                "an exit with a rather long explanation that has to wrap",
            ),
            ("prot32", Verdict.not_run("no /dev/kvm"), 1234),
        ],
        "What a vCPU meets while its slot is deleted and re-created",
    )

    assert table.text + "\n" == GOLDEN


def test_html_marks_verdicts_numbers_and_links_and_escapes_the_rest():
    table = Table(
        ("a", "b", "c"),
        [(Verdict.not_run("x"), 5, Cell("<q0.1>", href="r/q0.1.html"))],
        "Cap & tion",
    )

    html = table.html

    assert '<td class="verdict not-run">NOT RUN</td>' in html
    assert '<td class="number">5</td>' in html
    assert '<td><a href="r/q0.1.html">&lt;q0.1&gt;</a></td>' in html
    assert "<caption>Cap &amp; tion</caption>" in html
    assert table._repr_mimebundle_() == {"text/html": html, "text/plain": table.text}


def test_a_row_of_the_wrong_length_is_named():
    with pytest.raises(ValueError, match="row 1 has 1 values for 2 columns"):
        Table(("a", "b"), [(1, 2), (3,)])


words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)


@given(st.lists(st.tuples(*[st.lists(words, max_size=12).map(" ".join)] * 4), max_size=5))
def test_no_line_is_wider_than_a_mail_and_no_word_is_lost(rows):
    text = Table(("a", "b", "c", "d"), rows, "caption").text

    assert max(map(len, text.splitlines())) <= WIDTH_COLUMNS
    squeezed = "".join(text.split())
    for row in rows:
        for cell in row:
            assert all(letter in squeezed for letter in cell.replace(" ", ""))


def test_a_table_without_rows_or_with_an_unnamed_column_still_prints():
    assert Table(("", "b"), []).text == "   b\n-  -"
    assert Table(("",), [("",)]).text == "\n-\n"
