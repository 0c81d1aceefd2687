import altair as alt

from memslotlib.views import charts
from memslotlib.views.mime import LAB_MIME, VEGALITE_MIME


def test_enabling_makes_every_chart_ours_in_the_book_and_in_the_lab():
    charts.enable()
    chart = alt.Chart(alt.Data(values=[{"n": 1}])).mark_bar().encode(x="n:Q")

    bundle = chart.properties(description="one bar")._repr_mimebundle_(None, None)

    assert set(bundle) == {VEGALITE_MIME, LAB_MIME, "text/plain"}
    assert bundle[VEGALITE_MIME]["config"]["range"]["category"] == list(charts.PALETTE)
    assert bundle["text/plain"] == "one bar"


def test_the_palette_repeats_no_colour():
    assert len(set(charts.PALETTE)) == len(charts.PALETTE) >= 6
