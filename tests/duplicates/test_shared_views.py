"""Pictures of one view: what joins them, what is dropped for it, what people say of it, and how they are found."""

import io
import random

import numpy as np
import pytest
from PIL import Image as Picture
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.curation import moves
from app.db import transaction
from app.duplicates import actions, queries
from app.encoders.policies import index_name
from app.prefilter import due, lookalikes, pdq, recording, stages
from app.prefilter.grouping import Match
from app.tables import Candidate, CandidateState, Embedding, Encoder, Finding, Image, ImageMatch, Role
from tests.duplicates.copying import arrive, bits, copy, cut_from, group_with, groups, labels, look, states, view
from tests.factories import make_person
from tests.prefilter.test_bad_input_of_stages import run_one
from tests.prefilter.test_pipeline import arrive as import_
from tests.prefilter.test_pipeline import quiet  # noqa: F401  # a fixture

FAR = 2**200 - 1  # a hash that is 200 bits from another says nothing of the two
OTHER = "A lymph node with metastatic melanoma, HMB45."


@pytest.fixture
def elm(session: Session) -> Actor:
    return make_person(session, "elm", Role.ADMIN)


# --- what joins and what is dropped -------------------------------------------------------------


@pytest.mark.parametrize(
    ("agrees", "covers", "joined", "sure"),
    [
        (0.9, (1.0, 0.7), True, True),
        (0.9, (0.5, 1.0), True, False),
        (0.8, (1.0, 1.0), False, False),
        (1.0, (1.0, 0.4), False, False),
        (1.0, (0.8, 0.8), False, False),
    ],
)
def test_what_nearly_all_of_one_picture_and_half_of_the_other_show_makes_them_copies(
    agrees: float, covers: tuple[float, float], joined: bool, sure: bool
) -> None:
    seen = Match((1, 2), 0.9, agrees, covers)
    assert (seen.is_copy, seen.is_sure) == (joined, sure)


def test_a_cut_picture_with_the_same_caption_is_dropped_for_the_whole_one(session: Session) -> None:
    whole = copy(session, bits(0), side=900)
    cut = cut_from(session, whole, bits(0) ^ FAR)
    assert groups(session) == {frozenset({whole, cut})}
    assert (states(session, whole, cut), labels(session, whole, cut)) == (["kept", "copy"], ["kept", "copy"])
    assert group_with(session, whole).kind == "semantic"


def test_the_whole_picture_that_comes_later_takes_the_place_of_the_cut_one(session: Session) -> None:
    cut = copy(session, bits(0) ^ FAR, side=500)
    whole = arrive(session, side=900)
    look(session, {whole: bits(0)}, views=[view(session, cut, whole)])
    assert states(session, cut, whole) == ["copy", "kept"]


def test_a_cut_picture_with_another_caption_goes_on_in_the_group(session: Session) -> None:
    whole = copy(session, bits(0), side=900)
    cut = cut_from(session, whole, bits(0) ^ FAR, caption=OTHER)
    assert groups(session) == {frozenset({whole, cut})}
    assert states(session, whole, cut) == ["kept", "kept"]


def test_half_of_a_larger_picture_is_never_dropped_until_someone_says_that_it_is_right(
    session: Session, elm: Actor
) -> None:
    whole = copy(session, bits(0), side=900)
    half = cut_from(session, whole, bits(0) ^ FAR, part=0.5)
    twin = copy(session, bits(2) ^ FAR, side=300)
    assert states(session, whole, half, twin) == ["kept", "kept", "copy"]
    assert labels(session, whole, half, twin) == ["kept", "likely same", "likely copy"]
    assert [group.id for group in queries.listed(session, "look", None, 9)] == [group_with(session, whole).id]
    group = group_with(session, whole)
    actions.confirm(session, elm, group.id, group.version)
    assert states(session, whole, half, twin) == ["kept", "copy", "copy"]
    assert queries.listed(session, "look", None, 9) == []
    actions.undo(session, elm)
    assert states(session, whole, half, twin) == ["kept", "kept", "copy"]


def test_the_finding_says_where_the_view_lies_and_the_group_shows_it(session: Session) -> None:
    whole = copy(session, bits(0), side=900)
    cut = cut_from(session, whole, bits(0) ^ FAR, part=0.7)
    found = session.scalars(select(Finding).where(Finding.candidate_id == cut)).one()
    assert found.evidence["view"]["cosine"] == 0.9
    shown = group_with(session, cut).copies[1]
    assert (shown.share, shown.bits) == (0.7, None)
    assert shown.boxes == [
        {"x": 0.1, "y": 0.2, "width": 0.8, "height": 0.7, "kind": "view"},
        {"x": 0.0, "y": 0.0, "width": 1.0, "height": 1.0, "kind": "view"},
    ]


# --- people's words and what changes ------------------------------------------------------------


def test_a_split_of_a_shared_view_holds_when_the_stage_runs_again(session: Session, elm: Actor) -> None:
    whole = copy(session, bits(0), side=900)
    cut = cut_from(session, whole, bits(0) ^ FAR)
    group = group_with(session, whole)
    assert actions.split(session, elm, group.id, group.version, [cut]) == [cut]
    assert (groups(session), states(session, whole, cut)) == (set(), ["kept", "kept"])
    look(session, {cut: bits(0) ^ FAR}, views=[view(session, cut, whole)])
    assert groups(session) == set()
    actions.undo(session, elm)
    assert groups(session) == {frozenset({whole, cut})}


