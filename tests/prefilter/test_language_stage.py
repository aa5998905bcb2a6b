"""Captions are told by language; which of them are reviewed is a setting that keeps what it stops."""

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.accounts.policies import SYSTEM
from app.curation import leases
from app.db import transaction
from app.errors import Invalid
from app.prefilter import actions, due, funnel, queries
from app.prefilter.languages import CODES, LANGUAGES, UNDETERMINED
from app.prefilter.stages import BY_NAME
from app.tables import Candidate, CandidateState, Event, FindingNow, Job, Stage
from tests.factories import FAR, make_candidate, make_person
from tests.prefilter.test_pipeline import quiet, states, work  # noqa: F401  # `quiet` is a fixture
from tests.web_client import SignIn
from workers.ml.language import identify

S = CandidateState

GERMAN = "Basalzellkarzinom der Haut mit peripherer Palisadierung der Kerne."
ENGLISH = "Nests of basaloid cells with peripheral palisading and clefts."
SPANISH = "Carcinoma basocelular nodular de la piel con retracción periférica."


@pytest.mark.parametrize(
    ("caption", "code"),
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        (SPANISH, "es"),
        ("Carcinome basocellulaire nodulaire de la paupière avec des fentes.", "fr"),
        ("Bazal hücreli karsinom, deri", "tr"),
        ("Базальноклеточный рак кожи", "ru"),
        ("皮膚の基底細胞癌、HE染色", "ja"),
        ("皮肤基底细胞癌", "zh"),
        ("سرطان الخلايا القاعدية", "ar"),
        ("피부의 기저세포암", "ko"),
    ],
)
def test_short_captions_are_told_by_language(caption: str, code: str) -> None:
    assert identify(caption, LANGUAGES)[0] == code


@pytest.mark.parametrize(
    "caption", ["", "H&E, 10x", "Schwannoma", "Adenocarcinoma of colon, H&E", "12345 !!", "\u200b\ufffd", "🔬🔬🔬"]
)
def test_what_tells_no_language_is_undetermined(caption: str) -> None:
    assert identify(caption, LANGUAGES)[0] == UNDETERMINED


def test_the_probability_is_one_of_the_closed_list() -> None:
    code, probability = identify(GERMAN, LANGUAGES)
    assert code in CODES
    assert 0.5 < probability <= 1


# --- the setting --------------------------------------------------------------------------------


def arrive(session: Session, caption: str) -> int:
    """A candidate that waits for the language stage."""
    candidate = make_candidate(session, S.FILTERING, caption)
    due.due(session, BY_NAME["language"], [candidate.id])
    return candidate.id


@pytest.mark.usefixtures("own_database", "quiet")
def test_a_language_that_is_not_reviewed_is_stopped_and_comes_back_with_the_setting() -> None:
    with transaction() as session:
        english, german, latin = (arrive(session, text) for text in (ENGLISH, GERMAN, "Schwannoma"))
        actions.set_reviewed_languages(session, SYSTEM, ["en", UNDETERMINED])
    work()
    assert states() == {english: (S.QUEUED, None), german: (S.FILTERED_OUT, "language"), latin: (S.QUEUED, None)}
    with transaction() as session:
        (language,) = [counts for counts in funnel.funnel(session)[1] if counts.stage.name == "language"]
        assert language.dropped == 1
        actions.set_reviewed_languages(session, SYSTEM, ["de"])
    work()
    assert [states()[id_][0] for id_ in (english, german, latin)] == [S.FILTERED_OUT, S.QUEUED, S.FILTERED_OUT]
    with transaction() as session:
        actions.set_reviewed_languages(session, SYSTEM, CODES)
        assert queries.reviewed_languages(session) is None
    work()
    assert {state for state, _ in states().values()} == {S.QUEUED}


