"""What the pre-filter's pages and workers read."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, false, func, literal, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, aliased

from app import jobs
from app.errors import NotFound
from app.prefilter import stages
from app.prefilter.languages import CODES, language_name
from app.prefilter.policies import StageInput, Version, is_reviewed, only_ranks
from app.tables import (
    Author,
    Candidate,
    CandidateState,
    Caption,
    CaptionKind,
    Classifier,
    Embedding,
    Encoder,
    Finding,
    FindingNow,
    Image,
    Job,
    Label,
    LabelSet,
    Outcome,
    Post,
    Stage,
    StageTodo,
)

offered_caption = aliased(Caption)
beside = aliased(Candidate)


def stage_row(session: Session, name: str) -> Stage:
    """A stage's setting in force. Raises NotFound."""
    row = session.get(Stage, name)
    if row is None:
        raise NotFound(f"There is no stage {name[:40]}.")
    return row


def newer_versions(session: Session) -> dict[str, str]:
    """Stages of which this program has a newer version than the one in force."""
    rows = session.execute(select(Stage.name, Stage.active_version).order_by(Stage.name))
    in_code = {name: stage.version for name, stage in stages.BY_NAME.items()}
    return {name: in_code[name] for name, version in rows if int(in_code[name]) > int(version)}


def thresholds(session: Session) -> dict[str, float | None]:
    """Stage → its line; None for one without, or whose scores only put the queue in order."""
    return {row.name: None if only_ranks(row.setting) else row.threshold for row in session.scalars(select(Stage))}


def stops(row: Stage) -> ColumnElement[bool]:
    """The condition on a finding by which the stage's setting in force stops a candidate."""
    if row.name == "language":
        reviewed = row.setting.get("reviewed")
        return false() if reviewed is None else FindingNow.label.not_in(reviewed)
    return false() if only_ranks(row.setting) else FindingNow.score < row.threshold


def stopped_before(session: Session, stage: str, candidate_ids: Sequence[int]) -> dict[int, str]:
    """Candidate → the first stage before this one that stops it by its newest finding."""
    now = FindingNow.candidate_id.in_(candidate_ids) & FindingNow.stale.is_(False)
    found: dict[int, str] = {}
    for name in reversed(stages.NAMES[: stages.NAMES.index(stage)]):
        row = stage_row(session, name)
        if row.threshold is not None or name == "language":
            of_stage = select(FindingNow.candidate_id).where(now, FindingNow.stage == name, stops(row))
            found |= dict.fromkeys(session.scalars(of_stage), name)
    return found


def reviewed_languages(session: Session) -> Sequence[str] | None:
    """The codes that go on to reviewers; None for all."""
    reviewed: Sequence[str] | None = stage_row(session, "language").setting.get("reviewed")
    return reviewed


@dataclass(frozen=True)
class LanguageChoice:
    code: str
    name: str
    candidates: int
    reviewed: bool


def language_choices(session: Session) -> list[LanguageChoice]:
    """Every language that the stage tells apart, with how many candidates have their caption in it."""
    rows = session.execute(
        select(FindingNow.label, func.count())
        .join(Candidate, Candidate.id == FindingNow.candidate_id)
        .where(FindingNow.stage == "language", Candidate.state != CandidateState.WITHDRAWN)
        .group_by(FindingNow.label)
    )
    counts, reviewed = {code: count for code, count in rows}, reviewed_languages(session)
    return [
        LanguageChoice(code, language_name(code), counts.get(code, 0), is_reviewed(code, reviewed)) for code in CODES
    ]


@dataclass(frozen=True)
class Sample:
    candidate_id: int
    sha256: str
    score: float
    caption: str


def edge(session: Session, name: str, threshold: float, *, above: bool, count: int = 8) -> list[Sample]:
    """The candidates nearest to the threshold on one side."""
    side = FindingNow.score >= threshold if above else FindingNow.score < threshold
    order = FindingNow.score.asc() if above else FindingNow.score.desc()
    rows = session.execute(
        select(Candidate.id, Image.sha256, func.coalesce(FindingNow.score, 0.0), func.coalesce(Caption.text, ""))
        .join(Candidate, Candidate.id == FindingNow.candidate_id)
        .join(Image, Image.id == Candidate.image_id)
        .outerjoin(Caption, Caption.id == Candidate.caption_id)
        .where(FindingNow.stage == name, side, Candidate.state != CandidateState.WITHDRAWN)
        .order_by(order, Candidate.id)
        .limit(count)
    )
    return [Sample(*row) for row in rows]


