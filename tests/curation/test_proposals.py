"""What machines propose, on the review page: who changed what, what is doubted, left out, unchecked; and who wins."""

from typing import Any

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.curation.proposals import OTHERWISE, UNSUPPORTED
from app.prefilter import offers
from app.prefilter.policies import Offer, StageResult
from app.tables import Candidate, CandidateState, CaptionKind, Draft, Stage
from tests.curation.proposing import find, propose, shown_candidate, words
from tests.curation.review_page import Html, Page, let_leases_end, open_page, reviews, send, state
from tests.web_client import SignIn

S = CandidateState
RAW = "Follow me! Jane Doe, 62, basal cell carcinoma HE 10x"
CLEANED = "Jane Doe, 62, basal cell carcinoma HE 10x"
WITHOUT = "62, basal cell carcinoma HE 10x"
PROPOSED = "62, basal cell carcinoma, H&E, 10×. No mitoses are seen."


@pytest.fixture
def proposed(session: Session) -> Candidate:
    """Rules, private details and the language model had their way with the caption."""
    candidate = shown_candidate(session, RAW)
    propose(session, candidate, rules_1=CLEANED)
    base = candidate.caption_id
    propose(session, candidate, private_1=WITHOUT, llm_3=PROPOSED)
    find(session, candidate, "private", caption=base, spans=[{"start": 0, "end": 9, "kind": "name"}], kinds={"name": 1})
    guessed = {"organ": "skin", "stain": "ihc"}
    find(session, candidate, "caption", fields={"stain": "he"})
    find(session, candidate, "llm", prompt=3, fields=guessed, diagnosis=words(session, candidate, "Basalioma"))
    return candidate


def changes(page: Html) -> set[tuple[str, str]]:
    """(tag, class) of every marked change."""
    return {(tag, found.get("class", "")) for tag, found in page.elements if tag in ("ins", "del", "mark")}


# --- where each change came from ------------------------------------------------------------------


def test_each_change_of_the_caption_says_who_made_it(proposed: Candidate, sign_in: SignIn) -> None:
    answer = sign_in("alder").get("/review").text
    page = Page(answer)
    assert page.caption == PROPOSED
    assert changes(page) >= {("del", "by-rules"), ("del", "by-private"), ("ins", "by-llm"), ("mark", "doubt")}
    assert "Cleaned by rules, private details left out, proposed by the language model" in answer
    for name in ("Rules", "Private details", "Language model"):
        assert f">{name}</li>" in answer
        assert f'title="{name}"' in answer


def test_a_caption_as_posted_has_no_marks_and_no_legend(session: Session, sign_in: SignIn) -> None:
    shown_candidate(session, "Basal cell carcinoma.")
    answer = sign_in("alder").get("/review").text
    assert changes(Page(answer)) == set()
    assert "As posted" in answer
    assert "Changed by" not in answer


def test_a_sentence_that_the_original_lacks_is_marked_with_the_reason(proposed: Candidate, sign_in: SignIn) -> None:
    answer = sign_in("alder").get("/review").text
    assert f'<mark class="doubt" title="{UNSUPPORTED}">' in answer
    assert answer.count('<mark class="doubt"') == 1
    marked = answer.split('<mark class="doubt"', 1)[1].split("</mark>", 1)[0]
    assert "No mitoses are seen." in marked
    assert "1 passage with a wavy line: not in the original" in answer


def test_where_each_sentence_comes_from_is_reached_without_a_mouse(proposed: Candidate, sign_in: SignIn) -> None:
    for path in ("/review", f"/candidates/{proposed.id}"):
        answer = sign_in("alder" if path == "/review" else "elm").get(path).text
        listed = answer.split("<summary>Where each sentence comes from</summary>", 1)[1].split("</details>", 1)[0]
        first, last = listed.split("<li", 2)[1:]
        assert "basal cell carcinoma" in first.split("comes from", 1)[1]
        assert UNSUPPORTED not in first
        assert "No mitoses are seen." in last
        assert f"{UNSUPPORTED}." in last


def test_what_no_model_wrote_has_no_list_of_sentences(session: Session, sign_in: SignIn) -> None:
    candidate = shown_candidate(session, "Melanoma. Follow me!")
    propose(session, candidate, rules_1="Melanoma.")
    assert "Where each sentence comes from" not in sign_in("alder").get("/review").text


