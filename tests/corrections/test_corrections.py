"""How often people kept, edited or threw away what machines proposed: counted from their reviews, cell by cell."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.corrections import queries
from app.corrections.rates import Outcome, Rate, Seen, grouped, maker_title, median
from app.curation import actions, moves
from app.curation.policies import is_spot_check
from app.prefilter.caption_diff import distance
from app.prefilter.proof import exact_interval
from app.tables import Candidate, ReviewKind
from tests.candidates.deciding import decide
from tests.curation.proposing import find, propose, shown_candidate, words
from tests.factories import make_candidate, make_person
from tests.web_client import SignIn

RAW, CLEANED, PROPOSED = "Follow me! BCC, HE 10x", "BCC, HE 10x", "Basal cell carcinoma, H&E, 10×."
ACCEPT, REJECT = ReviewKind.ACCEPT, ReviewKind.REJECT


@pytest.fixture
def alder(session: Session) -> Actor:
    return make_person(session, "alder2")


def proposed(session: Session, **more: Any) -> Candidate:
    """A candidate on which the language model's caption is on offer."""
    candidate = shown_candidate(session, RAW, **more)
    propose(session, candidate, rules_1=CLEANED, llm_3=PROPOSED)
    return candidate


def outcomes(session: Session, kind: str = "captions") -> dict[tuple[str, ...], int]:
    """(maker, outcome), or (maker, field, outcome), → reviews."""
    return {
        (one.maker, *([one.field] if one.field else []), one.outcome.value): one.count
        for one in (queries._seen(key, count) for key, count in queries._count(session, kind).items())
    }


@pytest.mark.parametrize(
    ("kind", "caption", "outcome"),
    [
        (ACCEPT, PROPOSED, "kept"),
        (ACCEPT, f"  {PROPOSED}\r\n", "kept"),
        (ACCEPT, "Basal cell carcinoma, nodular.", "edited"),
        (ACCEPT, CLEANED, "edited"),
        (ACCEPT, RAW, "restored"),
        (REJECT, PROPOSED, "rejected"),
    ],
)
def test_a_proposed_caption_is_kept_edited_or_thrown_away(
    session: Session, alder: Actor, kind: ReviewKind, caption: str, outcome: str
) -> None:
    decide(session, alder, proposed(session), kind, caption)
    assert outcomes(session) == {("llm 3", outcome): 1}


def test_a_caption_that_no_machine_changed_does_not_count(session: Session, alder: Actor) -> None:
    decide(session, alder, shown_candidate(session, RAW), ACCEPT, "Other words.")
    assert outcomes(session) == {}


def test_what_is_undone_flagged_or_withdrawn_does_not_count(session: Session, alder: Actor) -> None:
    undone = decide(session, alder, proposed(session), ACCEPT, PROPOSED)
    actions.undo(session, alder, undone.id)
    moves.withdraw(session, [undone.candidate_id])
    decide(session, alder, proposed(session), ReviewKind.FLAG, PROPOSED)
    withdrawn = proposed(session)
    decide(session, alder, withdrawn, ACCEPT, PROPOSED)
    moves.withdraw(session, [withdrawn.id])
    assert outcomes(session) == {}


def test_spot_checks_do_not_count(session: Session, alder: Actor) -> None:
    while not is_spot_check((candidate := make_candidate(session, caption=RAW)).id):
        moves.withdraw(session, [candidate.id])
    propose(session, candidate, rules_1=CLEANED)
    decide(session, alder, candidate, ACCEPT, CLEANED)
    assert outcomes(session) == {}


def test_sql_draws_the_same_spot_checks(session: Session) -> None:
    ids = f"""SELECT id FROM generate_series(1, 3000) id
              CROSS JOIN LATERAL (SELECT sha256(('spot check ' || id)::bytea) AS hash) h WHERE {queries.SPOT_CHECK}"""
    assert session.scalars(text(ids)).all() == [id_ for id_ in range(1, 3001) if is_spot_check(id_)]


# --- fields -------------------------------------------------------------------------------------------


def with_fields(session: Session) -> Candidate:
    """Rules gave the stain; the model organ, stain, species and a diagnosis."""
    candidate = proposed(session)
    find(session, candidate, "caption", fields={"stain": "he"})
    guessed = {"organ": "skin", "stain": "ihc", "species": "human"}
    find(session, candidate, "llm", prompt=3, fields=guessed, diagnosis=words(session, candidate, "BCC"))
    return candidate


def test_a_field_is_kept_edited_or_cleared_and_the_rules_come_before_the_model(session: Session, alder: Actor) -> None:
    given = {"organ": "skin", "stain": "pas"}
    review = decide(session, alder, with_fields(session), ACCEPT, PROPOSED, fields=given, diagnosis="BCC")
    assert review.seconds == 4.2
    assert outcomes(session, "fields") == {}  # found while the page was open: the reviewer has not seen it
    candidate = with_fields(session)
    session.connection().exec_driver_sql("SELECT pg_sleep(0.02)")
    decide(session, alder, candidate, ACCEPT, PROPOSED, fields=given, diagnosis="BCC", seconds=0)
    assert outcomes(session, "fields") == {
        ("rules 1", "stain", "edited"): 1,
        ("llm 3", "organ", "kept"): 1,
        ("llm 3", "species", "cleared"): 1,
        ("llm 3", "diagnosis", "kept"): 1,
    }


