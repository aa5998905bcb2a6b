"""Figures as files: they open by themselves, say what the tables say, and take any name."""

import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.evaluation.plots import ticks
from app.evaluation.policies import MCNEMAR, Task
from tests.evaluation.made import CLASSES, figures, make_evaluation, make_set
from tests.factories import make_encoder
from tests.web_client import SignIn

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def fir(sign_in: SignIn) -> TestClient:
    return sign_in("fir")


def drawn(client: TestClient, url: str) -> ET.Element:
    """What is sent as a file, read as XML."""
    answer = client.get(url)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.headers["content-disposition"].endswith('.svg"')
    return ET.fromstring(answer.content)


def texts(drawing: ET.Element) -> list[str]:
    return [one.text or "" for one in drawing.iter(f"{SVG}text")]


def numbers(element: ET.Element, *names: str) -> list[float]:
    return [float(element.attrib[name]) for name in names]


def place_of(drawing: ET.Element, words: str) -> float:
    return next(float(one.attrib["x"]) for one in drawing.iter(f"{SVG}text") if one.text == words)


@pytest.fixture
def measured(session: Session) -> tuple[int, int]:
    """Two models on one set: a baseline and one that is better by more than chance; the second was few-shot too."""
    on, base, ours = make_set(session), make_encoder(session, name="CLIP <base>"), make_encoder(session, name="ours")
    first = make_evaluation(session, base, on, metrics=figures(0.4))
    against = {"accuracy": {str(first.id): [0.4, 0.3, 0.5, 0.001, MCNEMAR]}}
    second = make_evaluation(session, ours, on, metrics=figures(0.8) | {"against": against})
    return base.id, second.id


def test_a_report_has_a_figure_for_each_table_that_says_what_the_table_says(
    measured: tuple[int, int], fir: TestClient
) -> None:
    page = fir.get(f"/evaluation/report?baseline={measured[0]}").text
    (url,) = re.findall(r'<img src="(/evaluation/report\.svg[^"]+)"', page)
    assert page.count(f'<a href="{url}" download>') == 1
    drawing = drawn(fir, url.replace("&amp;", "&"))
    assert {"CLIP <base>", "ours", "80.0*", "40.0", "Kather, as published, wording 1"} <= set(texts(drawing))
    base, ours = (numbers(one, "cx", "cy") for one in drawing.iter(f"{SVG}circle"))
    low, high = place_of(drawing, "40"), place_of(drawing, "80")
    assert (base[0], ours[0]) == pytest.approx((low, high))
    assert [one.attrib["fill"] for one in drawing.iter(f"{SVG}circle")] == ["#ffffff", "#0a6fb0"], (
        "the baseline is open"
    )
    interval = next(one for one in drawing.iter(f"{SVG}line") if numbers(one, "y1") == [ours[1]])
    assert numbers(interval, "x1", "x2") == pytest.approx([place_of(drawing, "70"), place_of(drawing, "90")])
    chance = next(one for one in drawing.iter(f"{SVG}line") if "stroke-dasharray" in one.attrib)
    assert numbers(chance, "x1", "x2") == pytest.approx([place_of(drawing, "50")] * 2)


