"""The report: every figure with its interval, what it was measured on and by, and nothing that a paper can't print."""

import csv
import io
import re

import pytest
from sqlalchemy.orm import Session

from app.evaluation import reports
from app.evaluation.policies import MCNEMAR, SIGN_FLIP, Task
from tests.evaluation.made import figures, make_evaluation, make_set, make_wording
from tests.factories import make_encoder
from tests.web_client import SignIn


@pytest.fixture
def measured(session: Session) -> tuple[int, int]:
    """Two models on one set, the second better by more than chance; one of random weights."""
    on, wording = make_set(session), make_wording(session)
    base, ours = make_encoder(session, name="CLIP_B/32 & more", weights="random"), make_encoder(session, name="ours")
    first = make_evaluation(session, base, on, metrics=figures(0.4), wording=wording)
    against = {"accuracy": {str(first.id): [0.4, 0.3, 0.5, 0.001, MCNEMAR]}}
    make_evaluation(session, ours, on, metrics=figures(0.8) | {"against": against}, wording=wording)
    make_evaluation(session, ours, on, Task.LINEAR_PROBE, figures(0.9))
    return base.id, ours.id


def test_a_report_has_methods_data_models_results_statistics_limits_and_versions(
    measured: tuple[int, int], sign_in: SignIn
) -> None:
    page = sign_in("fir").get(f"/evaluation/report?baseline={measured[0]}").text
    for heading in ("Methods", "Data", "Models", "Results", "Statistics", "Limits", "Versions"):
        assert f">{heading}</h2>" in page
    assert "names and 2 templates" in page
    assert "2 models on Kather" in page
    assert "80.0" in page
    assert "70.0 to 90.0" in page
    assert "Random weights, so their figures say nothing about pathology: CLIP_B/32 &amp; more" in page
    assert "Colour alone tells the classes apart." in page
    assert "torch 2.14" in page
    assert "on the same items (McNemar&#39;s exact test); p-values are corrected over the sets" in page
    assert "McNemar&#39;s exact test counts the items that only one of the two has right" in page
    assert "Obuchowski" not in page, "only the tests that were used are told"
    assert "Probabilities: softmax by the model&#39;s own logit scale." in page


def test_a_report_of_one_task_has_that_task_alone(measured: tuple[int, int], sign_in: SignIn) -> None:
    page = sign_in("fir").get("/evaluation/report?task=linear_probe").text
    assert "Linear probe: Balanced accuracy" in page
    assert "Zero-shot: Accuracy" not in page


def test_the_csv_has_a_row_for_each_figure_and_the_numbers_in_full(measured: tuple[int, int], sign_in: SignIn) -> None:
    answer = sign_in("fir").get(f"/evaluation/report.csv?baseline={measured[0]}")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 3
    ours = next(row for row in rows if row["model"] == "ours" and row["task"] == "zero_shot")
    assert (ours["value"], ours["chance"], ours["n"], ours["baseline"]) == ("0.8", "0.5", "20", "CLIP_B/32 & more")
    assert (ours["difference"], ours["p_holm"], ours["test"]) == ("0.4", "0.001", MCNEMAR)


def test_a_test_over_units_is_named_and_explained(session: Session, sign_in: SignIn) -> None:
    on, base, ours = make_set(session), make_encoder(session), make_encoder(session)
    first = make_evaluation(session, base, on, metrics=figures(0.4))
    against = {"accuracy": {str(first.id): [0.4, 0.3, 0.5, 0.02, SIGN_FLIP]}}
    make_evaluation(session, ours, on, metrics=figures(0.8) | {"against": against})
    client, query = sign_in("fir"), f"?baseline={base.id}&task=zero_shot"
    page = client.get(f"/evaluation/report{query}").text
    assert "on the same items (an exact sign-flip test over units)" in page
    assert "The sign-flip test exchanges both models&#39; answers on a whole unit" in page
    rows = csv.DictReader(io.StringIO(client.get(f"/evaluation/report.csv{query}").text))
    assert {row["test"] for row in rows} == {"", SIGN_FLIP}


def test_the_latex_is_escaped_and_a_table_a_task(measured: tuple[int, int], sign_in: SignIn) -> None:
    tex = sign_in("fir").get(f"/evaluation/report.tex?baseline={measured[0]}").text
    assert tex.count("\\begin{tabular}") == 2
    assert "CLIP\\_B/32 \\& more" in tex
    assert "\\textbf{80.0}$^{*}$ (70.0 to 90.0)" in tex


def test_a_set_that_is_not_as_published_is_marked_in_every_form_of_the_report(
    session: Session, sign_in: SignIn
) -> None:
    on, as_published = make_set(session), make_set(session, "BACH", "bach")
    on.report = on.report | {"differences": ["ADI has 9 pictures, 10 are published."]}
    for chosen in (on, as_published):
        make_evaluation(session, make_encoder(session), chosen)
    client = sign_in("fir")
    rows = csv.DictReader(io.StringIO(client.get("/evaluation/report.csv").text))
    assert {row["set"]: row["remarks"] for row in rows} == {"Kather": "not as published", "BACH": ""}
    (caption,) = re.findall(r"\\caption\{(.*)\}", client.get("/evaluation/report.tex").text)
    assert caption.endswith("interval. Kather (as published, wording 1): not as published.")


def test_the_model_that_others_are_compared_with_is_chosen_on_the_report(
    measured: tuple[int, int], sign_in: SignIn
) -> None:
    client = sign_in("fir")
    page = client.get(f"/evaluation/report?baseline={measured[0]}&task=zero_shot").text
    assert re.search(rf'<option value="{measured[0]}" selected>CLIP_B/32 &amp; more</option>', page)
    assert '<input type="hidden" name="task" value="zero_shot">' in page
    assert 'name="task"' not in client.get("/evaluation/report").text


@pytest.mark.parametrize("evil", ["\\input{/etc/passwd}", "50% $x^2$ #1 ~a_b&c {d}", "a\x07b\nc", "<>"])
def test_no_name_can_be_a_command_of_latex(evil: str) -> None:
    said = reports.escaped(evil)
    known = r"\\text(backslash|asciitilde|asciicircum|less|greater)\{\}|\\[{}$&#%_]"
    assert not re.search(r"[\\{}$&#%_~^<>\x00-\x1f]", re.sub(known, "", said))


def test_an_empty_report_says_what_is_missing(sign_in: SignIn) -> None:
    assert "Nothing to report yet" in sign_in("fir").get("/evaluation/report").text


def test_what_was_seen_in_training_and_what_is_not_as_published_are_limits(session: Session, sign_in: SignIn) -> None:
    on = make_set(session)
    on.report = on.report | {"differences": ["60 pictures, 7,180 in the published set."]}
    seen = {"contamination": {"checked": True, "items": 3}}
    make_evaluation(session, make_encoder(session, name="ours"), on, metrics=figures(0.7) | seen)
    page = sign_in("fir").get("/evaluation/report").text
    assert "3 items of Kather are in, or near to, the training pairs of ours" in page
    assert "Kather is not as published. 60 pictures, 7,180 in the published set." in page
