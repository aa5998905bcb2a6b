"""Searching by words and by vectors: what is found, in which order, and by whom."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.candidates.forms import By, ListForm
from app.candidates.queries import Filter
from app.curation import actions as curation
from app.curation import moves
from app.prefilter.policies import StageResult
from app.prefilter.recording import write_findings
from app.search import pages, queries
from app.search.marks import START, STOP
from app.tables import (
    CandidateState,
    CaptionKind,
    Encoder,
    FlagOrigin,
    Role,
    Setting,
)
from tests.candidates.deciding import decide
from tests.factories import make_candidate, make_import, make_person
from tests.search.made import an_encoder, embed, remember

S = CandidateState


@pytest.fixture
def elm(session: Session) -> Actor:
    return make_person(session, "elm", Role.ADMIN)


def found(session: Session, actor: Actor, q: str, **wanted: object) -> list[int]:
    return list(pages.ranking(session, actor, ListForm(q=q, **wanted)).ids)  # type: ignore[arg-type]


def said(session: Session, *captions: str) -> list[int]:
    return [make_candidate(session, caption=caption).id for caption in captions]


# --- words --------------------------------------------------------------------------------------


def test_words_are_found_by_their_stems(session: Session, elm: Actor) -> None:
    naevi, gland, _ = said(session, "Two staining patterns of naevi.", "Crowded glands, H&E.", "Something else.")
    assert found(session, elm, "gland") == [gland]
    assert found(session, elm, "stained pattern") == [naevi]
    assert found(session, elm, "glands naevi") == []
    assert set(found(session, elm, "glands or naevi")) == {naevi, gland}


def test_phrases_and_words_that_are_not_wanted(session: Session, elm: Actor) -> None:
    basal, squamous = said(session, "A basal cell carcinoma.", "Cell of the basal layer in squamous carcinoma.")
    assert found(session, elm, '"basal cell" carcinoma') == [basal]
    assert found(session, elm, "carcinoma -squamous") == [basal]
    assert set(found(session, elm, "basal carcinoma")) == {basal, squamous}


def test_what_says_it_closer_together_comes_first_then_the_newest(session: Session, elm: Actor) -> None:
    far = "Adenoma, seen here after much thought and several consultations, in a patient's colon."
    near, apart, newer = said(session, "Colon adenoma.", far, "Colon adenoma.")
    assert found(session, elm, "colon adenoma") == [newer, near, apart]


def test_every_version_of_a_caption_is_searched_and_each_candidate_found_once(session: Session, elm: Actor) -> None:
    candidate = make_candidate(session, caption="Blue naevus #dermpath #naevus")
    cleaned = curation.add_caption(session, candidate.id, CaptionKind.CLEANED, "Blue naevus", "caption/1")
    curation.offer_caption(session, candidate, cleaned)
    curation.add_caption(session, candidate.id, CaptionKind.EDITED, "Blue naevus of the scalp.", "review")
    for words in ("naevus", "#dermpath", "dermpath", "scalp"):
        assert found(session, elm, words) == [candidate.id]


def test_a_blanked_caption_is_not_found(session: Session, elm: Actor) -> None:
    """A takedown blanks the text; its words go with it."""
    (id_,) = said(session, "Blue naevus.")
    session.execute(text("UPDATE caption SET text = NULL WHERE candidate_id = :id"), {"id": id_})
    assert found(session, elm, "naevus") == []
    assert found(session, elm, "naevsu") == []


@pytest.mark.parametrize("typo", ["pilomatricma", "pilomatrix", "pilomatr", "matricoma", "#pilomatricmoa"])
def test_a_typo_or_a_part_of_a_word_finds_words_like_it(session: Session, elm: Actor, typo: str) -> None:
    id_, _ = said(session, "Pilomatricoma with ghost cells.", "Lichen planus.")
    ranking = pages.ranking(session, elm, ListForm(q=typo))
    assert list(ranking.ids) == [id_]
    assert [said_ for _, said_ in ranking.notes if "pilomatricoma" in said_]


def test_only_the_word_that_nobody_says_is_replaced(session: Session, elm: Actor) -> None:
    right, _, _ = said(session, "Pilomatricoma, scalp.", "Pilomatricoma, cheek.", "Naevus, scalp.")
    assert found(session, elm, "pilomatricma scalp") == [right]


def test_words_like_these_come_behind_the_exact_ones_on_request(session: Session, elm: Actor) -> None:
    exact, similar = said(session, "An adeno of sorts.", "An adenocarcinoma.")
    assert pages.ranking(session, elm, ListForm(q="adeno")).may_widen
    assert found(session, elm, "adeno") == [exact]
    assert found(session, elm, "adeno", similar=True) == [exact, similar]


def test_an_author_is_found_by_name_and_by_a_part_of_it(session: Session, elm: Actor) -> None:
    oak = make_candidate(session, caption="Blue naevus.", author="dr_oak_path")
    ash = make_candidate(session, caption="Blue naevus.", author="ash")
    assert found(session, elm, "@dr_oak_path") == [oak.id]
    assert found(session, elm, "@OAK") == [oak.id]
    assert found(session, elm, "@dr_oka_path naevus") == [oak.id]
    assert found(session, elm, "@ash glands") == []
    assert found(session, elm, "dr_oak_path") == [oak.id]
    assert found(session, elm, "ash") == [ash.id]
    assert found(session, elm, "@nobody naevus") == []


@pytest.mark.parametrize("wild", ["%", "_", "%%%", "___", "\\", "@%", "@___", "@\\"])
def test_no_character_of_a_query_is_a_wildcard(session: Session, elm: Actor, wild: str) -> None:
    said(session, "Blue naevus.")
    assert found(session, elm, wild) == []


@pytest.mark.parametrize(
    "hostile",
    [
        "' OR 1=1 --",
        "!!!",
        "a:*&b",
        "(((",
        "<->",
        "the of and",
        "🔬",
        "\u202e\ue000x\ue001",
        "-",
        '"',
        "'" * 499,
        "x" * 500,
    ],
)
def test_no_query_breaks_the_search(session: Session, elm: Actor, hostile: str) -> None:
    said(session, "Blue naevus.")
    for by in By:
        assert pages.found(session, elm, ListForm(q=hostile, by=by)) is not None


def test_matches_are_marked_where_they_are(session: Session, elm: Actor) -> None:
    candidate = make_candidate(session, caption="Blue glands #dermpath")
    cleaned = curation.add_caption(session, candidate.id, CaptionKind.CLEANED, "Blue glands", "caption/1")
    curation.offer_caption(session, candidate, cleaned)
    id_ = candidate.id
    shown = queries.excerpts(session, [id_], queries.said("gland"))[id_]
    assert (shown.marked, shown.is_shown) == (f"Blue {START}glands{STOP}", True)
    elsewhere = queries.excerpts(session, [id_], queries.said("dermpath"))[id_]
    assert not elsewhere.is_shown
    assert f"#{START}dermpath{STOP}" in elsewhere.marked


def test_a_caption_cannot_mark_itself(session: Session, elm: Actor) -> None:
    (id_,) = said(session, f"{START}evil{STOP} naevus")
    assert queries.excerpts(session, [id_], queries.said("naevus"))[id_].marked == f"evil {START}naevus{STOP}"


# --- who finds what -----------------------------------------------------------------------------


def test_what_is_withdrawn_or_held_by_a_machine_nobody_finds(session: Session, elm: Actor) -> None:
    gone = make_candidate(session, S.WITHDRAWN, caption="Blue naevus.")
    held = make_candidate(session, S.FILTERING, caption="Blue naevus.")
    moves.move(session, [held.id], S.FILTERING, S.FLAGGED, flag_origin=FlagOrigin.MACHINE)
    encoder = an_encoder(session)
    for candidate in (gone, held):
        embed(session, encoder, candidate.id, (1, 0))
    for actor in (elm, make_person(session, "alder")):
        assert found(session, actor, "naevus") == []
        assert found(session, actor, "naevus", state=["withdrawn", "flagged"]) == []
        assert near(session, actor, encoder, (1, 0)) == []


def test_what_no_stage_has_screened_is_found_by_admins_alone_and_suggested_to_nobody(
    session: Session, elm: Actor
) -> None:
    alder, encoder = make_person(session, "alder"), an_encoder(session)
    unseen = [make_candidate(session, state, "Blue naevus.").id for state in (S.FILTERING, S.FILTERED_OUT)]
    for id_ in unseen:
        embed(session, encoder, id_, (1, 0))
    assert (found(session, alder, "naevus"), near(session, alder, encoder, (1, 0))) == ([], [])
    assert sorted(found(session, elm, "naevus")) == unseen
    assert not queries.is_said(session, "naevus")
    assert queries.near_words(session, "naevos") == []


def test_a_search_by_state_tells_no_state_that_is_hidden(session: Session, elm: Actor) -> None:
    (id_,) = said(session, "Blue naevus.")
    alder = make_person(session, "alder")
    assert found(session, alder, "naevus") == [id_]
    assert found(session, alder, "naevus", state=["queued"]) == []
    assert found(session, alder, "naevus", state=["open"]) == [id_]
    assert [row.state for row in pages.found(session, alder, ListForm(q="naevus")).rows] == [None]
    assert [row.state for row in pages.found(session, elm, ListForm(q="naevus")).rows] == [S.QUEUED]


def test_a_search_and_filters_combine(session: Session, elm: Actor) -> None:
    other = make_import(session, "another_source")
    skin, colon = (make_candidate(session, caption="Adenoma.") for _ in range(2))
    elsewhere = make_candidate(session, caption="Adenoma.", run=other)
    fields = {skin.id: {"organ": "skin", "stain": "he"}, colon.id: {"organ": "colon", "stain": "he"}}
    results = [StageResult(id_, score=0.5, evidence={"fields": given}) for id_, given in fields.items()]
    write_findings(session, "caption", "1", results, {id_: str(id_) for id_ in fields}, None)
    assert found(session, elm, "adenoma") == [elsewhere.id, colon.id, skin.id]
    assert found(session, elm, "adenoma", organ=["skin"]) == [skin.id]
    assert found(session, elm, "adenoma", organ=["skin", "colon"], stain=["he"]) == [colon.id, skin.id]
    assert found(session, elm, "adenoma", organ=["skin"], stain=["ihc"]) == []
    assert found(session, elm, "adenoma", source=other.source_id) == [elsewhere.id]
    assert found(session, elm, "adenoma", stage="caption", low=0.4) == [colon.id, skin.id]


# --- vectors ------------------------------------------------------------------------------------


def near(session: Session, actor: Actor, encoder: Encoder, vec: Sequence[float], **wanted: object) -> list[int]:
    remember(session, encoder, "a query", vec)
    ids = found(session, actor, "a query", by=By.MEANING, **wanted)
    session.execute(text("DELETE FROM query_vector"))
    session.expire_all()
    return ids


def test_the_nearest_in_meaning_come_first_with_their_cosine(session: Session, elm: Actor) -> None:
    encoder = an_encoder(session)
    far, mid, close, _without = said(session, "a", "b", "c", "d")
    for id_, vec in ((far, (-1, 0)), (mid, (0, 1)), (close, (1, 0.1))):
        embed(session, encoder, id_, vec)
    remember(session, encoder, "glands", (2, 0))
    ranking = pages.ranking(session, elm, ListForm(q=" glands ", by=By.MEANING))
    assert list(ranking.ids) == [close, mid, far]
    assert [round(ranking.near[id_], 3) for id_ in ranking.ids] == [0.995, 0.0, -1.0]


def test_meaning_is_of_the_encoder_in_use_alone(session: Session, elm: Actor) -> None:
    old = an_encoder(session)
    (id_,) = said(session, "a")
    embed(session, old, id_, (1, 0))
    new = an_encoder(session, "New", width=3)
    remember(session, new, "glands", (1, 0, 0))
    assert found(session, elm, "glands", by=By.MEANING) == []


def test_words_and_meaning_are_fused(session: Session, elm: Actor) -> None:
    """By words: 3, 1. By meaning: 2, 1, 3. So 1 has 1/62 + 1/62, 3 has 1/61 + 1/63, 2 has 1/61."""
    encoder = an_encoder(session)
    one, two, three = said(session, "Glands.", "Nothing like it.", "Glands.")
    for id_, vec in ((two, (1, 0)), (one, (1, 1)), (three, (0, 1))):
        embed(session, encoder, id_, vec)
    remember(session, encoder, "glands", (1, 0))
    assert found(session, elm, "glands") == [three, one]
    assert found(session, elm, "glands", by=By.MEANING) == [two, one, three]
    made = pages.found(session, elm, ListForm(q="glands", by=By.BOTH))
    assert [row.id for row in made.rows] == [three, one, two]
    assert made.matched.keys() == {one, three}


def test_images_like_a_candidates_own(session: Session, elm: Actor) -> None:
    encoder = an_encoder(session)
    this, like, unlike, without = said(session, "a", "b", "c", "d")
    for id_, vec in ((this, (1, 0)), (like, (1, 0.2)), (unlike, (-1, 0))):
        embed(session, encoder, id_, vec)
    assert found(session, elm, "", by=By.IMAGE, like=this) == [like, unlike]
    nothing = pages.ranking(session, elm, ListForm(by=By.IMAGE, like=without))
    assert not nothing.ids
    assert "not embedded yet" in nothing.notes[0][1]


def test_nobody_finds_by_the_likeness_of_what_they_may_not_see(session: Session, elm: Actor) -> None:
    encoder = an_encoder(session)
    (seen,) = said(session, "a")
    gone = make_candidate(session, S.WITHDRAWN).id
    for id_ in (seen, gone):
        embed(session, encoder, id_, (1, 0))
    assert found(session, make_person(session, "alder"), "", by=By.IMAGE, like=gone) == []


def test_an_index_of_the_encoder_is_used(session: Session, elm: Actor) -> None:
    """The statement is spelled as the partial index that `workers.indexes` builds."""
    encoder = an_encoder(session)
    ids = said(session, *"abcd")
    for n, id_ in enumerate(ids):
        embed(session, encoder, id_, (1, n))
    session.execute(text("RESET ROLE"))
    session.execute(
        text(
            "CREATE INDEX test_hnsw ON embedding USING hnsw "
            f"((vec::vector({encoder.width})) vector_cosine_ops) WHERE encoder_id = {encoder.id}"
        )
    )
    session.execute(text("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off"))
    ran: list[tuple[str, Any]] = []

    @event.listens_for(session.connection(), "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        ran.append((statement, parameters))

    assert found(session, elm, "", by=By.IMAGE, like=ids[0]) == ids[1:]
    statement, parameters = next((sql, values) for sql, values in ran if "<=>" in sql)
    plan = session.connection().exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars().all()
    assert any("Index Scan using test_hnsw" in line for line in plan)


# --- limits -------------------------------------------------------------------------------------


def test_a_search_that_takes_too_long_is_stopped_and_says_so(
    session: Session, elm: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(session, "Blue naevus.")
    monkeypatch.setattr(queries, "TIMEOUT_MS", 50)
    monkeypatch.setattr(queries, "by_words", lambda session, *_: session.execute(text("SELECT pg_sleep(5)")).all())
    made = pages.found(session, elm, ListForm(q="naevus"))
    assert not made.rows
    assert "was stopped" in made.ranking.notes[0][1]
    assert session.scalar(text("SELECT 1")) == 1, "the transaction goes on"


def test_the_rest_of_the_page_may_take_its_time(session: Session, elm: Actor) -> None:
    said(session, "Blue naevus.")
    assert found(session, elm, "naevus")
    assert session.scalar(text("SHOW statement_timeout")) == "0"


def test_at_most_two_hundred_are_found(session: Session, elm: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MOST", 3)
    ids = said(session, *["Blue naevus."] * 5)
    assert found(session, elm, "naevus") == ids[:1:-1]


def test_those_to_review_are_the_ones_that_a_person_may_still_be_handed(session: Session, elm: Actor) -> None:
    session.merge(Setting(name="overlap_share", value=1))
    session.flush()
    mine, other = (make_candidate(session, caption="Blue naevus.") for _ in range(2))
    make_candidate(session, S.FILTERED_OUT, caption="Blue naevus.")
    alder = make_person(session, "alder")
    decide(session, alder, mine)
    statement = queries.searchable(alder, Filter(), to_review=True)
    assert queries.newest(session, statement) == [other.id]
