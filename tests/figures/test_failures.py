"""The table of failures: every API is in it, and the words that the text leans on."""

from figures import failures
from memslotlib.protocol.apis import APIS


def test_each_way_to_fail_has_a_row_with_its_words():
    table = failures.table()
    rows = {(row[0], row[1]): [cell.text for cell in row[2:]] for row in table.rows}

    able = {one.title for one in APIS.values() if not one.keeps_slots}
    assert {title for title, _ in rows} == able
    today, move = APIS["today"].title, APIS["move"].title
    assert rows[today, "ENOMEM in CREATE of short"] == ["VIOLATED", "VIOLATED", ""]
    assert rows[move, "ENOMEM for the metadata of there"] == ["HOLDS", "VIOLATED", ""]
    disabled = rows[APIS["user-exit"].title, "ENOMEM in CREATE over, left disabled"]
    assert disabled == ["VIOLATED", "HOLDS", "I10 VIOLATED"]
    assert len(rows) == len(table.rows) == len(list(failures.ways()))
