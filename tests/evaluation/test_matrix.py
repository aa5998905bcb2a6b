"""The matrix: only what is comparable stands in one column, and what differs by more than chance is told apart."""

import csv
import io

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session
from statsmodels.stats.multitest import multipletests

from app import jobs
from app.evaluation import catalogue, literature, matrix, metrics, queries
from app.evaluation.policies import BOOTSTRAP, UNTESTED, Task
from app.tables import Evaluation, JobState, WorkQueue
from tests.evaluation.made import figures, make_evaluation, make_set
from tests.factories import make_encoder
from tests.web_client import SignIn


def table(
    session: Session, metric: str = "accuracy", baseline: int | None = None, *, all_protocols: bool = False
) -> matrix.Matrix:
    found = queries.measured(session, Task.ZERO_SHOT, metric, baseline)
    return matrix.build(Task.ZERO_SHOT, metric, found, baseline, all_protocols=all_protocols)


def compared(session: Session, one: Evaluation, other: Evaluation, p: float, value: float = 0.2) -> None:
    """`one`, the later of the two, has stored its difference from `other`."""
    against = one.metrics["against"] | {"accuracy": {str(other.id): [value, value - 0.1, value + 0.1, p, BOOTSTRAP]}}
    one.metrics = one.metrics | {"against": against}
    session.flush()


def test_evaluations_under_another_wording_stand_in_another_column(session: Session) -> None:
    on, one, other = make_set(session), make_encoder(session), make_encoder(session)
    make_evaluation(session, one, on, wording=None)
    make_evaluation(session, other, on, precision="bf16")
    assert [len(column.on) for column in table(session, all_protocols=True).columns] == [6, 6]
    newest = table(session)
    assert [column.protocol for column in newest.columns] == ["as published, wording 1, bf16"]
    assert [row.encoder_id for row in newest.rows] == [other.id]


def test_a_protocol_that_only_failed_takes_no_place_from_one_with_figures(session: Session) -> None:
    on, encoder = make_set(session), make_encoder(session)
    failed = make_evaluation(session, encoder, on, metrics={}, precision="bf16")
    assert [column.key for column in table(session).columns] == [failed.settings_sha256]
    measured = make_evaluation(session, encoder, on)
    make_evaluation(session, encoder, on, metrics={}, seed=1)
    assert [column.key for column in table(session).columns] == [measured.settings_sha256]


def test_the_best_of_a_column_is_outlined_and_the_lowest_error_is_the_best(session: Session) -> None:
    on = make_set(session)
    low = make_evaluation(session, make_encoder(session), on, metrics=figures(0.3))
    high = make_evaluation(session, make_encoder(session), on, metrics=figures(0.8))
    best = {cell.measured.id for row in table(session).rows for cell in row.cells if cell and cell.is_best}
    assert best == {high.id}
    best = {cell.measured.id for row in table(session, "ece").rows for cell in row.cells if cell and cell.is_best}
    assert best == {low.id}


def test_of_equal_bests_all_are_outlined_and_where_all_are_equal_none_is(session: Session) -> None:
    kather, bach = make_set(session), make_set(session, "BACH", "bach")
    for values in ((0.8, 0.5), (0.8, 0.5), (0.3, 0.5)):
        encoder = make_encoder(session)
        for on, value in zip((kather, bach), values, strict=True):
            make_evaluation(session, encoder, on, metrics=figures(value))
    found = [[bool(cell and cell.is_best) for cell in row.cells] for row in table(session).rows]
    assert found == [[False, True], [False, True], [False, False]]


def test_a_set_that_is_not_as_published_and_a_variant_that_leaks_are_marked(session: Session, sign_in: SignIn) -> None:
    differing = make_set(session, "Mine")
    differing.report = differing.report | {"differences": ["ADI has 9 pictures, 10 are published."]}
    leaking = make_set(session, "Slides", "wsss4luad")
    for on, variant in ((differing, "as published"), (leaking, leaks())):
        make_evaluation(session, make_encoder(session), on, variant=variant)
    client = sign_in("fir")
    for url in ("/evaluation", "/evaluation/report"):
        page = client.get(url).text
        assert page.count('<small class="t-warn">not as published</small>') == 1
        assert page.count('<small class="t-warn">leaks</small>') == 1
    assert "Not as published" in client.get("/evaluation/sets").text


