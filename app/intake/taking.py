"""What a batch of read entries becomes: candidates with their captions, and the ledger's rows.

Imports of the same posts may run at once. Every kind of row is written in one order of its keys, and before
the next kind, so that they wait for each other and never deadlock; whoever comes second finds the row there.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import jobs
from app.curation import actions as curation
from app.curation import moves
from app.intake import queries
from app.intake.ledger import Arrival, Batch, files_of, write_entries, write_files
from app.intake.policies import sha256_of
from app.intake.posts import find_images, find_posts, post_key
from app.intake.reasons import Reason
from app.prefilter import due
from app.tables import (
    Candidate,
    CandidateState,
    CaptionKind,
    EntryOutcome,
    EvidenceKind,
    EvidenceText,
    FindingNow,
    Import,
    Post,
    StageTodo,
    WithdrawalKind,
)

S = CandidateState
READ_THE_CAPTION = ("sameness", "caption")

Key = tuple[int, int, int, int]  # post, position, caption ordinal, image: what makes a candidate


def take(session: Session, batch: Batch) -> None:
    """Writes a batch in the caller's step: what it brings, and what became of its entries and files."""
    refuse_withdrawn(session, batch)
    posts = find_posts(session, batch)
    refuse_posts_of_withdrawn(session, batch, posts)
    images = find_images(session, batch)
    for entries in by_key(batch.open(), posts, images):
        take_candidates(session, batch, entries)
    keep_texts(session, batch)
    write_entries(session, batch)
    write_files(session, batch.run.id, files_of(batch))
    due.begin(session, sorted(set(batch.to_filter)))


def by_key(
    arrivals: Iterable[Arrival], posts: dict[tuple[str, str], Post], images: dict[str, int]
) -> list[dict[Key, Arrival]]:
    """The arrivals by what makes a candidate; those that repeat a key come in a later dictionary."""
    rounds: list[dict[Key, Arrival]] = []
    for arrival in arrivals:
        record, picture, copy = arrival.taken_apart()
        post, image = posts[post_key(record)], images[copy.sha256]
        key = (post.id, picture.position, picture.caption_ordinal, image)
        free = next((entries for entries in rounds if key not in entries), None)
        if free is None:
            rounds.append(free := {})
        free[key] = arrival
    return rounds


# --- what was withdrawn -------------------------------------------------------------------------


def refuse_withdrawn(session: Session, batch: Batch) -> None:
    """Refuses what a tombstone names: its author, its post or its picture."""
    named = [(arrival, tombstones(arrival, batch.account)) for arrival in batch.open()]
    found = queries.withdrawn(session, {key for _, keys in named for key in keys}) if named else set()
    for arrival, keys in named:
        if found & keys:
            arrival.refuse(Reason.WITHDRAWN)


def tombstones(arrival: Arrival, account: str | None) -> set[tuple[WithdrawalKind, str]]:
    """The keys under which a takedown would have noted this entry."""
    record, _, copy = arrival.taken_apart()
    authors = {name for name in (record.account_id, record.account_name, account) if name}
    posts = {name for name in (record.natural_key, record.shortcode, record.media_pk) if name}
    return (
        {(WithdrawalKind.AUTHOR, f"{record.platform}:{name}") for name in authors}
        | {(WithdrawalKind.POST, f"{record.platform}:{name}") for name in posts}
        | {(WithdrawalKind.IMAGE, sha256) for sha256 in (copy.sha256, copy.source_sha256)}
    )


def refuse_posts_of_withdrawn(session: Session, batch: Batch, posts: dict[tuple[str, str], Post]) -> None:
    """Refuses known posts whose author was withdrawn, when this source does not name the author."""
    gone = queries.withdrawn_authors(session, {post.author_id for post in posts.values() if post.author_id})
    for arrival in batch.open():
        if posts[post_key(arrival.taken_apart()[0])].author_id in gone:
            arrival.refuse(Reason.WITHDRAWN)


# --- candidates and captions --------------------------------------------------------------------


def take_candidates(session: Session, batch: Batch, entries: dict[Key, Arrival]) -> None:
    """New candidates are taken; known ones are unchanged, or updated when their source's caption changed."""
    made = make_candidates(session, batch.run, set(entries) - set(known_candidates(session, entries)))
    for key, candidate in made.items():
        raw = curation.add_caption(session, candidate.id, CaptionKind.RAW, entries[key].caption, "import")
        curation.offer_caption(session, candidate, raw)
        entries[key].settle(EntryOutcome.TAKEN, candidate.id)
    ids = [candidate.id for candidate in made.values()]
    batch.to_filter += moves.move(session, ids, S.INCOMING, S.FILTERING) if ids else []
    known = {id_: entries[key] for key, id_ in known_candidates(session, entries).items() if key not in made}
    compare_captions(session, batch, known)