def test_the_fields_of_a_rejected_pair_say_nothing(session: Session, alder: Actor) -> None:
    decide(session, alder, with_fields(session), REJECT, PROPOSED, seconds=0)
    assert outcomes(session, "fields") == {}


# --- rates --------------------------------------------------------------------------------------------


def test_the_correction_rate_is_of_what_was_published_with_its_exact_interval() -> None:
    rate = Rate("llm 3", {Outcome.KEPT: 6, Outcome.EDITED: 3, Outcome.RESTORED: 1, Outcome.REJECTED: 5})
    assert (rate.judged, rate.kept, rate.edited, rate.thrown_away) == (15, 6, 3, 6)
    assert rate.correction
    assert (rate.correction.share, rate.correction.judged) == (0.4, 10)
    assert (rate.correction.low, rate.correction.high) == exact_interval(4, 10)
    assert sum(share for _, share in rate.parts) == pytest.approx(1)
    assert Rate("llm 3", {Outcome.REJECTED: 2}).correction is None


def test_reviews_are_grouped_by_what_a_table_asks() -> None:
    seen = [
        Seen("llm 1", "1", "en", "", Outcome.KEPT, 2),
        Seen("llm 1", "2", "en", "", Outcome.EDITED, 1),
        Seen("rules 1", "2", "es", "", Outcome.KEPT, 9),
    ]
    assert [(rate.key, rate.judged) for rate in grouped(seen, lambda one: one.maker)] == [("rules 1", 9), ("llm 1", 3)]
    assert [(rate.key, rate.judged) for rate in grouped(seen, lambda one: one.source)] == [("2", 10), ("1", 2)]


def test_a_maker_is_named_in_words() -> None:
    assert maker_title("llm 3") == "Language model, prompt 3"
    assert maker_title("rules 1") == "Rules, version 1"


def test_how_much_of_the_text_an_edit_changed() -> None:
    assert distance("same", "same") == distance("", "") == 0
    assert distance("one two", "three") == 1
    assert distance("nevus of skin", "nevus of lung") == pytest.approx(8 / 26)
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 2, 3]) == 2.5


# --- pages --------------------------------------------------------------------------------------------


def test_the_page_shows_rates_and_every_cell_opens_as_a_list(session: Session, alder: Actor, sign_in: SignIn) -> None:
    kept, edited = with_fields(session), proposed(session)
    for candidate, caption in ((kept, PROPOSED), (edited, "Basal cell carcinoma, nodular.")):
        find(session, candidate, "language", "es")
        decide(session, alder, candidate, ACCEPT, caption, fields={"organ": "lung"}, seconds=0)
    elm = sign_in("elm")
    page = elm.get("/prefilter/corrections").text
    for shown in (
        "Language model, prompt 3",
        "50.0\u00a0%",
        "Spanish",
        "path_demo_01",
        "Organ, Language model, prompt 3",
    ):
        assert shown in page
    links = {link for link in page.replace("&amp;", "&").split('"') if link.startswith("/prefilter/corrections/list")}
    assert len(links) > 8
    for link in links:
        assert elm.get(link).status_code == 200
    listed = elm.get("/prefilter/corrections/list?maker=llm+3&outcome=edited").text
    assert f"C-{edited.id}" in listed
    assert f"C-{kept.id}" not in listed
    assert "<ins>" in listed
    fields = elm.get("/prefilter/corrections/list?kind=fields&field=organ&outcome=edited").text
    assert f"C-{kept.id}" in fields
    assert "<del>Skin</del><ins>Lung</ins>" in fields


def test_a_list_goes_on_where_the_page_ended(session: Session, alder: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "PAGE", 2)
    ids = []
    for _ in range(5):
        candidate = with_fields(session)
        ids.append(candidate.id)
        decide(session, alder, candidate, ACCEPT, PROPOSED, fields={"organ": "skin"}, seconds=0)
    found, before = [], None
    for _ in range(3):
        rows, before = queries.listed(session, queries.Cell("fields", maker="llm 3"), before)
        assert {row.field for row in rows} == {"organ", "species", "diagnosis"}
        found += dict.fromkeys(row.candidate_id for row in rows)
    assert (found, before) == (ids[::-1], None)


def test_an_empty_page_says_so_and_nonsense_shows_everything(sign_in: SignIn) -> None:
    elm = sign_in("elm")
    assert "Nothing to compare yet" in elm.get("/prefilter/corrections").text
    assert "No review is in this cell" in elm.get("/prefilter/corrections/list?maker=llm+9").text
    for query in ("kind=x", "source=a", "outcome=x", "before=0"):
        assert elm.get(f"/prefilter/corrections/list?{query}").status_code == 422


def test_only_admins_see_corrections(sign_in: SignIn) -> None:
    assert sign_in("alder").get("/prefilter/corrections").status_code == 403
