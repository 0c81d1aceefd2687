from figures import questions


def test_an_answered_question_links_its_chapter_and_the_others_are_open():
    html = questions.table().html

    assert '<a href="q0.html">Q0</a>' in html
    assert "6 claims: Q0.1 to Q0.6" in html
    assert '<a href="q5.html">Q5</a>' in html
    assert '<a href="q6.html">Q6</a>' in html
    assert '<a href="q2.html">Q2</a>' in html
    assert html.count("<td>open</td>") == 3
    assert questions.table({}).html.count("<td>open</td>") == 8