def known_candidates(session: Session, keys: Iterable[Key]) -> dict[Key, int]:
    wanted = set(keys)
    rows = session.execute(
        select(
            Candidate.post_id,
            Candidate.position,
            Candidate.caption_ordinal,
            Candidate.image_id,
            Candidate.id,
        ).where(Candidate.post_id.in_({key[0] for key in wanted}), Candidate.state != S.WITHDRAWN)
    )
    found = {(post, position, ordinal, image): id_ for post, position, ordinal, image, id_ in rows}
    return {key: id_ for key, id_ in found.items() if key in wanted}


def make_candidates(session: Session, run: Import, keys: Iterable[Key]) -> dict[Key, Candidate]:
    """The candidates that this import made; another import that was faster has made the rest."""
    rows = [
        {
            "import_id": run.id,
            "post_id": post,
            "position": position,
            "caption_ordinal": ordinal,
            "image_id": image,
        }
        for post, position, ordinal, image in sorted(keys)
    ]
    if not rows:
        return {}
    made = session.scalars(insert(Candidate).values(rows).on_conflict_do_nothing().returning(Candidate))
    return {
        (candidate.post_id, candidate.position, candidate.caption_ordinal, candidate.image_id): candidate
        for candidate in made
    }


def keep_texts(session: Session, batch: Batch) -> None:
    """Keeps what the source says beside the caption: the alt text, and captions that were replaced. Each once."""
    rows = sorted(
        {
            (arrival.candidate_id, kind, text)
            for arrival in batch.arrivals
            if arrival.candidate_id and arrival.record and arrival.picture
            for kind, text in (
                (EvidenceKind.ALT_TEXT, arrival.picture.alt_text),
                *((EvidenceKind.EARLIER_CAPTION, text) for text in arrival.record.earlier_captions),
            )
            if text
        }
    )
    if rows:
        values = [
            {"candidate_id": id_, "kind": kind, "text": text, "text_sha256": sha256_of(text)}
            for id_, kind, text in rows
        ]
        session.execute(insert(EvidenceText).values(values).on_conflict_do_nothing())


def compare_captions(session: Session, batch: Batch, known: dict[int, Arrival]) -> None:
    raw = queries.newest_raw(session, list(known))
    changed = {id_: arrival for id_, arrival in known.items() if raw.get(id_) != sha256_of(arrival.caption)}
    for id_, arrival in known.items():
        if id_ not in changed:
            arrival.settle(EntryOutcome.UNCHANGED, id_)
    if changed:
        update_captions(session, batch, changed)


def update_captions(session: Session, batch: Batch, changed: dict[int, Arrival]) -> None:
    """Writes the new captions under the candidates' locks.

    Undecided candidates get them on offer and go through the stages again; decided ones keep their state and
    what was published, and an event tells an admin.
    """
    locked = moves.lock(session, changed)
    raw = queries.newest_raw(session, list(changed))
    judged = queries.judged_among(session, changed)
    offered: list[Candidate] = []
    for candidate in locked:
        arrival = changed[candidate.id]
        if raw.get(candidate.id) == sha256_of(arrival.caption):
            arrival.settle(EntryOutcome.UNCHANGED, candidate.id)
            continue
        if candidate.state is S.WITHDRAWN:
            arrival.refuse(Reason.WITHDRAWN)
            continue
        caption = curation.add_caption(session, candidate.id, CaptionKind.RAW, arrival.caption, "import")
        arrival.settle(EntryOutcome.UPDATED, candidate.id)
        if candidate.id in judged:
            details, job = {"import": batch.run.id}, batch.job_id
            jobs.record(session, "candidate.source_changed", "candidate", candidate.id, job_id=job, details=details)
        else:
            curation.offer_caption(session, candidate, caption)
            offered.append(candidate)
    batch.to_filter += back_to_the_stages(session, offered)


def back_to_the_stages(session: Session, candidates: Sequence[Candidate]) -> list[int]:
    """Which of them the stages look at again. Those that someone holds stay: their page gets the new text.

    A stage that looks at the old caption at this moment finds its due row gone and writes nothing.
    """
    ids = [candidate.id for candidate in candidates]
    again = [candidate.id for candidate in candidates if candidate.state is S.FILTERING]
    for old in (S.QUEUED, S.FILTERED_OUT):
        in_state = [candidate.id for candidate in candidates if candidate.state is old]
        again += moves.refilter(session, in_state, old) if in_state else []
    session.execute(delete(StageTodo).where(StageTodo.candidate_id.in_(ids)))
    stale = FindingNow.candidate_id.in_(ids) & FindingNow.stage.in_(READ_THE_CAPTION)
    session.execute(update(FindingNow).where(stale).values(stale=True))
    return again