def test_a_sentence_in_the_originals_words_is_said_to_say_it_otherwise_and_the_original_has_no_marks(
    session: Session, sign_in: SignIn
) -> None:
    candidate = shown_candidate(session, "Melanoma.\nNo mitoses, ulceration seen.")
    propose(session, candidate, llm_1="Melanoma. Mitoses, ulceration seen.")
    answer = sign_in("alder").get("/review").text
    assert f'title="{OTHERWISE}. It leans on “mitoses, ulceration”"' in answer
    assert UNSUPPORTED not in answer
    original = answer.split('class="caption-raw diff lines"', 1)[1].split("</p>", 1)[0]
    assert "<mark" not in original
    assert "\nNo mitoses" in original


def test_what_the_model_only_rewords_is_not_marked(session: Session, sign_in: SignIn) -> None:
    candidate = shown_candidate(session, "carcinoma basal cell, HE")
    propose(session, candidate, llm_1="Basal cell carcinoma, H&E.")
    assert ("mark", "doubt") not in changes(open_page(sign_in("alder")))


# --- private details ------------------------------------------------------------------------------


def test_private_details_that_were_left_out_are_listed_and_say_where_they_stood(
    proposed: Candidate, sign_in: SignIn
) -> None:
    page = open_page(sign_in("alder"))
    (detail,) = (found for _, found in page.elements if "data-detail" in found)
    assert (detail["data-detail"], detail["data-before"]) == ("Jane Doe,", "")
    assert [found["type"] for _, found in page.elements if "data-details" in found] == ["button"]


def test_details_of_another_caption_than_the_one_on_offer_are_not_listed(
    session: Session, proposed: Candidate, sign_in: SignIn
) -> None:
    find(session, proposed, "private", caption=1, spans=[{"start": 0, "end": 9, "kind": "name"}])
    assert not any("data-detail" in found for _, found in open_page(sign_in("alder")).elements)


# --- fields -----------------------------------------------------------------------------------------


def unchecked(page: Html) -> set[str]:
    return {found["id"].removeprefix("unchecked-") for _, found in page.elements if found.get("class") == "unchecked"}


def test_the_model_fills_only_empty_fields_and_each_is_marked_as_unchecked(
    proposed: Candidate, sign_in: SignIn
) -> None:
    answer = sign_in("alder").get("/review").text
    page = Page(answer)
    sent = page.form()
    assert (sent["organ"], sent["stain"], sent["diagnosis"]) == ("skin", "he", "Basalioma")
    assert unchecked(page) == {"organ", "diagnosis"}
    assert "<noscript>LLM, unchecked</noscript>" in answer
    ruled = {found["id"] for _, found in page.elements if found.get("id", "").startswith("ruled-")}
    assert ruled == {"ruled-stain"}


def save(session: Session, client: TestClient, page: Page, **changes: Any) -> None:
    answer = client.post(f"/review/{page.candidate}/draft", data=page.form() | changes)
    assert answer.status_code == 200
    session.expire_all()  # as every request has a session of its own


def test_a_field_that_was_touched_or_confirmed_is_marked_no_more(
    session: Session, proposed: Candidate, sign_in: SignIn
) -> None:
    alder = sign_in("alder")
    page = open_page(alder)
    save(session, alder, page)
    assert unchecked(open_page(alder)) == {"organ", "diagnosis"}
    save(session, alder, page, checked=" organ", diagnosis="Basal cell carcinoma")
    again = open_page(alder)
    assert unchecked(again) == set()
    assert (again.form()["organ"], again.form()["diagnosis"]) == ("skin", "Basal cell carcinoma")


