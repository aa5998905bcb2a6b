"""Candidates by words, by meaning and by likeness. Who may see what is decided by `candidates.queries`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    cast,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.candidates import queries as candidates
from app.candidates.queries import Filter
from app.search.marks import START, STOP
from app.search.words import SHORTEST
from app.tables import (
    Author,
    Candidate,
    CandidateState,
    Caption,
    CaptionKind,
    Embedding,
    Encoder,
    Post,
    QueryVector,
)

MOST = 200  # results of a search
RANKED = 1000  # of all that match, the newest are ranked
TIMEOUT_MS = 2000
ENGLISH: ColumnElement[Any] = literal_column("'english'::regconfig")
NEAR_WORD = 0.5  # pg_trgm's word similarity

Ids = Select[int]
TsQuery = ColumnElement[Any]

# hnsw.*: an index on vectors goes on until enough of what it finds passes the filters (pgvector 0.8).
# A plan is made for the words at hand: one for any words would take common ones to be rare.
LIMITS = text(
    """SELECT set_config('statement_timeout', :timeout, true), set_config('plan_cache_mode', 'force_custom_plan', true),
    set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', '200', true),
    set_config('pg_trgm.word_similarity_threshold', :near_word, true)"""
)


def set_limits(session: Session) -> None:
    """How long a statement of this transaction may take from now on, and how indexes are searched."""
    session.execute(LIMITS, {"timeout": str(TIMEOUT_MS), "near_word": str(NEAR_WORD)})


def lift_time_limit(session: Session) -> None:
    session.execute(text("SET LOCAL statement_timeout TO DEFAULT"))


def searchable(actor: Actor, wanted: Filter, *, to_review: bool = False) -> Ids:
    """The ids that a search may find; what is withdrawn or withheld nobody finds.

    `to_review` leaves those that this person may still be handed.
    """
    statement = candidates.ids_of(actor, wanted).where(
        Candidate.state != literal(CandidateState.WITHDRAWN, Candidate.state.type, literal_execute=True),
        ~candidates.withheld(),
    )
    return statement.where(candidates.may_be_handed(actor)) if to_review else statement


def newest(session: Session, ids: Ids) -> list[int]:
    return list(session.scalars(ids.order_by(Candidate.id.desc()).limit(MOST)))


# --- words --------------------------------------------------------------------------------------


def said(words: str) -> TsQuery:
    """What a person types, as PostgreSQL's full text search reads it: and, "phrases", or, -not."""
    return func.websearch_to_tsquery(ENGLISH, words)


def by_words(session: Session, ids: Ids, query: TsQuery) -> list[int]:
    """Those with a caption, of any version, that the query matches; the best first, the newest of equals.

    Of more than 1,000 the newest 1,000 are ranked, by cover density (`ts_rank_cd`).
    """
    matches = Caption.words.op("@@")(query)
    hit = ids.where(exists().where(Caption.candidate_id == Candidate.id, matches).correlate(Candidate))
    newest_hits = hit.order_by(Candidate.id.desc()).limit(RANKED).cte("hit")
    rank = func.max(func.ts_rank_cd(Caption.words, query))
    statement = (
        select(newest_hits.c.id)
        .join(Caption, Caption.candidate_id == newest_hits.c.id)
        .where(matches)
        .group_by(newest_hits.c.id)
        .order_by(rank.desc(), newest_hits.c.id.desc())
        .limit(MOST)
    )
    return list(session.scalars(statement))


def authors_called(session: Session, name: str) -> list[int]:
    """The authors of exactly this name, whatever its case."""
    return list(session.scalars(select(Author.id).where(Author.label.ilike(_plain(name), escape="\\")).limit(20)))


def authors_like(session: Session, name: str) -> list[int]:
    """The authors of this name; else those whose name holds it or is spelled nearly so."""
    if exact := authors_called(session, name):
        return exact
    near = func.word_similarity(name, Author.label)
    part = Author.label.ilike(f"%{_plain(name)}%", escape="\\")
    like = or_(part, literal(name).op("<%")(Author.label)) if len(name) >= SHORTEST else part
    return list(session.scalars(select(Author.id).where(like).order_by(near.desc(), Author.id).limit(20)))


def _plain(name: str) -> str:
    """A name in a LIKE pattern, none of its characters a wildcard."""
    return name.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def of_authors(ids: Ids, authors: Sequence[int]) -> Ids:
    return ids.where(Candidate.post_id.in_(select(Post.id).where(Post.author_id.in_(authors))))


def labels_of_authors(session: Session, candidate_ids: Collection[int], authors: Sequence[int]) -> dict[int, str]:
    """Candidate → its author's name, of those by these authors."""
    rows = session.execute(
        select(Candidate.id, Author.label)
        .join(Post, Post.id == Candidate.post_id)
        .join(Author, Author.id == Post.author_id)
        .where(Candidate.id.in_(candidate_ids), Author.id.in_(authors))
    )
    return {id_: label for id_, label in rows}


