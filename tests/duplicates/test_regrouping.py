"""Groups in the database: exact search, every order of import, what people said, and who changes sides."""

import random
from itertools import permutations

import pytest
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.curation import actions as curation
from app.curation import leases, moves
from app.duplicates import actions, queries
from app.errors import Conflict, Invalid, NotFound, Stale
from app.prefilter import pdq, recording, sameness
from app.tables import (
    Candidate,
    CandidateState,
    DuplicateEdit,
    DuplicateEditKind,
    Event,
    Finding,
    FindingNow,
    Image,
    Job,
    ReviewKind,
    Role,
    StageTodo,
)
from tests.curation.test_decide import decision
from tests.duplicates.copying import (
    arrive,
    bits,
    copy,
    enqueue,
    group_with,
    groups,
    labels,
    look,
    states,
)
from tests.factories import FAR, make_person

S = CandidateState
SAID = "A lymph node with metastatic melanoma, HMB45."


@pytest.fixture
def elm(session: Session) -> Actor:
    return make_person(session, "elm", Role.ADMIN)


# --- search -------------------------------------------------------------------------------------


def test_the_search_finds_exactly_what_comparing_with_every_hash_finds(session: Session) -> None:
    chance = random.Random(11)
    made = [chance.getrandbits(pdq.BITS) for _ in range(40)]
    for _ in range(400):
        turned = chance.choice(pdq.views(chance.choice(made[:40])))
        flips = chance.sample(range(pdq.BITS), chance.randint(0, 40))
        made.append(turned ^ sum(1 << bit for bit in flips))
    rows = [
        {"sha256": f"{n:064x}", "source_sha256": f"{n:064x}", "width": 1, "height": 1, "size": 1}
        | {"pdq": pdq.to_text(hash_), "pdq_quality": 49 if n % 10 == 0 else 100}
        for n, hash_ in enumerate(made)
    ]
    ids = session.scalars(insert(Image).returning(Image.id, sort_by_parameter_order=True), rows).all()
    found = 0
    for hash_ in made[:120]:
        for radius in (31, 12, 0):
            near = {ids[n] for n, other in enumerate(made) if n % 10 and pdq.distance(hash_, other)[0] <= radius}
            assert sameness.near(session, hash_, radius) == near
            found += len(near)
    assert found > 1000


def test_the_search_reads_the_index_of_each_piece(session: Session) -> None:
    session.execute(text("SET LOCAL enable_seqscan = off"))
    views = {f"view{n}": pdq.to_text(n) for n in range(8)}
    pieces = {f"piece{n}": [n] for n in range(len(pdq.PIECES))}
    explained = session.scalars(text(f"EXPLAIN {sameness.NEAR.text}"), views | pieces | {"radius": 31}).all()
    assert all(any(f"on ix_image_pdq_piece_{place} " in line for line in explained) for place in range(11))


def test_a_radius_that_the_index_does_not_serve_is_refused(session: Session) -> None:
    with pytest.raises(ValueError, match="33"):
        sameness.near(session, 0, 33)


# --- groups -------------------------------------------------------------------------------------


def test_pictures_that_are_nearly_blank_are_grouped_by_their_bytes_alone(session: Session) -> None:
    one, other = arrive(session), arrive(session)
    same = arrive(session, image_of=one)
    look(session, dict.fromkeys((one, same, other), bits(0)), quality=49)
    assert groups(session) == {frozenset({one, same})}


@pytest.mark.parametrize("order", list(permutations(range(4)))[::2])
def test_the_groups_and_what_a_split_parts_are_the_same_in_every_order(session: Session, order: list[int]) -> None:
    hashes = [bits(0), bits(28), bits(10), bits(24, start=10)]
    ids = {number: copy(session, hashes[number]) for number in order[:2]}
    images = {number: session.get_one(Candidate, id_).image_id for number, id_ in ids.items()}
    ids |= {number: arrive(session) for number in order[2:]}
    images |= {number: session.get_one(Candidate, ids[number]).image_id for number in order[2:]}
    a, b = sorted((images[0], images[1]))
    session.add(DuplicateEdit(kind=DuplicateEditKind.SPLIT, image_a=a, image_b=b))
    session.flush()
    for number in order[2:]:
        look(session, {ids[number]: hashes[number]})
    recording.regroup(session, recording.hold_sameness(session), {a, b})
    assert groups(session) == {frozenset({ids[0], ids[2]}), frozenset({ids[1], ids[3]})}


def test_a_copy_that_comes_turned_and_joins_two_groups_makes_them_the_older_one(session: Session) -> None:
    left = [copy(session, bits(0)), copy(session, bits(2))]
    right = [copy(session, bits(60)), copy(session, bits(58))]
    older = group_with(session, left[0]).id
    assert len(groups(session)) == 2
    between = copy(session, pdq.views(bits(30))[5])
    assert groups(session) == {frozenset({*left, *right, between})}
    assert group_with(session, between).id == older


