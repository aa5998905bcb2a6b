"""The stage of writing: kinds of private details by line, and that the words are kept as evidence text alone."""

import re

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.prefilter import recording
from app.prefilter.privacy import PrivateKind
from app.tables import CandidateState, EvidenceKind, EvidenceText, Finding, FindingNow
from tests.factories import make_candidate
from workers.ml.writing import Line
from workers.stages.writing import _result, told_apart

K = PrivateKind


def lines(*texts: tuple[str, float, float]) -> list[Line]:
    """Lines of these words at (x, y)."""
    return [Line(text, x, y, 0.2, 0.03, 0.98) for text, x, y in texts]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("MRN 1234567", K.RECORD_NUMBER),
        ("S23-12345", K.RECORD_NUMBER),
        ("DOB 04/05/1961", K.DATE),
        ("@path_demo_01", K.HANDLE),
        ("200 µm", K.WRITING),
        ("HE x400", K.WRITING),
        ("A", K.WRITING),
    ],
)
def test_a_line_is_told_by_the_rules_for_captions(text: str, kind: PrivateKind) -> None:
    assert told_apart(lines((text, 0.1, 0.1))) == (text, [[kind]])


def test_a_number_is_seen_with_the_word_before_it() -> None:
    beside, alone = lines(("MRN", 0.1, 0.1), ("1234567", 0.4, 0.1)), lines(("x 1234567", 0.4, 0.1))
    assert told_apart(beside)[1][1] == [K.RECORD_NUMBER]
    assert told_apart(alone)[1] == [[K.WRITING]]


def test_words_on_one_line_are_read_as_one_and_others_below_each_other() -> None:
    assert told_apart(lines(("HE", 0.1, 0.1), ("x400", 0.4, 0.1), ("colon", 0.1, 0.5)))[0] == "HE x400\ncolon"


def test_a_line_with_two_kinds_has_a_box_for_each() -> None:
    result = _result(7, lines(("MRN 1234567 04/05/1961", 0.1, 0.1), ("200 µm", 0.1, 0.9)))
    assert [box["kind"] for box in result.evidence["boxes"]] == ["date", "record_number", "writing"]
    assert result.evidence["kinds"] == {"date": 1, "record_number": 1, "writing": 1}
    assert result.label == "writing"


def test_a_name_and_a_number_in_one_line_are_both_counted() -> None:
    result = _result(7, lines(("Patient: Maria Garcia MRN 00492817", 0.1, 0.1)))
    assert result.evidence["kinds"] == {"name": 1, "record_number": 1}


def test_a_picture_without_writing_has_no_words() -> None:
    result = _result(7, [])
    assert (result.label, result.words, result.evidence) == ("no writing", "", {"boxes": [], "kinds": {}})


def test_words_are_kept_as_evidence_text_and_nowhere_else(session: Session) -> None:
    candidate = make_candidate(session, CandidateState.FILTERING)
    for _ in range(2):
        written(session, candidate.id, "S23-12345 ALDER")
    (kept,) = session.scalars(select(EvidenceText).filter_by(candidate_id=candidate.id))
    assert (kept.kind, kept.text) == (EvidenceKind.BURNED_IN, "S23-12345 ALDER")
    found = session.scalars(
        select(Finding)
        .join(FindingNow, FindingNow.finding_id == Finding.id)
        .where(FindingNow.stage == "writing", FindingNow.candidate_id == candidate.id)
    ).one()
    assert found.evidence["words"] == kept.id
    assert not re.search("12345|ALDER", str([found.evidence, found.label]))


def test_words_that_a_takedown_blanked_stay_blank(session: Session) -> None:
    candidate = make_candidate(session, CandidateState.FILTERING)
    written(session, candidate.id, "S23-12345")
    kept = session.scalars(select(EvidenceText).filter_by(candidate_id=candidate.id)).one()
    kept.text = None
    session.flush()
    written(session, candidate.id, "S23-12345")
    assert list(session.scalars(select(EvidenceText.text).filter_by(candidate_id=candidate.id))) == [None]


def written(session: Session, candidate_id: int, text: str) -> None:
    result = _result(candidate_id, lines((text, 0.1, 0.1)))
    recording.keep_words(session, [result])
    recording.write_findings(session, "writing", "1", [result], {candidate_id: "looked at"}, None)
