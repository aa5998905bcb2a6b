"""The report: every figure with its interval, what it was measured on and by, and nothing that a paper can't print."""

import csv
import io
import re

import pytest
from sqlalchemy.orm import Session

from app.evaluation import reports
from app.evaluation.policies import MCNEMAR, SIGN_FLIP, Task
from app.tables import Snapshot
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


def test_the_report_of_what_the_matrix_shows_is_a_link_away_and_its_choices_can_be_changed(
    measured: tuple[int, int], sign_in: SignIn
) -> None:
    client = sign_in("fir")
    query = f"?task=zero_shot&metric=weighted_f1&baseline={measured[0]}&protocols=all"
    (link,) = re.findall(r'href="(/evaluation/report\?[^"]*)"', client.get("/evaluation" + query).text)
    page = client.get(link.replace("&amp;", "&")).text
    assert "Zero-shot: Weighted F1" in page
    chosen = re.findall(r'<option value="([^"]*)" selected>', page)
    assert chosen == ["zero_shot", "weighted_f1", str(measured[0]), "all"]
    assert "Zero-shot: Cohen’s κ" in client.get("/evaluation/report" + query.replace("weighted_f1", "kappa")).text


def test_without_a_task_the_report_has_each_by_its_usual_figure(measured: tuple[int, int], sign_in: SignIn) -> None:
    page = sign_in("fir").get("/evaluation/report?task=&metric=&baseline=&protocols=newest").text
    assert "Zero-shot: Accuracy" in page
    assert "Linear probe: Balanced accuracy" in page
    assert 'name="metric"' not in page


def test_data_are_the_sets_with_their_pictures_and_the_snapshots_with_their_pairs(
    session: Session, sign_in: SignIn
) -> None:
    counts = {"train": 4_000, "val": 300, "test": 500, "reserve": 20}
    snapshot = Snapshot(number=7, seed=1, event_position=0, report={"counts": counts})
    session.add(snapshot)
    session.flush()
    make_evaluation(session, make_encoder(session), snapshot, Task.RETRIEVAL, figures(0.4), splits=("val", "test"))
    make_evaluation(session, make_encoder(session), make_set(session))
    (data,) = re.findall(r'id="da">.*?</section>', sign_in("fir").get("/evaluation/report").text, re.DOTALL)
    rows = re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td><td class="r">(.*?)</td>', data)
    assert rows == [
        ("v0007", "val + test", "train 4,000, val 300, test 500", "–"),
        ("Kather", "as published", "train 40, test 20", "2"),
    ]


EVIL = ["\\input{/etc/passwd}", "50% $x^2$ #1 ~a_b&c {d}", "a\x07b\nc", "<>|", "[2pt] *best", "病理 κ"]


@pytest.mark.parametrize("evil", EVIL)
def test_no_name_can_be_a_command_of_latex_or_a_letter_that_pdflatex_lacks(evil: str) -> None:
    said = reports.escaped(evil)
    known = r"\\text(backslash|asciitilde|asciicircum|less|greater|bar)\{\}|\\[{}$&#%_]|\{[\[*]\}|\$\\kappa\$"
    left = re.sub(known, "", said)
    assert not re.search(r"[\\{}$&#%_~^<>|\[*\x00-\x1f]", left)
    assert left.isascii()


def test_signs_of_figures_are_set_as_mathematics_and_other_letters_by_their_code() -> None:
    assert reports.escaped("Cohen’s κ, 400× \N{MINUS SIGN}1, Müller") == r"Cohen’s $\kappa$, 400$\times$ $-$1, Müller"
    assert reports.escaped("病理") == "(U+75C5)(U+7406)"


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