def test_running_again_under_a_smaller_radius_takes_groups_apart(session: Session) -> None:
    one, other = copy(session, bits(0)), copy(session, bits(20))
    assert groups(session) == {frozenset({one, other})}
    row = recording.hold_sameness(session)
    row.setting = {"pdq_distance": 10}
    session.flush()
    look(session, {one: bits(0)})
    assert groups(session) == set()


def test_what_is_withdrawn_is_no_copy_any_more(session: Session) -> None:
    one, other, third = copy(session, bits(0), side=900), copy(session, bits(2)), copy(session, bits(4))
    assert states(session, one, other, third) == ["kept", "copy", "copy"]
    group = group_with(session, one)
    moves.withdraw(session, [one])
    recording.regroup(session, recording.hold_sameness(session), group.image_ids)
    assert states(session, other, third) == ["kept", "copy"]
    assert [c.member.candidate_id for c in group_with(session, other).copies] == [other, third]


# --- split up -----------------------------------------------------------------------------------


def split(session: Session, elm: Actor, *away: int) -> list[int]:
    group = group_with(session, away[0])
    return actions.split(session, elm, group.id, group.version, away)


def test_a_copy_that_is_none_goes_on_through_the_stages(session: Session, elm: Actor) -> None:
    kept, dropped = copy(session, bits(0), side=900), copy(session, bits(28))
    assert states(session, kept, dropped) == ["kept", "copy"]
    assert split(session, elm, dropped) == [dropped]
    assert groups(session) == set()
    assert states(session, kept, dropped) == ["kept", "kept"]
    assert labels(session, kept, dropped) == ["only", "only"]
    due = session.scalars(select(StageTodo.stage).where(StageTodo.candidate_id == dropped)).all()
    assert due == ["domain"]


def test_a_split_holds_when_the_stage_runs_again_and_when_a_copy_of_both_arrives(session: Session, elm: Actor) -> None:
    left, right = copy(session, bits(0)), copy(session, bits(28))
    split(session, elm, right)
    look(session, {right: bits(28)})
    assert groups(session) == set()
    third = copy(session, bits(10))
    assert groups(session) == {frozenset({left, third})}
    fourth = copy(session, bits(24))
    assert groups(session) == {frozenset({left, third}), frozenset({right, fourth})}


def test_each_side_of_a_split_keeps_the_best_of_its_own(session: Session, elm: Actor) -> None:
    left = [copy(session, bits(0), side=900), copy(session, bits(2))]
    right = [copy(session, bits(28), side=700), copy(session, bits(30))]
    split(session, elm, *right)
    assert groups(session) == {frozenset(left), frozenset(right)}
    assert states(session, *left, *right) == ["kept", "copy", "kept", "copy"]


def test_the_same_file_goes_with_a_copy_and_can_not_be_split_from_it(session: Session, elm: Actor) -> None:
    one, other = copy(session, bits(0)), copy(session, bits(20))
    twin = copy(session, bits(20), image_of=other)
    assert split(session, elm, other) == [other, twin]
    with pytest.raises(Invalid, match="very same file"):
        split(session, elm, twin)
    assert groups(session) == {frozenset({other, twin})}
    assert states(session, one) == ["kept"]


@pytest.mark.parametrize("everyone", [True, False])
def test_a_split_leaves_something_on_either_side(session: Session, elm: Actor, everyone: bool) -> None:
    ids = [copy(session, bits(0)), copy(session, bits(2))]
    group = group_with(session, ids[0])
    with pytest.raises(Invalid, match="Tick the copies"):
        actions.split(session, elm, group.id, group.version, ids if everyone else [])


def test_a_group_that_changed_since_it_was_shown_is_not_edited(session: Session, elm: Actor) -> None:
    ids = [copy(session, bits(0)), copy(session, bits(2))]
    group = group_with(session, ids[0])
    ids.append(copy(session, bits(4)))
    for edit in (
        lambda: actions.confirm(session, elm, group.id, group.version),
        lambda: actions.split(session, elm, group.id, group.version, ids[:1]),
        lambda: actions.keep(session, elm, group.id, group.version, ids[1]),
        lambda: actions.merge(session, elm, group.id, group.version, ids[2], other_is_group=False),
    ):
        with pytest.raises(Stale):
            edit()
    assert not session.scalar(select(func.count()).select_from(DuplicateEdit))


# --- right, and joined --------------------------------------------------------------------------


