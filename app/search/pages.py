"""What a search shows, put together from the queries: results, or why there are none yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from psycopg.errors import QueryCanceled
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app import presence
from app.accounts.policies import Actor
from app.candidates import queries as candidates
from app.candidates.forms import By, ListForm
from app.errors import NotFound
from app.prefilter.queries import encoder_in_use
from app.search import actions, queries
from app.search.fusion import fused
from app.search.marks import Stretch, stretches
from app.search.queries import Excerpt, Ids, TsQuery
from app.search.words import Typed, typed
from app.tables import Encoder, EncoderKind, Job, JobState, QueryVector, Weights

PAGE = 50

Note = tuple[str, str]  # tone and sentence


@dataclass(frozen=True)
class Ranking:
    """Candidates in the order of a search, at most 200, and what to tell of it.

    `query` marks matched words and `authors` were named; `near` holds cosines. `waiting` is the job that the
    search waits for; `failed` the key of a vector that could not be made.
    """

    ids: Sequence[int] = ()
    query: TsQuery | None = None
    authors: Sequence[int] = ()
    near: Mapping[int, float] = field(default_factory=dict)
    notes: Sequence[Note] = ()
    waiting: Job | None = None
    failed: str = ""
    may_widen: bool = False


@dataclass(frozen=True)
class Matched:
    """The words that matched in one candidate: in the caption that the list shows, elsewhere, or its author's name."""

    shown: Sequence[Stretch] = ()
    elsewhere: Sequence[Stretch] = ()
    author: str = ""


@dataclass(frozen=True)
class Found:
    """One page of a search's results, the best first."""

    rows: Sequence[candidates.Listed]
    ranking: Ranking
    matched: Mapping[int, Matched]
    following: int | None
    served: bool


def found(session: Session, actor: Actor, wanted: ListForm) -> Found:
    """The page of results that begins after `wanted.after`."""
    made = ranking(session, actor, wanted)
    ids = list(made.ids[wanted.after : wanted.after + PAGE])
    rows = candidates.listed_as(session, actor, ids, wanted.stage)
    following = wanted.after + PAGE if len(made.ids) > wanted.after + PAGE else None
    served = not made.waiting or made.waiting.queue.value in presence.served_queues(session)
    return Found(rows, made, matched(session, ids, made), following, served)


def ranking(session: Session, actor: Actor, wanted: ListForm, *, to_review: bool = False) -> Ranking:
    """The whole order of a search. One that takes too long is stopped, and says so."""
    ids = queries.searchable(actor, wanted.filter(), to_review=to_review)
    by = {By.WORDS: _by_words, By.MEANING: _by_meaning, By.BOTH: _by_both, By.IMAGE: _by_image}[wanted.by]
    try:
        with session.begin_nested():
            queries.set_limits(session)
            made = by(session, actor, wanted, ids)
            queries.lift_time_limit(session)
            return made
    except OperationalError as error:
        if not isinstance(error.orig, QueryCanceled):
            raise
        limit = queries.TIMEOUT_MS // 1000
        return Ranking(notes=[("warn", f"This took longer than {limit} s and was stopped. Add a word or a filter.")])


# --- words --------------------------------------------------------------------------------------


def _by_words(session: Session, _actor: Actor, wanted: ListForm, ids: Ids) -> Ranking:
    """What is said as it was typed; where nothing is, or on request, what says words like these."""
    sought = typed(wanted.q)
    authors = queries.authors_like(session, sought.author) if sought.author else []
    if sought.author:
        ids = queries.of_authors(ids, authors)
    if not sought.text:
        return Ranking(queries.newest(session, ids), authors=authors)
    made = _as_typed(session, sought, ids)
    if not made.ids or wanted.similar:
        made = _with_similar(session, sought, ids, made)
    return replace(made, authors=[*authors, *made.authors])


def _as_typed(session: Session, sought: Typed, ids: Ids) -> Ranking:
    query = queries.said(sought.text)
    hits = queries.by_words(session, ids, query)
    authors = queries.authors_called(session, sought.name) if sought.name else []
    posted = queries.newest(session, queries.of_authors(ids, authors)) if authors else []
    both = list(dict.fromkeys([*hits, *posted]))[: queries.MOST]
    return Ranking(both, query, authors, may_widen=0 < len(both) < PAGE)


def _with_similar(session: Session, sought: Typed, ids: Ids, exact: Ranking) -> Ranking:
    """The results as typed, then those where each unknown word (on request: each) may be another like it."""
    widens = bool(exact.ids)
    near = {
        word: similar
        for word in sought.words
        if (widens or not queries.is_said(session, word)) and (similar := queries.near_words(session, word))
    }
    authors = queries.authors_like(session, sought.name) if sought.name and not exact.authors else exact.authors
    posted = queries.newest(session, queries.of_authors(ids, authors)) if authors else []
    if not near:
        return replace(exact, ids=list(dict.fromkeys([*exact.ids, *posted])), authors=authors, may_widen=False)
    query = queries.all_of([queries.any_of([word, *near.get(word, ())]) for word in sought.words])
    hits = queries.by_words(session, ids, query)
    said = "; ".join(f"“{word}”: {', '.join(similar)}" for word, similar in near.items())
    note = ("info", f"{'Also' if widens else 'Nothing has exactly these words, so'} shown: words like {said}.")
    merged = list(dict.fromkeys([*exact.ids, *hits, *posted]))[: queries.MOST]
    return Ranking(merged, query, authors, notes=[note])