def leaks() -> str:
    return next(one.name for one in catalogue.known("wsss4luad").variants if one.leak_safe is False)


def test_few_shot_is_shown_by_the_most_pictures_a_class_that_were_measured(session: Session, sign_in: SignIn) -> None:
    given = figures(0.7)
    given["figures"] = {f"balanced_accuracy.k{k}": given["figures"]["accuracy"] for k in (1, 2)}
    client = sign_in("fir")
    encoder, on = make_encoder(session), make_set(session)
    make_evaluation(session, encoder, on, Task.FEW_SHOT, {}, ks=(1, 2))
    assert "swatches" not in client.get("/evaluation?task=few_shot").text
    make_evaluation(session, encoder, on, Task.FEW_SHOT, given, ks=(1, 2), seed=1)
    page = client.get("/evaluation?task=few_shot").text
    assert "Balanced accuracy, 2 a class, percent" in page
    assert "16 a class" not in page
    assert "swatches" in page


def test_a_mean_is_given_only_where_every_set_was_measured(session: Session) -> None:
    kather, bach = make_set(session), make_set(session, "BACH", "bach")
    whole, part = make_encoder(session), make_encoder(session)
    make_evaluation(session, whole, kather, metrics=figures(0.5))
    make_evaluation(session, whole, bach, metrics=figures(0.7))
    make_evaluation(session, part, kather, metrics=figures(0.9))
    found = table(session)
    assert [row.mean for row in found.rows] == [pytest.approx(0.6), None]
    assert found.gaps == 1


def test_a_difference_is_the_same_from_either_side(session: Session) -> None:
    on, one, other = make_set(session), make_encoder(session), make_encoder(session)
    first, second = make_evaluation(session, one, on), make_evaluation(session, other, on)
    compared(session, second, first, p=0.01)
    (_, cell) = [row.cells[0] for row in table(session, baseline=one.id).rows]
    assert cell
    assert cell.difference == matrix.Difference(0.2, pytest.approx(0.1), pytest.approx(0.3), 0.01, True, BOOTSTRAP)
    (cell, _) = [row.cells[0] for row in table(session, baseline=other.id).rows]
    assert cell
    assert cell.difference == matrix.Difference(-0.2, pytest.approx(-0.3), pytest.approx(-0.1), 0.01, True, BOOTSTRAP)


def test_the_page_says_by_which_test_models_were_compared(session: Session, sign_in: SignIn) -> None:
    on, one, other = make_set(session), make_encoder(session, name="CLIP"), make_encoder(session)
    compared(session, make_evaluation(session, other, on), make_evaluation(session, one, on), p=0.01)
    page = sign_in("fir").get(f"/evaluation?baseline={one.id}").text
    assert "Differences from CLIP on the same items, by a paired bootstrap." in page
    assert "p = 0.01 after Holm, by a paired bootstrap" in page


def test_the_p_values_of_a_model_are_corrected_over_the_sets_that_it_is_compared_on(session: Session) -> None:
    base, others = make_encoder(session), [make_encoder(session) for _ in range(2)]
    sets = [make_set(session, name) for name in ("one", "two")]
    for on in sets:
        first = make_evaluation(session, base, on)
        for other in others:
            compared(session, make_evaluation(session, other, on), first, p=0.03)
    cells = [cell for row in table(session, baseline=base.id).rows for cell in row.cells if cell and cell.difference]
    assert [cell.difference.p for cell in cells if cell.difference] == [0.06] * 4
    assert not any(cell.difference.is_sure for cell in cells if cell.difference)