def test_what_someone_called_right_is_sure_until_another_doubtful_copy_comes(session: Session, elm: Actor) -> None:
    one, far = copy(session, bits(0), side=900), copy(session, bits(28))
    own = copy(session, bits(24, start=4), caption=SAID)
    assert labels(session, one, far, own) == ["kept", "likely copy", "likely same"]
    group = group_with(session, one)
    assert [g.id for g in queries.listed(session, "look", None, 9)] == [group.id]
    actions.confirm(session, elm, group.id, group.version)
    assert labels(session, one, far, own) == ["kept", "copy", "kept"]
    assert queries.listed(session, "look", None, 9) == []
    copy(session, bits(26, start=100))
    assert len(queries.listed(session, "look", None, 9)) == 1


def test_joined_pictures_stay_joined_whatever_their_hashes_say(session: Session, elm: Actor) -> None:
    left = [copy(session, bits(0), side=900), copy(session, bits(2))]
    right = [copy(session, bits(100), side=700), copy(session, bits(102))]
    group = group_with(session, left[0])
    actions.merge(session, elm, group.id, group.version, group_with(session, right[0]).id, other_is_group=True)
    assert groups(session) == {frozenset({*left, *right})}
    assert states(session, *left, *right) == ["kept", "copy", "copy", "copy"]
    look(session, {right[0]: bits(100)})
    assert groups(session) == {frozenset({*left, *right})}


def test_a_candidate_without_copies_is_joined_by_its_number(session: Session, elm: Actor) -> None:
    one, other, lone = copy(session, bits(0)), copy(session, bits(2)), copy(session, bits(100), side=900)
    group = group_with(session, one)
    actions.merge(session, elm, group.id, group.version, lone, other_is_group=False)
    assert groups(session) == {frozenset({one, other, lone})}
    assert states(session, one, other, lone) == ["copy", "copy", "kept"]


def test_joining_takes_back_the_splits_between(session: Session, elm: Actor) -> None:
    left, right = [copy(session, bits(0)), copy(session, bits(2))], [copy(session, bits(28)), copy(session, bits(30))]
    split(session, elm, *right)
    group = group_with(session, left[0])
    actions.merge(session, elm, group.id, group.version, right[1], other_is_group=False)
    assert groups(session) == {frozenset({*left, *right})}
    assert session.scalars(select(DuplicateEdit.kind)).all() == [DuplicateEditKind.MERGE]


@pytest.mark.parametrize(("other", "is_group"), [(2**62, True), (2**62, False)])
def test_what_is_not_there_can_not_be_joined(session: Session, elm: Actor, other: int, is_group: bool) -> None:
    one, _ = copy(session, bits(0)), copy(session, bits(2))
    group = group_with(session, one)
    with pytest.raises(Invalid, match="There is no"):
        actions.merge(session, elm, group.id, group.version, other, other_is_group=is_group)
    with pytest.raises(Invalid, match="in this group already"):
        actions.merge(session, elm, group.id, group.version, one, other_is_group=False)
    with pytest.raises(NotFound):
        actions.merge(session, elm, 2**62, group.version, one, other_is_group=False)


# --- the kept one -------------------------------------------------------------------------------


def keep(session: Session, elm: Actor, candidate_id: int) -> None:
    group = group_with(session, candidate_id)
    actions.keep(session, elm, group.id, group.version, candidate_id)


def test_the_copy_that_someone_chose_stays_the_kept_one(session: Session, elm: Actor) -> None:
    large, small = copy(session, bits(0), side=900), copy(session, bits(2))
    twin = copy(session, bits(2), image_of=small)
    keep(session, elm, small)
    assert states(session, large, small, twin) == ["copy", "kept", "copy"]
    look(session, {small: bits(2)})
    larger = copy(session, bits(4), side=1200)
    assert states(session, large, small, twin, larger) == ["copy", "kept", "copy", "copy"]
    keep(session, elm, twin)
    assert states(session, large, small, twin, larger) == ["copy", "copy", "kept", "copy"]


def test_a_lease_on_the_copy_that_was_kept_is_not_taken_away(session: Session, elm: Actor) -> None:
    large, small = copy(session, bits(0), side=900), copy(session, bits(2))
    enqueue(session, large)
    alder = make_person(session, "alder")
    leases.hold(session, alder)
    keep(session, elm, small)
    assert states(session, large, small) == ["kept", "kept"]
    assert session.get_one(FindingNow, (large, "sameness")).score == 0.0
    (job,) = session.scalars(select(Job).where(Job.kind == "threshold")).all()
    assert job.arguments == {"stage": "sameness"}
    leases.release(session, alder, FAR)
    from app.prefilter.actions import apply_threshold

    assert apply_threshold(session, "sameness", 0)[0] == 1
    assert states(session, large) == ["copy"]