def any_of(query: str) -> str:
    """A query of several plain words as one that any of them answers; empty for others."""
    words = typed(query).text.split()
    return " or ".join(words) if len(words) > 1 and all(word.isalnum() for word in words) else ""


def matched(session: Session, ids: Sequence[int], made: Ranking) -> dict[int, Matched]:
    """Candidate → what matched in it, for those where words did."""
    excerpts = queries.excerpts(session, ids, made.query) if made.query is not None and ids else {}
    labels = queries.labels_of_authors(session, ids, made.authors) if made.authors and ids else {}
    return {id_: _matched(excerpts.get(id_), labels.get(id_, "")) for id_ in {*excerpts, *labels}}


def _matched(excerpt: Excerpt | None, author: str) -> Matched:
    cut = stretches(excerpt.marked) if excerpt else []
    if excerpt and excerpt.is_shown:
        return Matched(shown=cut, author=author)
    return Matched(elsewhere=cut, author=author)


# --- meaning and likeness -----------------------------------------------------------------------


def _by_meaning(session: Session, actor: Actor, wanted: ListForm, ids: Ids) -> Ranking:
    encoder = encoder_in_use(session)
    if encoder is None:
        return Ranking(notes=[NOTHING_EMBEDDED])
    if encoder.kind is not EncoderKind.IMAGE_TEXT:
        pictures_only = f"{encoder.name}, the encoder in use, reads pictures only: it can’t search by meaning."
        return Ranking(notes=[("warn", f"{pictures_only} Search by words, or by an image.")])
    row = actions.want_text(session, actor, encoder, wanted.q)
    warn = f"{encoder.name} has random weights: what it puts first says nothing of meaning."
    return _near_query(session, ids, encoder, row, warn)


def _by_both(session: Session, actor: Actor, wanted: ListForm, ids: Ids) -> Ranking:
    """Words and meaning fused. Until the vector is there, or where there is none, words alone."""
    words, meaning = (by(session, actor, wanted, ids) for by in (_by_words, _by_meaning))
    order = fused([words.ids, list(meaning.near)])[: queries.MOST]
    notes = [*words.notes, *meaning.notes]
    if meaning.waiting and words.ids:
        notes.append(("info", "These are by words alone until the meaning is there."))
    return replace(meaning, ids=order, query=words.query, authors=words.authors, notes=notes)


def _by_image(session: Session, actor: Actor, wanted: ListForm, ids: Ids) -> Ranking:
    encoder = encoder_in_use(session)
    if encoder is None:
        return Ranking(notes=[NOTHING_EMBEDDED])
    warn = f"{encoder.name} has random weights: alike means alike in colours and layout at best."
    if wanted.like:
        return _like_candidate(session, actor, encoder, wanted.like, ids, warn)
    row = queries.query_vector(session, encoder.id, wanted.picture)
    if row is None:
        return Ranking(notes=[("warn", "This picture is no longer kept. Choose it again.")])
    return _near_query(session, ids, encoder, row, warn)


def _like_candidate(
    session: Session, actor: Actor, encoder: Encoder, candidate_id: int, ids: Ids, warn: str
) -> Ranking:
    try:
        candidate = candidates.readable(session, actor, candidate_id)
    except NotFound as error:
        return Ranking(notes=[("warn", error.message)])
    if not queries.has_vector(session, encoder, candidate.image_id):
        return Ranking(notes=[("warn", f"C-{candidate_id} is not embedded yet; its stages still run, or stopped it.")])
    near = partial(queries.nearest, session, ids, encoder)
    others = {id_: near_ for id_, near_ in near(queries.vector_of_image(encoder, candidate.image_id)).items()}
    others.pop(candidate_id, None)
    return Ranking(list(others), near=others, notes=_random(encoder, warn))


def _near_query(session: Session, ids: Ids, encoder: Encoder, row: QueryVector, warn: str) -> Ranking:
    """Nearest to what was searched by; or the job that makes its vector, or why that failed."""
    if row.vec is not None:
        near = queries.nearest(session, ids, encoder, queries.vector_of_query(encoder, row.sha256))
        return Ranking(list(near), near=near, notes=_random(encoder, warn))
    job = session.get(Job, row.job_id) if row.job_id else None
    if job and actions.is_open(session, row):
        return Ranking(waiting=job)
    why = job.error if job and job.state is JobState.FAILED else "It was stopped."
    retry = row.text is not None or actions.waiting_picture(row.sha256).exists()
    return Ranking(notes=[("bad", f"This could not be embedded. {why}")], failed=row.sha256 if retry else "")


def _random(encoder: Encoder, warn: str) -> list[Note]:
    return [("warn", warn)] if encoder.weights is Weights.RANDOM else []


NOTHING_EMBEDDED = ("warn", "No picture is embedded yet, so there is nothing to compare with. Search by words.")


def context(made: Found, wanted: ListForm) -> dict[str, Any]:
    """What the list's template shows of a search."""
    following = wanted.query(after=made.following) if made.following else ""
    waiting = made.ranking.waiting
    return {
        "rows": made.rows,
        "next_url": f"?{following}" if following else None,
        "search": made,
        "unserved": waiting.queue.value if waiting and not made.served else "",
    }