def near_words(session: Session, word: str) -> list[str]:
    """Other words of captions that are spelled like this one or hold it, the nearest first.

    Some captions that the trigrams fit give the words that they fit: no list of words is kept anywhere.
    """
    if len(word) < SHORTEST:
        return []
    fitting = select(Caption.text).where(
        Caption.kind != literal(CaptionKind.CLEANED, Caption.kind.type, literal_execute=True),
        literal(word).op("<%")(Caption.text),
        _is_shown(),
    )
    captions = fitting.limit(200).subquery()
    split = func.regexp_split_to_table(func.lower(captions.c.text), "[^[:alnum:]]+")
    said = select(split.label("said")).subquery().c.said
    likeness = func.word_similarity(word, said)
    statement = (
        select(said)
        .where(func.length(said) >= SHORTEST, likeness >= NEAR_WORD)
        .group_by(said)
        .order_by(likeness.desc(), func.count().desc(), said)
        .limit(5)
    )
    return [near for near in session.scalars(statement) if near != word]


def _is_shown() -> ColumnElement[bool]:
    """Whether everyone who searches may see the candidate of a caption."""
    of_caption = select(Candidate.id).where(Candidate.id == Caption.candidate_id, candidates.shown_to_reviewers())
    return of_caption.correlate(Caption).exists()


def is_said(session: Session, word: str) -> bool:
    """Whether a caption that may be found says the word, or it is one that full text search passes over."""
    query = func.plainto_tsquery(ENGLISH, word)
    passed_over = func.numnode(query) == 0
    says = exists().where(Caption.words.op("@@")(query), _is_shown())
    return bool(session.scalar(select(or_(passed_over, says))))


def any_of(words: Sequence[str]) -> TsQuery:
    query: TsQuery = func.plainto_tsquery(ENGLISH, words[0])
    for word in words[1:]:
        query = query.op("||")(func.plainto_tsquery(ENGLISH, word))
    return query


def all_of(queries: Sequence[TsQuery]) -> TsQuery:
    """The queries as one that each must match."""
    joined = queries[0]
    for query in queries[1:]:
        joined = joined.op("&&")(query)
    return joined


@dataclass(frozen=True)
class Excerpt:
    """Where a caption matches, with marks (`marks.stretches`); `is_shown` if it is the caption that a list shows."""

    marked: str
    is_shown: bool


SHOWN_AROUND = f"StartSel={START}, StopSel={STOP}, MaxFragments=2, MaxWords=24, MinWords=8, FragmentDelimiter= … "


def excerpts(session: Session, candidate_ids: Sequence[int], query: TsQuery) -> dict[int, Excerpt]:
    """Candidate → the matching part of the caption it shows, else of its newest that matches."""
    is_shown = Caption.id == func.coalesce(Candidate.settled_caption_id, Candidate.caption_id)
    best = (
        select(Caption.candidate_id, Caption.text, is_shown.label("is_shown"))
        .join(Candidate, Candidate.id == Caption.candidate_id)
        .where(Caption.candidate_id.in_(candidate_ids), Caption.words.op("@@")(query))
        .ext(distinct_on(Caption.candidate_id))
        .order_by(Caption.candidate_id, is_shown.desc(), Caption.version.desc())
        .subquery()
    )
    plain = func.translate(best.c.text, START + STOP, "")
    marked = func.ts_headline(ENGLISH, plain, query, SHOWN_AROUND)
    rows = session.execute(select(best.c.candidate_id, marked, best.c.is_shown))
    return {id_: Excerpt(words, shown) for id_, words, shown in rows}


# --- vectors ------------------------------------------------------------------------------------


def query_vector(session: Session, encoder_id: int, sha256: str) -> QueryVector | None:
    return session.get(QueryVector, (encoder_id, sha256))


def vector_of_query(encoder: Encoder, sha256: str) -> ScalarSelect[Any]:
    vec = cast(QueryVector.vec, VECTOR(encoder.width))
    of_query = (QueryVector.encoder_id == encoder.id) & (QueryVector.sha256 == sha256)
    return select(vec).where(of_query).scalar_subquery()


def vector_of_image(encoder: Encoder, image_id: int) -> ScalarSelect[Any]:
    vec = cast(Embedding.vec, VECTOR(encoder.width)).label("vec")
    other = select(Embedding.image_id, Embedding.encoder_id, vec).subquery()
    of_image = (other.c.image_id == image_id) & (other.c.encoder_id == encoder.id)
    return select(other.c.vec).where(of_image).scalar_subquery()


def has_vector(session: Session, encoder: Encoder, image_id: int) -> bool:
    return session.get(Embedding, (image_id, encoder.id)) is not None


def nearest(session: Session, ids: Ids, encoder: Encoder, target: ScalarSelect[Any]) -> Mapping[int, float]:
    """Candidate → cosine of its image's vector with the target's, the nearest first.

    The condition and the cast are spelled, with literals, as in the partial index of an encoder:
    `((vec::vector(WIDTH)) vector_cosine_ops) WHERE encoder_id = N`.
    """
    vec = cast(Embedding.vec, VECTOR(encoder.width))
    distance = vec.cosine_distance(target)
    rows = session.execute(
        ids.add_columns(distance)
        .join(Embedding, Embedding.image_id == Candidate.image_id)
        .where(Embedding.encoder_id == literal(encoder.id, Embedding.encoder_id.type, literal_execute=True))
        .order_by(distance)
        .limit(MOST)
    )
    return {row[0]: 1 - row[1] for row in rows}
