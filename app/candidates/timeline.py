"""A candidate's whole history as one list: rows of several tables, told in the order of their time."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from app.accounts.policies import Actor
from app.candidates.links import web_link
from app.candidates.past import Entry, Frozen, PastReview
from app.operations import sentences
from app.operations.sentences import Link
from app.prefilter.caption_diff import Piece, word_diff
from app.prefilter.languages import language_name
from app.prefilter.policies import is_reviewed, passes
from app.prefilter.privacy import Action, counted, strongest
from app.prefilter.stages import BY_NAME, NAMES
from app.tables import Event, Finding, Post, Purpose, ReviewKind
from app.tables.intake import EntryOutcome


@dataclass(frozen=True)
class Moment:
    """One thing that happened. `act` is what stands out, `note` what stands small beside the time."""

    at: datetime | None
    icon: str
    act: str
    text: str = ""
    link: Link | None = None
    url: str | None = None
    note: str = ""
    quote: str = ""
    pieces: Sequence[Piece] = field(default_factory=tuple)


def in_order(moments: Iterable[Moment]) -> list[Moment]:
    """The newest first; what has no time is oldest."""
    oldest = datetime.min.replace(tzinfo=UTC)
    return sorted(moments, key=lambda moment: moment.at or oldest, reverse=True)


# --- posted and imported ------------------------------------------------------------------------


def posted(post: Post, author: str) -> Moment:
    return Moment(post.taken_at, "image", "Posted", f"by {author}" if author else "", url=web_link(post.permalink))


def imported(entries: Sequence[Entry], actor: Actor) -> list[Moment]:
    """Imports belong to admins, so only they get the link."""
    moments = []
    for entry in entries:
        link = Link(
            f"import {entry.import_id}",
            "import_page" if actor.is_admin else "",
            {"import_id": entry.import_id},
        )
        act = "Imported" if entry.outcome is EntryOutcome.TAKEN else "Changed at its source,"
        row = f", row {entry.row:,}" if entry.row else ""
        moments.append(Moment(entry.at, "upload", act, "with", link, note=f"by {entry.by.capitalize()}{row}"))
    return moments


# --- stages -------------------------------------------------------------------------------------


def filtered(
    findings: Sequence[Finding],
    thresholds: Mapping[str, float | None],
    reviewed: Collection[str] | None = None,
    actions: Mapping[str, Mapping[str, str]] | None = None,
) -> list[Moment]:
    """One moment for each pass through the stages; a stage that looks again begins a new pass."""
    passes_: list[list[Finding]] = []
    for finding in findings:
        if not passes_ or any(finding.stage == seen.stage for seen in passes_[-1]):
            passes_.append([])
        passes_[-1].append(finding)
    return [_held(found, actions or {}) or _one_pass(found, thresholds, reviewed) for found in passes_]


def _held(found: Sequence[Finding], actions: Mapping[str, Mapping[str, str]]) -> Moment | None:
    """A pass that ended with what is set to be held; one that was released went on, or begins anew."""
    last = found[-1]
    kinds = last.evidence.get("kinds") or {}
    if strongest(kinds, actions.get(last.stage, {})) is not Action.HOLD:
        return None
    return Moment(last.at, "shield", "Held", f"by {BY_NAME[last.stage].title}", note=counted(kinds))


def _one_pass(
    found: Sequence[Finding], thresholds: Mapping[str, float | None], reviewed: Collection[str] | None
) -> Moment:
    stopping = [f for f in found if not passes(f.score, f.outcome, thresholds.get(f.stage))]
    stopping += [f for f in found if f.stage == "language" and f.label and not is_reviewed(f.label, reviewed)]
    count = f"{len(found) - len(stopping)} of {len(NAMES)} stages"
    if not stopping:
        names = ", ".join(BY_NAME[f.stage].title for f in found if f.stage in BY_NAME)
        return Moment(found[-1].at, "filter", "Passed", count, note=names)
    last = stopping[-1]
    title = BY_NAME[last.stage].title if last.stage in BY_NAME else last.stage
    score = f", score {last.score:.2f}" if last.score is not None and last.stage != "sameness" else ""
    measured = f", {language_name(last.label)}" if last.stage == "language" else score
    return Moment(found[-1].at, "filter", "Stopped", f"by {title}{measured}", note=f"passed {count}")


# --- people -------------------------------------------------------------------------------------

SHOWN = {
    ReviewKind.ACCEPT: ("check", "Accepted"),
    ReviewKind.REJECT: ("cross", "Rejected"),
    ReviewKind.FLAG: ("flag", "Flagged"),
    ReviewKind.UNDO: ("undo", "Took back"),
}
PREFIX = {
    Purpose.ADJUDICATION: "Adjudicated: ",
    Purpose.RESOLUTION: "Resolved: ",
    Purpose.AUDIT: "Audited: ",
}


def reviewed(reviews: Sequence[PastReview]) -> list[Moment]:
    by_id = {past.review.id: past for past in reviews}
    undone = {past.review.supersedes for past in reviews}
    moments = []
    for past in reviews:
        if past.review.kind is ReviewKind.UNDO:
            moments.append(_taken_back(past, by_id.get(past.review.supersedes or 0)))
        else:
            moment = _judged(past)
            taken_back = f"{moment.note} · taken back later"
            moments.append(replace(moment, note=taken_back) if past.review.id in undone else moment)
    return moments


def _judged(past: PastReview) -> Moment:
    icon, word = SHOWN[past.review.kind]
    prefix = PREFIX.get(past.review.purpose, "")
    edited = past.review.kind is ReviewKind.ACCEPT and past.before != past.after
    act = (prefix + word).capitalize() + (" with edits" if edited else "")
    why = f": {', '.join(past.reasons).lower()}" if past.reasons else ""
    seconds = f"{past.review.seconds:.0f} s" if past.review.seconds else ""
    pieces = word_diff(past.before, past.after) if edited else ()
    by = f"by {past.by.capitalize()}{why}"
    return Moment(
        past.review.at,
        "edit" if edited else icon,
        act,
        by,
        note=" · ".join(part for part in (seconds, _round(past)) if part),
        quote=past.note,
        pieces=pieces,
    )


def _round(past: PastReview) -> str:
    return f"round {past.review.round}" if past.review.round > 1 else ""


def _taken_back(past: PastReview, undone: PastReview | None) -> Moment:
    what = f"“{SHOWN[undone.review.kind][1].lower()}”" if undone else "a decision"
    return Moment(past.review.at, "undo", "Took back", f"{what}, by {past.by.capitalize()}")


def frozen(snapshots: Sequence[Frozen], actor: Actor) -> list[Moment]:
    """Snapshots belong to admins and researchers, so only they get the link."""
    route = "snapshot" if actor.reads_data else ""
    return [
        Moment(
            s.at,
            "box",
            "Frozen",
            "in",
            Link(f"v{s.number:04d}", route, {"number": s.number}),
            note=f"{s.split.value} split",
        )
        for s in snapshots
    ]


TOLD_BY_REVIEWS = {f"candidate.{act}" for act in ("accepted", "rejected", "flagged", "undone", "resolved")}
ICONS = {"candidate.requeued": "undo", "candidate.withdrawn": "shield"}


def logged(events: Sequence[tuple[Event, str]]) -> list[Moment]:
    """What the log alone knows; a review tells its own event better."""
    moments = []
    for event, by in events:
        if event.act in TOLD_BY_REVIEWS:
            continue
        entry = sentences.Entry(
            event.id, event.at, by, event.act, event.subject_kind, event.subject_id, "", event.details
        )
        said = sentences.sentence(entry)
        text = " ".join(f"{said.before} it {said.after}".split())
        icon = ICONS.get(event.act, "clock")
        moments.append(Moment(event.at, icon, by.capitalize(), text, note=said.change))
    return moments