def test_what_is_minded_in_the_picture_is_drawn_unless_it_is_a_spot_check(
    session: Session, proposed: Candidate, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    face = {"kind": "face", "x": 0.1, "y": 0.1, "width": 0.4, "height": 0.1}
    find(session, proposed, "faces", boxes=[face], kinds={"face": 1})
    session.get_one(Stage, "faces").setting = {"actions": {"face": "warn"}}
    alder = sign_in("alder")
    drawn = alder.get("/review").text
    assert ('class="box box-face"' in drawn, "1 face <b>check</b>" in drawn) == (True, True)
    monkeypatch.setattr("app.curation.pages.is_spot_check", lambda _id: True)
    assert "box-face" not in alder.get("/review").text


def test_a_spot_check_shows_no_fields_of_the_model(
    session: Session, proposed: Candidate, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.curation.pages.is_spot_check", lambda _id: True)
    page = open_page(sign_in("alder"))
    assert page.form()["diagnosis"] == page.form().get("organ", "") == ""
    assert unchecked(page) == set()


def test_the_candidates_page_says_the_same_of_caption_and_fields(proposed: Candidate, sign_in: SignIn) -> None:
    answer = sign_in("elm").get(f"/candidates/{proposed.id}").text
    assert "cleaned by rules, private details left out, proposed by the language model" in answer
    assert changes(Html(answer)) >= {("del", "by-rules"), ("del", "by-private"), ("ins", "by-llm"), ("mark", "doubt")}
    assert "by rules and the language model, unchecked" in answer
    assert "<bdi>Basalioma</bdi>" in answer


def test_an_answer_whose_words_were_blanked_gives_no_diagnosis(
    session: Session, proposed: Candidate, sign_in: SignIn
) -> None:
    find(session, proposed, "llm", prompt=3, fields={}, diagnosis=2**40)
    assert open_page(sign_in("alder")).form()["diagnosis"] == ""


# --- own changes win ------------------------------------------------------------------------------


def late_proposal(session: Session, candidate: Candidate, text: str = PROPOSED) -> None:
    made = Offer(CaptionKind.PROPOSED, text, "llm 3", candidate.caption_id)
    offers.offer(session, [StageResult(candidate.id, offers=[made])])


@pytest.mark.parametrize("htmx", [False, True])
def test_a_late_answer_never_replaces_what_a_reviewer_wrote(session: Session, sign_in: SignIn, htmx: bool) -> None:
    candidate = shown_candidate(session, RAW)
    alder = sign_in("alder")
    page = open_page(alder)
    let_leases_end(session)
    late_proposal(session, candidate)
    answer = send(alder, page, "accept", htmx=htmx, caption="The words of alder.")
    assert answer.status_code == 409
    for text in ("The caption of", "The words of alder.", "No mitoses are seen."):
        assert text in "".join(Html(answer.text).texts.values())
    assert reviews(session) == []
    again = open_page(alder, f"?candidate={candidate.id}")
    assert again.caption == "The words of alder."
    assert again.is_editing
    assert send(alder, again, "accept").status_code == 303
    assert state(session, candidate.id) is S.ACCEPTED


def test_a_draft_on_an_older_caption_is_kept_and_the_new_one_is_shown_beside_it(
    session: Session, sign_in: SignIn
) -> None:
    candidate = shown_candidate(session, RAW)
    alder = sign_in("alder")
    save(session, alder, open_page(alder), caption="The words of alder.")
    let_leases_end(session)
    late_proposal(session, candidate)
    answer = alder.get(f"/review?candidate={candidate.id}").text
    page = Page(answer)
    assert page.caption == "The words of alder."
    assert "Another caption is on offer since you began your draft" in answer
    assert [found["data-use"] for _, found in page.elements if "data-use" in found] == [PROPOSED]
    kept = session.get_one(Draft, (reviewer_of(session), candidate.id))
    assert (kept.text, kept.caption_version) == ("The words of alder.", candidate.caption_version - 1)
    save(session, alder, page)
    assert "Another caption is on offer" not in alder.get(f"/review?candidate={candidate.id}").text


def reviewer_of(session: Session) -> int:
    return session.query(Draft.user_id).scalar() or 0


def test_a_draft_that_changed_only_a_field_shows_the_new_caption(session: Session, sign_in: SignIn) -> None:
    candidate = shown_candidate(session, "Basal cell carcinoma.")
    alder = sign_in("alder")
    save(session, alder, open_page(alder), organ="skin")
    page = open_page(alder)
    assert not page.is_editing
    assert (page.caption, page.form()["organ"]) == ("Basal cell carcinoma.", "skin")
    assert candidate.caption_version == 1