def test_a_reviewed_copy_stays_the_kept_one(session: Session, elm: Actor) -> None:
    small, large = copy(session, bits(0)), copy(session, bits(2), side=500)
    enqueue(session, small)
    alder = make_person(session, "alder")
    (lease,) = leases.hold(session, alder)
    curation.decide(session, alder, decision(lease, ReviewKind.ACCEPT))
    larger = copy(session, bits(4), side=1200)
    assert states(session, small, large, larger) == ["kept", "copy", "copy"]
    with pytest.raises(Conflict, match="was reviewed"):
        keep(session, elm, larger)
    with pytest.raises(Conflict, match="kept already"):
        keep(session, elm, small)
    split(session, elm, small)
    assert session.get_one(Candidate, small).state is S.ACCEPTED
    assert states(session, large, larger) == ["copy", "kept"]


@pytest.mark.parametrize("framed_first", [True, False])
def test_bars_around_a_picture_do_not_make_it_the_larger_one(session: Session, framed_first: bool) -> None:
    plain, framed = arrive(session, side=1000), arrive(session, side=1100)
    for id_ in (framed, plain) if framed_first else (plain, framed):
        look(session, {id_: bits(0)}, content=0.8 if id_ == framed else 1.0)
    assert states(session, plain, framed) == ["kept", "copy"]
    recording.regroup(session, recording.hold_sameness(session), group_with(session, plain).image_ids)
    assert states(session, plain, framed) == ["kept", "copy"]


def test_a_copy_that_another_stage_stopped_takes_nobodys_place(session: Session) -> None:
    large = copy(session, bits(0), side=900)
    moves.filter_out(session, [large], "domain")
    small = copy(session, bits(2))
    assert session.get_one(Candidate, small).state is S.FILTERING
    assert session.get_one(Candidate, large).stopped_by == "domain"


# --- taking back --------------------------------------------------------------------------------


def test_each_edit_can_be_taken_back_the_last_one_first(session: Session, elm: Actor) -> None:
    one, far, third = copy(session, bits(0), side=900), copy(session, bits(28)), copy(session, bits(2))
    lone = copy(session, bits(120, start=90))

    def now() -> tuple[object, ...]:
        words = session.execute(select(DuplicateEdit.image_a, DuplicateEdit.image_b, DuplicateEdit.kind)).all()
        return groups(session), {tuple(row) for row in words}, states(session, one, far, third, lone)

    def group() -> queries.Group:
        return group_with(session, one)

    steps = [
        lambda: actions.confirm(session, elm, group().id, group().version),
        lambda: actions.split(session, elm, group().id, group().version, [far]),
        lambda: actions.keep(session, elm, group().id, group().version, third),
        lambda: actions.merge(session, elm, group().id, group().version, far, other_is_group=False),
        lambda: actions.merge(session, elm, group().id, group().version, lone, other_is_group=False),
    ]
    seen = []
    for step in steps:
        seen.append(now())
        step()
        assert now() != seen[-1]
    while seen:
        actions.undo(session, elm)
        assert now() == seen.pop()
    with pytest.raises(Conflict, match="no edit of yours"):
        actions.undo(session, elm)


def test_what_another_admin_said_since_is_not_taken_back(session: Session, elm: Actor) -> None:
    yew = make_person(session, "yew", Role.ADMIN)
    one, other, third = copy(session, bits(0)), copy(session, bits(20)), copy(session, bits(2))
    split(session, elm, other)
    group = group_with(session, one)
    actions.merge(session, yew, group.id, group.version, other, other_is_group=False)
    with pytest.raises(Conflict, match="Someone said something else"):
        actions.undo(session, elm)
    assert groups(session) == {frozenset({one, other, third})}


def test_an_edit_is_an_event_without_text_of_posts(session: Session, elm: Actor) -> None:
    one, other = copy(session, bits(0)), copy(session, bits(20))
    split(session, elm, other)
    event = session.scalars(select(Event).where(Event.act == "duplicate.split")).one()
    a, b = sorted(session.get_one(Candidate, id_).image_id for id_ in (one, other))
    assert event.user_id == elm.user_id
    assert event.details == {"pairs": [[a, b, None, "split"]]}


def test_nothing_is_found_twice_when_nothing_changed(session: Session) -> None:
    one, other = copy(session, bits(0)), copy(session, bits(2))
    before = session.scalar(select(func.count()).select_from(Finding))
    session.execute(update(Candidate).where(Candidate.id == one).values(priority=1))
    look(session, {one: bits(0)})
    recording.regroup(session, recording.hold_sameness(session), group_with(session, other).image_ids)
    assert session.scalar(select(func.count()).select_from(Finding)) == before
