from memslotlib.views.mime import LAB_MIME, LAB_SCHEMA, VEGALITE_MIME, mime_bundle


def test_a_chart_is_given_to_the_book_to_jupyterlab_and_as_a_line_of_text():
    spec = {"$schema": "v6", "description": "slots by size", "mark": "bar"}

    bundle = mime_bundle(spec)

    assert bundle[VEGALITE_MIME] == spec
    assert bundle[LAB_MIME] == {**spec, "$schema": LAB_SCHEMA}
    assert bundle["text/plain"] == "slots by size"
    assert mime_bundle({"mark": "bar"})["text/plain"] == "a chart"
