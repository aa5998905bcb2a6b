"""The list: filters, pages, jumps, and what each person sees in it."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.candidates import queries
from app.candidates.policies import Slots, sees_state
from app.candidates.queries import Filter
from app.prefilter.policies import StageResult
from app.prefilter.recording import write_findings
from app.tables import Author, Candidate, CandidateState, Job, Post, ReviewKind, Role, Setting
from tests.candidates.deciding import decide
from tests.factories import make_candidate, make_import, make_person
from tests.prompts.models import look, screen
from tests.web_client import SignIn

S = CandidateState


def ids(session: Session, actor: Actor, **wanted: object) -> list[int]:
    return [row.id for row in queries.listed(session, actor, Filter(**wanted), 50)]  # type: ignore[arg-type]


@pytest.fixture
def elm(session: Session) -> Actor:
    return make_person(session, "elm", Role.ADMIN)


def test_it_lists_the_newest_first_and_goes_on_below_a_candidate(session: Session, elm: Actor) -> None:
    made = [make_candidate(session).id for _ in range(4)]
    assert ids(session, elm) == made[::-1]
    assert ids(session, elm, before=made[2]) == [made[1], made[0]]


def test_it_filters_by_state_source_import_post_and_stage(session: Session, elm: Actor) -> None:
    run = make_import(session, "another_source")
    dropped = make_candidate(session, S.FILTERED_OUT)
    queued = make_candidate(session, run=run)
    sibling = make_candidate(session, run=run, post=post_of(session, queued), position=2)
    assert ids(session, elm, states=["filtered_out"]) == [dropped.id]
    assert ids(session, elm, stopped_by="quality") == [dropped.id]
    assert ids(session, elm, stopped_by="domain") == []
    assert ids(session, elm, source_id=run.source_id) == [sibling.id, queued.id]
    assert ids(session, elm, import_id=run.id) == [sibling.id, queued.id]
    assert ids(session, elm, post_id=queued.post_id) == [sibling.id, queued.id]


def post_of(session: Session, candidate: Candidate) -> Post:
    return session.get_one(Post, candidate.post_id)


def test_it_filters_by_the_score_of_a_stage(session: Session, elm: Actor) -> None:
    low, high, unscored = (make_candidate(session) for _ in range(3))
    results = [StageResult(low.id, score=0.2), StageResult(high.id, score=0.9)]
    write_findings(session, "domain", "1", results, {low.id: "a", high.id: "b"}, None)
    assert ids(session, elm, stage="domain", low=0.5) == [high.id]
    assert ids(session, elm, stage="domain", high=0.5) == [low.id]
    assert ids(session, elm, stage="domain", low=0.2, high=0.9) == [high.id, low.id]
    assert unscored.id in ids(session, elm, stage="domain")
    assert {row.id: row.score for row in queries.listed(session, elm, Filter(), 9)}[high.id] == 0.9


def test_withdrawn_ones_are_for_admins_who_ask_for_them(session: Session, elm: Actor) -> None:
    gone = make_candidate(session, S.WITHDRAWN)
    alder = make_person(session, "alder")
    assert ids(session, elm) == []
    assert ids(session, elm, states=["withdrawn"]) == [gone.id]
    assert ids(session, alder, states=["withdrawn"]) == []
    assert queries.jump(session, alder, gone.id) == []
    assert queries.jump(session, elm, gone.id) != []


def test_the_state_is_hidden_from_those_who_may_still_be_handed_it(session: Session, elm: Actor) -> None:
    session.merge(Setting(name="overlap_share", value=1))
    session.flush()
    candidate = make_candidate(session)
    alder, birch = make_person(session, "alder"), make_person(session, "birch")
    decide(session, alder, candidate)

    def states(actor: Actor) -> list[CandidateState | None]:
        return [row.state for row in queries.listed(session, actor, Filter(), 9)]

    assert states(alder) == [S.QUEUED], "they have reviewed it"
    assert states(birch) == [None]
    assert states(elm) == [S.QUEUED]
    assert ids(session, birch, states=["queued"]) == [], "a filter by state tells no state"
    assert ids(session, birch, states=["open"]) == [candidate.id]
    assert ids(session, alder, states=["open"]) == []


@pytest.mark.parametrize("adjudicator", [True, False])
def test_a_disagreement_is_hidden_from_those_who_may_settle_it(session: Session, elm: Actor, adjudicator: bool) -> None:
    session.merge(Setting(name="overlap_share", value=1))
    session.flush()
    candidate = make_candidate(session)
    decide(session, make_person(session, "alder"), candidate)
    decide(session, make_person(session, "birch"), candidate, ReviewKind.ACCEPT)
    session.refresh(candidate)
    assert candidate.state is S.CONFLICTED
    hazel = make_person(session, "hazel", adjudicator=adjudicator)
    (row,) = queries.listed(session, hazel, Filter(), 9)
    assert row.state is (None if adjudicator else S.CONFLICTED)


def test_the_list_and_the_policy_hide_the_same(session: Session) -> None:
    """The condition is written twice, for rows and for one: this holds the two together."""
    session.merge(Setting(name="overlap_share", value=0.5))
    session.flush()
    people = [make_person(session, name) for name in ("alder", "birch")]
    people.append(make_person(session, "hazel", adjudicator=True))
    made = [make_candidate(session, state) for state in (S.QUEUED, S.QUEUED, S.FILTERED_OUT, S.FILTERING)]
    decide(session, people[0], made[0], ReviewKind.FLAG)
    decide(session, people[1], made[1])
    for actor in people:
        hidden = set(ids(session, actor, states=["open"]))
        for candidate in made:
            slots: Slots = queries.slots(session, actor, candidate.id)
            assert (candidate.id in hidden) is not sees_state(actor, slots)


def test_a_number_or_a_shortcode_leads_to_the_candidate(session: Session, sign_in: SignIn) -> None:
    candidate = make_candidate(session)
    shortcode = post_of(session, candidate).shortcode
    elm = sign_in("elm")
    for typed in (f"C-{candidate.id}", str(candidate.id), shortcode):
        answer = elm.get("/candidates", params={"q": typed})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/candidates/{candidate.id}")


def test_a_shortcode_with_several_images_leads_to_them_all(session: Session, sign_in: SignIn) -> None:
    first = make_candidate(session)
    post = post_of(session, first)
    make_candidate(session, post=post, position=2)
    answer = sign_in("elm").get("/candidates", params={"q": post.shortcode})
    assert answer.headers["location"] == f"/candidates?post={post.id}"


def test_what_is_not_there_is_said(session: Session, sign_in: SignIn) -> None:
    answer = sign_in("elm").get("/candidates", params={"q": "no such thing"})
    assert answer.status_code == 200
    assert "Nothing is found" in answer.text
    assert "Search by meaning" in answer.text


def test_the_page_shows_rows_or_tiles_and_escapes_captions(session: Session, sign_in: SignIn) -> None:
    make_candidate(session, caption="<script>alert(1)</script> <b>bold</b>")
    elm = sign_in("elm")
    for layout in ("rows", "tiles"):
        page = elm.get("/candidates", params={"layout": layout})
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;alert(1)" in page.text


def test_fifty_a_page_and_then_next(session: Session, sign_in: SignIn) -> None:
    made = [make_candidate(session).id for _ in range(51)]
    elm = sign_in("elm")
    page = elm.get("/candidates?state=queued")
    assert f"/candidates?state=queued&amp;before={made[1]}".split("?")[1] in page.text
    rest = elm.get(f"/candidates?state=queued&before={made[1]}")
    assert f"C-{made[0]}" in rest.text
    assert 'rel="next"' not in rest.text


def test_a_reviewer_is_told_which_are_open_to_them(session: Session, sign_in: SignIn) -> None:
    make_candidate(session)
    page = sign_in("alder").get("/candidates")
    assert "Open to you" in page.text
    assert "is-info" not in page.text


def test_the_counts_are_of_the_states_that_a_person_sees(session: Session, sign_in: SignIn, elm: Actor) -> None:
    session.merge(Setting(name="overlap_share", value=1))
    session.flush()
    alder, birch = make_person(session, "alder"), make_person(session, "birch")
    mine = make_candidate(session)
    decide(session, alder, mine)
    make_candidate(session)
    screen(session, make_candidate(session, S.FILTERED_OUT))
    for state in (S.FILTERED_OUT, S.FILTERING, S.WITHDRAWN):
        make_candidate(session, state)

    def shown(actor: Actor) -> dict[str, int]:
        return {state: count for state, count in queries.counts(session, actor).items() if count}

    assert shown(alder) == {"open": 1, "queued": 1, "filtered_out": 1}
    assert shown(birch) == {"open": 2, "filtered_out": 1}
    assert shown(elm) == {"queued": 2, "filtered_out": 2, "filtering": 1, "withdrawn": 1}
    for actor in (alder, birch):
        assert shown(actor) == {state: len(ids(session, actor, states=[state])) for state in shown(actor)}


def test_reviewers_do_not_see_what_no_stage_has_screened_for_private_details(session: Session, elm: Actor) -> None:
    alder = make_person(session, "alder2")
    unseen = [make_candidate(session, state).id for state in (S.INCOMING, S.FILTERING, S.FILTERED_OUT)]
    stopped = make_candidate(session, S.FILTERED_OUT)
    for stage in ("faces", "writing"):
        look(session, stopped, stage)
    queued = make_candidate(session)
    assert ids(session, alder) == [queued.id]
    assert queries.jump(session, alder, unseen[1]) == []
    assert ids(session, elm) == [queued.id, stopped.id, *unseen[::-1]]
    look(session, stopped, "private", stale=True)
    assert not queries.sees(session, alder, stopped.id), "it is looked at again"
    look(session, stopped, "private")
    assert queries.sees(session, alder, stopped.id)


def test_a_reviewers_list_shows_counts_by_state(session: Session, sign_in: SignIn) -> None:
    for _ in range(3):
        make_candidate(session)
    page = sign_in("alder").get("/candidates").text
    assert '<span>Open to you</span><span class="num">3</span>' in page
    assert '<span>Accepted</span><span class="num">0</span>' in page


HUGE = ("9" * 30, "-1", "0", "1e400", "nan", "a\x00b", "\N{SUPERSCRIPT TWO}")


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize(
    "name", ["q", "state", "source", "import_id", "post", "stopped", "stage", "low", "high", "before", "layout"]
)
def test_no_filter_breaks_the_list(sign_in: SignIn, name: str, value: str) -> None:
    assert sign_in("elm").get("/candidates", params={name: value}).status_code in (200, 422)


def test_nonsense_filters_are_refused_and_the_list_stays(session: Session, sign_in: SignIn) -> None:
    candidate = make_candidate(session)
    page = sign_in("elm").get("/candidates?stage=nonsense")
    assert page.status_code == 422
    assert f"C-{candidate.id}" in page.text


def test_a_filter_that_nothing_fits_stays_on_when_the_form_is_sent_again(sign_in: SignIn) -> None:
    page = sign_in("elm").get("/candidates?organ=skin&post=7").text
    assert 'name="organ" value="skin" checked' in page
    assert 'name="post" value="7"' in page


def test_a_number_of_the_platform_is_not_shown_as_a_handle() -> None:
    assert Author(account_id="527", label="path_demo_01").called == "@path_demo_01"
    assert Author(account_id="527").called == "account 527"


def test_an_empty_list_says_what_to_do(session: Session, sign_in: SignIn) -> None:
    assert "Import posts" in sign_in("elm").get("/candidates").text
    assert "Show all" in sign_in("alder").get("/candidates?state=open").text


@pytest.mark.parametrize(("persona", "status"), [("alder", 200), ("elm", 200), ("fir", 403), ("", 303)])
def test_candidates_are_for_reviewers_and_admins(sign_in: SignIn, persona: str, status: int) -> None:
    assert sign_in(persona).get("/candidates").status_code == status


def test_an_admin_sends_what_a_filter_lists_through_the_stages_again(session: Session, sign_in: SignIn) -> None:
    filtering, filtered_out = make_candidate(session, S.FILTERING), make_candidate(session, S.FILTERED_OUT)
    make_candidate(session)
    elm = sign_in("elm")
    page = elm.get("/candidates?state=filtering&state=filtered_out").text
    assert "Run the stages again on these" in page
    assert "Run the stages again on these" not in elm.get("/candidates").text
    answer = elm.post("/candidates/rerun", data={"state": ["filtering", "filtered_out"], "source": "", "low": ""})
    job = session.scalars(select(Job).where(Job.kind == "rerun")).one()
    assert answer.headers["location"] == f"/jobs/{job.id}"
    assert job.arguments == {"stage": "quality", "candidates": [filtering.id, filtered_out.id]}
    assert elm.post("/candidates/rerun", data={"low": "abc"}).status_code == 422