@pytest.mark.parametrize(("sets", "decides"), [(250, True), (251, False)])
def test_more_sets_than_the_draws_can_decide_are_said(sets: int, decides: bool) -> None:
    difference = matrix.Difference(0.9, 0.8, 1.0, 2 / 10_001, True, BOOTSTRAP)
    cells = [matrix.Cell(None, 0.9, 0.8, 1.0, difference=difference)] * sets  # type: ignore[arg-type]
    row = matrix.Row(1, "ours", False, False, cells, None)
    said = matrix.Matrix(Task.ZERO_SHOT, "macro_f1", rows=[row]).is_beyond
    assert said == ("" if decides else "Among 251 sets a difference can't be decided by 10,000 draws.")


@pytest.mark.parametrize("p", [[], [0.04], [0.01, 0.04, 0.03, 0.005], [0.5, 0.9, 1.0], [0.02, 0.02]])
def test_holms_correction_is_that_of_statsmodels(p: list[float]) -> None:
    expected = list(multipletests(p, method="holm")[1]) if p else []
    assert matrix.holm(p) == pytest.approx(expected)


def test_figures_are_written_with_what_they_are() -> None:
    assert metrics.name("text_to_image.r10.group_aware") == "Text to image, R@10, group-aware"
    assert metrics.name("balanced_accuracy.k16") == "Balanced accuracy, 16 a class"
    assert metrics.written("accuracy", 0.7213) == "72.1"
    assert metrics.written("macro_f1", 0.694) == "0.694"
    assert metrics.written("text_to_image.median_rank.strict", 14) == "14.0"
    assert metrics.written("auroc", None) == "–"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("text_to_image.r1.strict", 1 / 5_000, "0.02"),
        ("image_to_text.r1.group_aware", 1 / 200_000, "0.0005"),
        ("text_to_image.r10.strict", 1 / 3, "33.33"),
        ("accuracy", 1 / 9, "11.1"),
        ("kappa", 0.0, "0.000"),
        ("median_rank", None, "–"),
    ],
)
def test_chance_is_written_with_as_many_digits_as_tell_it_from_0(key: str, value: float | None, said: str) -> None:
    assert metrics.chance(key, value) == said


@pytest.mark.parametrize(("how", "count"), [("strict", 7), ("group_aware", 20)])
def test_a_strict_search_is_among_the_pairs_that_were_drawn_alone(
    session: Session, sign_in: SignIn, how: str, count: int
) -> None:
    metric = f"text_to_image.r1.{how}"
    of = {"figures": {metric: {"value": 0.4, "low": 0.3, "high": 0.5}}, "chance": {metric: 1 / count}, "strict_n": 7}
    make_evaluation(session, make_encoder(session), make_set(session), Task.RETRIEVAL, figures(0.4) | of, splits=())
    client, query = sign_in("fir"), f"?task=retrieval&metric={metric}"
    for url in ("/evaluation", "/evaluation/report"):
        assert f">n = {count}</small>" in client.get(url + query).text
    (row,) = csv.DictReader(io.StringIO(client.get("/evaluation/report.csv" + query).text))
    assert row["n"] == str(count)
    assert f"$n$ = {count} " in client.get("/evaluation/report.tex" + query).text


def test_a_figure_that_is_not_compared_says_so(session: Session, sign_in: SignIn) -> None:
    on, base, other = make_set(session), make_encoder(session), make_encoder(session)
    compared(session, make_evaluation(session, other, on), make_evaluation(session, base, on), p=0.01)
    client, dash = sign_in("fir"), '<small class="muted" title="Not compared">–</small>'
    page = client.get(f"/evaluation?metric=ece&baseline={base.id}").text
    assert page.count(dash) == 1, "beside the other model, and not beside the baseline itself"
    assert UNTESTED in page
    assert UNTESTED in client.get(f"/evaluation/report?task=zero_shot&metric=ece&baseline={base.id}").text
    for query in (f"?baseline={base.id}", "?metric=ece"):
        page = client.get("/evaluation" + query).text
        assert dash not in page
        assert UNTESTED not in page