def test_what_was_seen_holds_for_those_that_come_later_with_the_same_picture(session: Session) -> None:
    whole = copy(session, bits(0), side=900)
    cut = cut_from(session, whole, bits(0) ^ FAR)
    moves.withdraw(session, [whole])
    recording.regroup(session, recording.hold_sameness(session), {session.get_one(Candidate, cut).image_id})
    assert labels(session, cut) == ["only"]
    again = copy(session, bits(0), image_of=whole)
    assert [c.member.candidate_id for c in group_with(session, cut).copies] == [again, cut]
    assert states(session, cut, again) == ["copy", "kept"]


def test_copies_of_two_cuts_are_one_group_by_way_of_the_whole_picture(session: Session) -> None:
    whole = copy(session, bits(0), side=900)
    left, right = (cut_from(session, whole, bits(0) ^ (FAR << shift)) for shift in (0, 40))
    assert groups(session) == {frozenset({whole, left, right})}
    assert group_with(session, whole).cosines == [0.9, 0.9]


# --- which are compared -------------------------------------------------------------------------


@pytest.fixture
def encoder(session: Session) -> Encoder:
    made = Encoder(name="three", source="timm", model="three", width=3, kind="image", weights="trained")
    session.add(made)
    session.flush()
    return made


def placed(session: Session, encoder: Encoder, vectors: list[list[float]]) -> list[int]:
    """Images with these vectors, and hashes that are far from each other."""
    rows = [
        {"sha256": f"{n:064x}", "source_sha256": f"{n:064x}", "width": 1, "height": 1, "size": 1}
        | {"pdq": pdq.to_text(random.Random(n).getrandbits(pdq.BITS)), "pdq_quality": 100}
        for n in range(len(vectors))
    ]
    ids = list(session.scalars(insert(Image).returning(Image.id, sort_by_parameter_order=True), rows))
    session.execute(
        insert(Embedding),
        [{"image_id": id_, "encoder_id": encoder.id, "vec": vec} for id_, vec in zip(ids, vectors, strict=True)],
    )
    return ids


def test_the_nearest_vectors_are_compared_but_for_known_copies_and_what_is_too_far(
    session: Session, encoder: Encoder
) -> None:
    one, same, near, nearer, far = placed(
        session, encoder, [[1, 0, 0], [1, 0, 0], [0.8, 0.6, 0], [0.9, 0.4, 0], [0, 0, 1]]
    )
    session.get_one(Image, same).pdq = session.get_one(Image, one).pdq
    session.flush()
    hash_ = pdq.telling(session.get_one(Image, one).pdq, 100)
    assert [found.image_id for found in lookalikes.likely(session, encoder, one, hash_, 31)] == [nearer, near]
    assert lookalikes.likely(session, encoder, 2**40, None, 31) == []
    lookalikes.save(session, [Match((one, near), 0.8, 1.0, (1.0, 1.0))])
    assert [found.image_id for found in lookalikes.likely(session, encoder, one, hash_, 31)] == [nearer]
    assert lookalikes.likely(session, encoder, far, None, 31) == []


def test_the_search_for_the_nearest_reads_the_index_of_the_encoder(session: Session, encoder: Encoder) -> None:
    placed(session, encoder, [[1, 0, n / 9] for n in range(9)])
    name = index_name(encoder.id)
    session.execute(text("RESET ROLE"))
    session.execute(
        text(
            f"CREATE INDEX {name} ON embedding USING hnsw ((vec::vector(3)) vector_cosine_ops) "
            f"WHERE encoder_id = {encoder.id}"
        )
    )
    session.execute(text("SET LOCAL enable_seqscan = off"))
    session.execute(text("SET LOCAL enable_sort = off"))
    vector = [1.0, 0.0, 0.0]
    options = {"render_postcompile": True}
    statement = lookalikes.nearest(encoder, vector).compile(session.get_bind(), compile_kwargs=options)
    values = {name: str(value) if value == vector else value for name, value in statement.params.items()}
    explained = session.connection().exec_driver_sql(f"EXPLAIN {statement}", values)
    assert any(name in line for (line,) in explained)


# --- the stage itself ---------------------------------------------------------------------------


def texture(seed: int) -> Picture.Image:
    """Blots of many sizes, different for every seed."""
    chance, made = np.random.default_rng(seed), np.zeros((640, 640, 3))
    for side in (8, 20, 50, 120):
        noise = Picture.fromarray(chance.integers(0, 255, (side, side, 3), dtype=np.uint8))
        made += np.asarray(noise.resize((640, 640), Picture.Resampling.BICUBIC), dtype=float) / 4
    return Picture.fromarray(made.astype(np.uint8))


def as_jpeg(picture: Picture.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


@pytest.mark.usefixtures("own_database", "quiet")
def test_the_stage_finds_a_cut_and_mirrored_copy_and_leaves_another_picture_alone() -> None:
    whole = texture(1)
    cut = whole.crop((60, 50, 560, 590)).transpose(Picture.Transpose.FLIP_LEFT_RIGHT)
    with transaction() as session:
        ids = [import_(session, as_jpeg(picture)) for picture in (whole, texture(2), cut)]
        due.forget(session, ids)
        due.due(session, stages.BY_NAME["sameness"], ids)
    assert run_one("sameness").error == ""
    with transaction() as session:
        first, other, third = (session.get_one(Candidate, id_) for id_ in ids)
        assert groups(session) == {frozenset({first.id, third.id})}
        assert [c.state for c in (first, other)] == [CandidateState.FILTERING] * 2
        assert third.stopped_by == "sameness"
        (match,) = session.scalars(select(ImageMatch))
        assert (match.image_a, match.image_b) == (first.image_id, third.image_id)
        assert match.evidence["turned"] == "mirrored"
        assert match.evidence["boxes"][0] == pytest.approx([60 / 640, 50 / 640, 500 / 640, 540 / 640], abs=0.02)
        assert (match.covers_a, match.covers_b) == (pytest.approx(0.66, abs=0.02), pytest.approx(1, abs=0.02))