# --- for workers --------------------------------------------------------------------------------


def inputs(session: Session, candidate_ids: Sequence[int]) -> list[StageInput]:
    """Candidates as the stages get them, in id order. The caption is the newest original."""
    newest = (
        select(Caption.candidate_id, func.max(Caption.version).label("version"))
        .where(Caption.candidate_id.in_(candidate_ids), Caption.kind == CaptionKind.RAW)
        .group_by(Caption.candidate_id)
        .subquery()
    )
    rows = session.execute(
        select(
            Candidate.id,
            Image.id,
            Image.sha256,
            Caption.id,
            func.coalesce(Caption.text, ""),
            Candidate.caption_version,
            Candidate.caption_id,
            func.coalesce(offered_caption.text, ""),
            Candidate.post_id,
            Candidate.position,
            select(func.max(beside.position)).where(beside.post_id == Candidate.post_id).scalar_subquery(),
            func.coalesce(Author.label, ""),
        )
        .join(Image, Image.id == Candidate.image_id)
        .join(Post, Post.id == Candidate.post_id)
        .outerjoin(Author, Author.id == Post.author_id)
        .outerjoin(offered_caption, offered_caption.id == Candidate.caption_id)
        .outerjoin(newest, newest.c.candidate_id == Candidate.id)
        .outerjoin(Caption, (Caption.candidate_id == Candidate.id) & (Caption.version == newest.c.version))
        .where(Candidate.id.in_(candidate_ids))
        .order_by(Candidate.id)
    )
    found = [StageInput(*row) for row in rows]
    lines = lineages(session, [item.offered_id for item in found if item.offered_id])
    return [replace(item, versions=lines.get(item.offered_id or 0, ())) for item in found]


def lineages(session: Session, caption_ids: Sequence[int]) -> dict[int, list[Version]]:
    """Caption → what it was made from, from the original on, and itself as the last."""
    start = select(Caption.id.label("of"), Caption.id, Caption.based_on, literal(0).label("back"))
    line = start.where(Caption.id.in_(caption_ids)).cte(recursive=True)
    earlier = select(line.c.of, Caption.id, Caption.based_on, line.c.back + 1).join(line, Caption.id == line.c.based_on)
    line = line.union_all(earlier)
    rows = session.execute(
        select(line.c.of, Caption.id, Caption.made_by, func.coalesce(Caption.text, ""))
        .join(Caption, Caption.id == line.c.id)
        .order_by(line.c.of, line.c.back.desc())
    )
    found: dict[int, list[Version]] = {}
    for of, *version in rows:
        found.setdefault(of, []).append(Version(*version))
    return found


@dataclass(frozen=True)
class SampleCaption:
    post_id: int
    sha256: str
    text: str


def sample_captions(session: Session, count: int) -> list[SampleCaption]:
    """Captions on offer of the oldest candidates, one of each text and by their hashes: nearly the same every day."""
    oldest = (
        select(Candidate.post_id, Caption.text_sha256, func.coalesce(Caption.text, "").label("text"))
        .join(Caption, Caption.id == Candidate.caption_id)
        .where(Candidate.state != CandidateState.WITHDRAWN)
        .order_by(Candidate.id)
        .limit(16 * count)
        .subquery()
    )
    of_text = (
        select(oldest)
        .where(func.btrim(oldest.c.text) != "")
        .ext(distinct_on(oldest.c.text_sha256))
        .order_by(oldest.c.text_sha256, oldest.c.post_id)
        .limit(count)
    )
    return [SampleCaption(*row) for row in session.execute(of_text)]


def input_hash(*parts: object) -> str:
    """One hash of all that a stage looked at."""
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()