def test_to_compare_with_nothing_leaves_the_rest_as_it_was_chosen(session: Session, sign_in: SignIn) -> None:
    make_evaluation(session, make_encoder(session), make_set(session), Task.LINEAR_PROBE)
    page = sign_in("fir").get("/evaluation?task=linear_probe&metric=macro_f1&baseline=&protocols=all").text
    assert "Macro F1 by model and set" in page
    assert '<option value="all" selected>' in page


def test_every_task_has_a_usual_figure_that_its_menu_holds() -> None:
    assert all(metrics.usual(task) in metrics.known(task) for task in Task)


def test_reference_lines_have_a_source_and_a_protocol_and_never_share_a_table() -> None:
    for one in literature.references():
        assert one.source
        assert one.protocol
    kather = literature.of(Task.ZERO_SHOT, {"kather"})
    assert len({(one.source, one.protocol) for one in kather}) == len(kather)
    assert all(line.layout in ("", "kather") for one in kather for line in one.lines)


def test_the_page_says_what_is_unknown_of_the_papers_own_numbers(session: Session, sign_in: SignIn) -> None:
    make_evaluation(session, make_encoder(session), make_set(session))
    page = sign_in("fir").get("/evaluation").text
    assert "can&#39;t be reproduced exactly" in page
    assert "Quilt-1M" in page
    assert "4 templates of Quilt" in page


def test_an_empty_matrix_says_what_to_do_next(sign_in: SignIn) -> None:
    assert "Register a set" in sign_in("elm").get("/evaluation").text
    assert "No snapshot" not in sign_in("fir").get("/evaluation?task=retrieval").text


def test_a_metric_of_another_task_or_of_none_shows_the_usual_one(session: Session, sign_in: SignIn) -> None:
    make_evaluation(session, make_encoder(session), make_set(session))
    fir = sign_in("fir")
    for metric in ("nonsense", "balanced_accuracy.k16", "accuracy'); DROP"):
        assert "70.0" in fir.get("/evaluation", params={"task": "zero_shot", "metric": metric}).text


def test_a_reader_sees_gaps_and_an_admin_may_fill_them(session: Session, sign_in: SignIn) -> None:
    kather, bach = make_set(session), make_set(session, "BACH", "bach")
    one, other = make_encoder(session), make_encoder(session)
    make_evaluation(session, one, kather)
    make_evaluation(session, one, bach)
    make_evaluation(session, other, kather)
    assert "/evaluation/gaps" not in sign_in("fir").get("/evaluation").text
    elm = sign_in("elm")
    assert "/evaluation/gaps" in elm.get("/evaluation").text
    assert "/evaluation/gaps" in elm.get("/evaluation", headers={"HX-Request": "true"}).text, "while a job is open"


def test_the_page_loads_itself_anew_only_while_a_job_of_it_is_open(session: Session, sign_in: SignIn) -> None:
    made = make_evaluation(session, make_encoder(session), make_set(session), metrics={})
    job = jobs.submit(session, "evaluate", WorkQueue.GPU, {"evaluation": made.id})
    made.job_id = job.id
    session.flush()
    fir = sign_in("fir")
    page = fir.get("/evaluation").text
    assert "hx-trigger=" in page
    assert "Waits" in page
    job.state, job.error = JobState.FAILED, "the disk"
    session.flush()
    page = fir.get("/evaluation").text
    assert "hx-trigger=" not in page
    assert "Failed" in page


def test_500_evaluations_take_one_query(session: Session, sign_in: SignIn) -> None:
    sets = [make_set(session, f"set {number}") for number in range(25)]
    encoders = [make_encoder(session) for _ in range(20)]
    for on in sets:
        for encoder in encoders:
            make_evaluation(session, encoder, on)
    fir = sign_in("fir")
    statements: list[str] = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda *args: statements.append(args[2]))
    fir.get("/evaluation")
    about = [text for text in statements if "FROM evaluation " in text and "figures" not in text]
    assert len(about) <= 2, "the cells come from one query"