@pytest.mark.usefixtures("own_database", "quiet")
def test_what_someone_holds_is_not_taken_away_by_the_setting() -> None:
    with transaction() as session:
        held = arrive(session, GERMAN)
    work()
    with transaction() as session:
        alder = make_person(session, "alder")
        leases.hold(session, alder)
        actions.set_reviewed_languages(session, SYSTEM, ["en"])
    work_once()
    assert states()[held] == (S.QUEUED, None)
    with transaction() as session:
        leases.release(session, alder, FAR)
        session.execute(update(Job).values(not_before=func.to_timestamp(0)))
    work()
    assert states()[held] == (S.FILTERED_OUT, "language")


def work_once() -> None:
    from workers import main as worker

    with transaction() as session:
        job_id = session.scalars(select(Job.id).order_by(Job.id.desc())).first()
    assert job_id
    worker.run_job(job_id)


def test_a_setting_that_stays_the_same_does_nothing(session: Session) -> None:
    assert actions.set_reviewed_languages(session, SYSTEM, CODES) is None
    assert not session.scalar(select(func.count()).where(Event.act == "stage.languages_changed"))


@pytest.mark.parametrize("codes", [[], ["xx"], ["en", "'; DROP TABLE stage"]])
def test_no_language_or_an_unknown_one_is_refused(session: Session, codes: list[str]) -> None:
    with pytest.raises(Invalid):
        actions.set_reviewed_languages(session, SYSTEM, codes)


# --- pages --------------------------------------------------------------------------------------


def found(session: Session, candidate: Candidate, code: str) -> None:
    from app.prefilter.policies import StageResult
    from app.prefilter.recording import write_findings

    result = StageResult(candidate.id, score=0.9, label=code)
    write_findings(session, "language", "1", [result], {candidate.id: "x"}, None)


def test_the_stage_page_offers_the_languages_with_counts_and_saves_the_choice(
    sign_in: SignIn, session: Session
) -> None:
    for code in ("en", "en", "de"):
        found(session, make_candidate(session), code)
    admin = sign_in("elm")
    page = admin.get("/prefilter/language").text
    assert [(c.code, c.candidates) for c in queries.language_choices(session) if c.candidates] == [("en", 2), ("de", 1)]
    assert page.count('name="reviewed"') == len(CODES)
    saved = admin.post("/prefilter/language/reviewed", data={"reviewed": ["en", "fr"]}, follow_redirects=False)
    assert saved.status_code == 303
    session.expire_all()
    assert session.get_one(Stage, "language").setting == {"reviewed": ["en", "fr"]}
    page = admin.get("/prefilter/language").text
    assert [part.split('"')[0] for part in page.split('name="reviewed" value="')[1:] if " checked" in part[:20]] == [
        "en",
        "fr",
    ]


@pytest.mark.parametrize("sent", [{}, {"reviewed": "xx"}])
def test_a_choice_that_is_none_is_refused_on_the_page(sign_in: SignIn, session: Session, sent: dict[str, str]) -> None:
    page = sign_in("elm").post("/prefilter/language/reviewed", data=sent)
    assert page.status_code == 422
    assert "Choose at least one language of the list." in page.text


def test_a_reviewer_may_not_choose(sign_in: SignIn) -> None:
    assert sign_in("alder").post("/prefilter/language/reviewed", data={"reviewed": "en"}).status_code == 403


def test_the_candidate_says_its_language_and_that_it_is_not_reviewed(sign_in: SignIn, session: Session) -> None:
    candidate = make_candidate(session)
    found(session, candidate, "de")
    admin = sign_in("elm")
    assert "German" in admin.get(f"/candidates/{candidate.id}").text
    session.execute(update(Stage).where(Stage.name == "language").values(setting={"reviewed": ["en"]}))
    row = session.get_one(FindingNow, (candidate.id, "language"))
    assert row.label == "de"
    page = admin.get(f"/candidates/{candidate.id}").text
    assert "stops" in page[page.index(">Language<") :][:200]
    assert "by Language, German" in page