def known_findings(session: Session, stage: str, version: str, hashes: dict[int, str]) -> dict[int, Finding]:
    """Candidate → its finding on exactly this input, so that nothing is computed twice."""
    rows = session.scalars(
        select(Finding).where(
            Finding.candidate_id.in_(hashes),
            Finding.stage == stage,
            Finding.stage_version == version,
            Finding.outcome == Outcome.OK,
        )
    )
    return {row.candidate_id: row for row in rows if hashes[row.candidate_id] == row.input_hash}


def labelled(session: Session, stage: str, label: str, candidate_ids: Sequence[int]) -> set[int]:
    """Those of the candidates that a stage labels so now."""
    this = (FindingNow.stage == stage) & (FindingNow.label == label) & FindingNow.stale.is_(False)
    return set(session.scalars(select(FindingNow.candidate_id).where(this, FindingNow.candidate_id.in_(candidate_ids))))


def vectors(session: Session, encoder_id: int, image_ids: Sequence[int]) -> dict[int, Any]:
    """Image → its stored vector (float32 [width]) under an encoder."""
    rows = session.execute(
        select(Embedding.image_id, Embedding.vec).where(
            Embedding.encoder_id == encoder_id, Embedding.image_id.in_(image_ids)
        )
    )
    return {id_: value for id_, value in rows}


def encoder(session: Session, encoder_id: int) -> Encoder:
    """Raises NotFound."""
    found = session.get(Encoder, encoder_id)
    if found is None:
        raise NotFound(f"There is no encoder {encoder_id}.")
    return found


def encoder_by_spec(session: Session, source: str, model: str, pretrained: str) -> Encoder | None:
    return session.scalars(
        select(Encoder).where(Encoder.source == source, Encoder.model == model, Encoder.pretrained == pretrained)
    ).one_or_none()


def classifier_in_use(session: Session) -> Classifier | None:
    number = stage_row(session, "domain").setting.get("classifier")
    return session.get(Classifier, number) if number else None


def label_set(session: Session, label_set_id: int) -> LabelSet:
    """Raises NotFound."""
    found = session.get(LabelSet, label_set_id)
    if found is None:
        raise NotFound(f"There is no label set {label_set_id}.")
    return found


@dataclass(frozen=True)
class LabelledImage:
    image_id: int
    sha256: str
    label: str
    group: str | None


def labels(session: Session, label_set_id: int) -> list[LabelledImage]:
    """The pictures of a label set, in a fixed order."""
    rows = session.execute(
        select(Image.id, Image.sha256, Label.label, Label.group)
        .join(Label, Label.image_id == Image.id)
        .where(Label.label_set_id == label_set_id)
        .order_by(Image.sha256)
    )
    return [LabelledImage(*row) for row in rows]


def waiting(session: Session, stage: str) -> int:
    """How many candidates a stage has still to look at."""
    return session.scalar(select(func.count()).where(StageTodo.stage == stage)) or 0


def open_jobs(session: Session) -> list[Job]:
    """The pre-filter's jobs that wait or run, oldest first."""
    kinds = ("prefilter", "threshold", "rerun", "label_set", "train_classifier", "train_from_reviews", "audit", "order")
    statement = select(Job).where(Job.kind.in_(kinds), Job.state.in_(jobs.OPEN)).order_by(Job.id)
    return list(session.scalars(statement))


def open_stage_jobs(session: Session, stage: str) -> list[int]:
    """The jobs that look at a stage's due candidates."""
    of_stage = (Job.kind == "prefilter") & (Job.arguments["stage"].astext == stage)
    return list(session.scalars(select(Job.id).where(of_stage, Job.state.in_(jobs.OPEN)).order_by(Job.id)))


@dataclass(frozen=True)
class ClassifierFacts:
    """The histology classifier in use, and what it learned from."""

    classifier: Classifier
    encoder: Encoder
    label_set: LabelSet


def classifier_facts(session: Session) -> ClassifierFacts | None:
    classifier = classifier_in_use(session)
    if classifier is None:
        return None
    return ClassifierFacts(
        classifier, encoder(session, classifier.encoder_id), label_set(session, classifier.label_set_id)
    )


def encoder_in_use(session: Session) -> Encoder | None:
    number = stage_row(session, "embedding").setting.get("encoder")
    return session.get(Encoder, number) if number else None