@pytest.mark.parametrize("name", ["confusion.svg", "reliability.svg", "shots.svg", "report"])
def test_a_figure_needs_nothing_but_itself_and_lies_within_its_frame(
    session: Session, fir: TestClient, name: str
) -> None:
    evil, on = make_encoder(session, name="CLIP_B/32 & <more> \x07 of \u75c5\u7406"), make_set(session)
    by_k = [{"k": k, "mean": 0.5, "low": 0.4, "high": 0.6} for k in (1, 2, 16)]
    made = make_evaluation(session, evil, on, metrics=figures(0.7) | {"by_k": by_k})
    drawing = drawn(fir, "/evaluation/report.svg" if name == "report" else f"/evaluation/{made.id}/plots/{name}")
    assert drawing.tag == f"{SVG}svg"
    assert any("CLIP_B/32 & <more>  of" in words for words in texts(drawing))
    width, height = numbers(drawing, "width", "height")
    for element in drawing.iter():
        assert not {"class", "style", "href"} & set(element.attrib)
        assert not re.search(r"var\(|url\(|currentColor", str(element.attrib))
        xs = [float(value) for key, value in element.attrib.items() if key in ("x", "cx", "x1", "x2")]
        ys = [float(value) for key, value in element.attrib.items() if key in ("y", "cy", "y1", "y2")]
        assert all(0 <= x <= width for x in xs)
        assert all(0 <= y <= height for y in ys)
    assert "Helvetica" in drawing.attrib["font-family"]


def test_reliability_and_few_shot_figures_have_a_point_for_each_row_of_their_table(
    session: Session, fir: TestClient
) -> None:
    by_k = [{"k": 1, "mean": 0.4, "low": 0.2, "high": 0.6}, {"k": 16, "mean": 0.8, "low": 0.6, "high": 1.0}]
    made = make_evaluation(session, make_encoder(session), make_set(session), metrics=figures(0.7) | {"by_k": by_k})
    drawing = drawn(fir, f"/evaluation/{made.id}/plots/reliability.svg")
    first, last = (numbers(one, "cx", "cy") for one in drawing.iter(f"{SVG}circle"))
    (told, right, _), (told_last, right_last, _) = made.metrics["reliability"]
    assert last[0] - first[0] == pytest.approx((told_last - told) * 320)
    assert first[1] - last[1] == pytest.approx((right_last - right) * 320)
    below = next(one for one in drawing.iter(f"{SVG}text") if (one.text, one.get("text-anchor")) == ("60", "middle"))
    assert first[0] == pytest.approx(float(below.attrib["x"])), "0.6 stands over 60"
    drawing = drawn(fir, f"/evaluation/{made.id}/plots/shots.svg")
    assert {"1", "16"} <= set(texts(drawing))
    first, last = (numbers(one, "cx", "cy") for one in drawing.iter(f"{SVG}circle"))
    assert last[0] - first[0] == pytest.approx(320)
    assert first[1] - last[1] == pytest.approx(0.4 * 320)


def test_a_confusion_figure_has_percents_of_each_true_class(session: Session, fir: TestClient) -> None:
    made = make_evaluation(session, make_encoder(session), make_set(session))
    drawing = drawn(fir, f"/evaluation/{made.id}/plots/confusion.svg")
    said = texts(drawing)
    assert [words for words in said if words.isdecimal()] == ["80", "20", "10", "90"]
    assert all(said.count(name) == 2 for name in CLASSES), "as a row and as a column"


def test_there_is_no_figure_of_what_was_not_measured(session: Session, fir: TestClient) -> None:
    made = make_evaluation(session, make_encoder(session), make_set(session))
    waits = make_evaluation(session, make_encoder(session), make_set(session, "BACH", "bach"), metrics={})
    assert fir.get(f"/evaluation/{made.id}/plots/shots.svg").status_code == 404
    assert fir.get(f"/evaluation/{made.id}/plots/other.svg").status_code == 404
    assert fir.get(f"/evaluation/{waits.id}/plots/confusion.svg").status_code == 409
    assert drawn(fir, f"/evaluation/report.svg?task={Task.RETRIEVAL}").tag == f"{SVG}svg"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.3, 0.9), (-0.2, 0.71), (0.012, 0.013), (1, 873), (0.5, 0.5)])
def test_an_axis_has_a_few_round_marks_around_all_values(low: float, high: float) -> None:
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 9
    assert marks[0] <= low <= high <= marks[-1]
    steps = {round(after - before, 9) for before, after in pairwise(marks)}
    assert len(steps) == 1
    assert f"{steps.pop():e}"[0] in "125"
