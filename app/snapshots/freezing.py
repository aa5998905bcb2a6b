"""Freezing: one transaction that decides which pairs a snapshot holds and on which side each stands.

What is frozen is written to `snapshot_member`; build, rebuild, difference and verify read only that.
"""

from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.advisory import FREEZE_SNAPSHOT
from app.errors import Conflict
from app.snapshots.formats.manifest import versions
from app.snapshots.formats.parquet import table_count
from app.snapshots.formats.shards import shard_count
from app.snapshots.splits import SplitAssignment, SplitInput, SplitReport, assign_splits
from app.tables import Event, Setting, Snapshot, Split

# The accepted pairs that may be published.
CHOSEN = """
    FROM candidate c
    JOIN image i ON i.id = c.image_id
    JOIN post p ON p.id = c.post_id
    JOIN source s ON s.id = p.source_id
    LEFT JOIN author a ON a.id = p.author_id
    JOIN review r ON r.id = c.settled_by
    JOIN caption cap ON cap.id = c.settled_caption_id
    WHERE c.state = 'accepted' AND s.consent = 'agreed' AND btrim(coalesce(cap.text, '')) <> ''
    """

# Every value is read by this one statement, so all of a snapshot is of one moment.
CUT = text(
    f"""
    CREATE TEMP TABLE cut ON COMMIT DROP AS
    SELECT lpad(c.id::text, 12, '0') AS key, c.id AS candidate_id, i.sha256 AS image_sha256,
           coalesce((c.crop->>'size')::bigint, i.size) AS bytes, c.crop,
           cap.id AS caption_id, r.id AS review_id,
           jsonb_build_object(
               'candidate', 'C-' || c.id, 'platform', p.platform, 'shortcode', p.shortcode,
               'permalink', p.permalink, 'author', nullif(a.label, ''), 'position', c.position,
               'taken_at', to_char(p.taken_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"'),
               'source', s.name, 'consent', s.consent, 'licence', nullif(s.licence, ''),
               'organ', r.fields->>'organ', 'stain', r.fields->>'stain',
               'magnification', r.fields->>'magnification', 'species', r.fields->>'species',
               'diagnosis', (SELECT e.text FROM evidence_text e WHERE e.id = (r.fields->>'diagnosis_text')::bigint),
               'language', (SELECT nullif(f.label, 'und') FROM finding_now f
                            WHERE f.candidate_id = c.id AND f.stage = 'language'),
               'width', coalesce((c.crop->>'width')::int, i.width),
               'height', coalesce((c.crop->>'height')::int, i.height),
               'masked', coalesce(jsonb_array_length(c.crop->'masks'), 0), 'source_sha256', i.source_sha256,
               'edited', r.caption_after_id IS DISTINCT FROM r.caption_before_id,
               'reviewed_at', to_char(r.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
               'reviews', (SELECT count(*) FROM assignment x
                           WHERE x.candidate_id = c.id AND x.round = c.round AND x.review_id IS NOT NULL)
                          + (r.purpose = 'resolution')::int,
               'domain_score', (SELECT f.score FROM finding_now f WHERE f.candidate_id = c.id AND f.stage = 'domain'),
               'alignment_score',
               (SELECT (f.evidence->>'cosine')::float8 FROM finding_now n JOIN finding f ON f.id = n.finding_id
                WHERE n.candidate_id = c.id AND n.stage = 'alignment')
           ) AS row
    {CHOSEN}
    """  # noqa: S608  # only our own words
)

# The graph of split components holds every candidate in every state; held out is held out for good.
GRAPH = """
    SELECT lpad(c.id::text, 12, '0') AS key, p.author_id, p.id AS post_id, d.group_id, cut.key IS NOT NULL AS member,
           (SELECT CASE WHEN bool_or(m.split <> 'train')
                        THEN (array_agg(m.split ORDER BY m.snapshot_id DESC) FILTER (WHERE m.split <> 'train'))[1]
                        WHEN count(*) > 0 THEN 'train' END
            FROM snapshot_member m WHERE m.candidate_id = c.id) AS previously
    FROM candidate c
    JOIN post p ON p.id = c.post_id
    LEFT JOIN duplicate_member d ON d.candidate_id = c.id
    LEFT JOIN cut ON cut.candidate_id = c.id
    ORDER BY c.id
    """

# The same before anything is cut.
PLAN = f"WITH cut AS (SELECT lpad(c.id::text, 12, '0') AS key, c.id AS candidate_id {CHOSEN}) {GRAPH}"

MEMBERS = text(
    """
    INSERT INTO snapshot_member
        (snapshot_id, key, candidate_id, image_sha256, crop, caption_id, review_id, split, row)
    SELECT :snapshot, cut.key, cut.candidate_id, cut.image_sha256, cut.crop, cut.caption_id, cut.review_id,
           cut_split.split, cut.row
    FROM cut JOIN cut_split USING (key)
    """
)


def freeze(session: Session, user_id: int | None, job_id: int | None, val: int, test: int, note: str) -> Snapshot:
    """Writes the next snapshot's row and members. Raises Conflict when no accepted pair may be published."""
    session.execute(select(func.pg_advisory_xact_lock(FREEZE_SNAPSHOT)))
    number = (session.scalar(select(func.max(Snapshot.number))) or 0) + 1
    session.execute(CUT)
    if not session.scalar(text("SELECT count(*) FROM cut")):
        raise Conflict(
            "There is no accepted pair whose source agreed to be published.",
            "Accept pairs in review, or record the consent of their source on its import page.",
        )
    seed = _seed(session)
    assignment = assign_splits(_graph(session, GRAPH), seed, val, test)
    _write_splits(session, assignment)
    snapshot = Snapshot(
        number=number,
        made_by=user_id,
        job_id=job_id,
        note=note,
        seed=seed,
        setting=_setting(session, val, test),
        report=_report(session, assignment),
        event_position=session.scalar(select(func.max(Event.id))) or 0,
    )
    session.add(snapshot)
    session.flush()
    session.execute(MEMBERS, {"snapshot": snapshot.id})
    return snapshot


def plan(session: Session, val: int, test: int) -> SplitReport:
    """How the next snapshot would be split if it were frozen now; nothing is written."""
    return assign_splits(_graph(session, PLAN), _seed(session), val, test).report


def _seed(session: Session) -> int:
    return int(session.scalar(select(Setting.value).where(Setting.name == "seed")) or 0)


def _graph(session: Session, statement: str) -> list[SplitInput]:
    return [
        SplitInput(
            key=row.key,
            author_id=row.author_id,
            post_id=row.post_id,
            group_ids=() if row.group_id is None else (row.group_id,),
            previously=row.previously,
            member=row.member,
        )
        for row in session.execute(text(statement))
    ]


def _write_splits(session: Session, assignment: SplitAssignment) -> None:
    session.execute(text("CREATE TEMP TABLE cut_split (key text PRIMARY KEY, split text) ON COMMIT DROP"))
    connection = session.connection().connection.driver_connection
    assert connection is not None
    with connection.cursor().copy("COPY cut_split FROM STDIN") as copy:
        for pair in assignment.splits.items():
            copy.write_row(pair)


def _setting(session: Session, val: int, test: int) -> dict[str, Any]:
    """What the files depend on beside the members: fixed here, so that a rebuild cuts the same files."""
    rows = session.execute(
        text("SELECT split, count(*) AS pairs, sum(bytes) AS size FROM cut JOIN cut_split USING (key) GROUP BY split")
    )
    sizes = {row.split: (row.pairs, int(row.size)) for row in rows if row.split != Split.RESERVE.value}
    return {
        "val": val,
        "test": test,
        "shards": {split: shard_count(*size) for split, size in sizes.items()},
        "tables": {split: table_count(size) for split, (_, size) in sizes.items()},
        "versions": versions(),
        "bytes": sum(size for _, size in sizes.values()),
    }


def _report(session: Session, assignment: SplitAssignment) -> dict[str, Any]:
    report = assignment.report
    return {
        "counts": report.counts,
        "wanted": report.wanted,
        "components": report.components,
        "held_out_components": report.held_out_components,
        "largest": report.largest,
        "left_train": report.left_train,
        "shortfalls": report.shortfalls(),
        "left_out": left_out(session),
        "funnel": _funnel(session),
        "rejections": _rejections(session),
        "reviewing": _reviewing(session),
        "filtered_by": _filtered_by(session),
    }


def left_out(session: Session) -> dict[str, int]:
    """Accepted pairs that no snapshot may hold, by what their source agreed to."""
    rows = session.execute(
        text(
            """SELECT s.consent, count(*) FROM candidate c JOIN post p ON p.id = c.post_id
            JOIN source s ON s.id = p.source_id
            WHERE c.state = 'accepted' AND s.consent <> 'agreed' GROUP BY s.consent ORDER BY s.consent"""
        )
    )
    return {consent: count for consent, count in rows}


def _funnel(session: Session) -> dict[str, int]:
    row = session.execute(
        text(
            """SELECT count(*) FILTER (WHERE state <> 'withdrawn') AS imported,
            count(*) FILTER (WHERE state NOT IN ('withdrawn', 'incoming', 'filtering', 'filtered_out')
                AND flag_origin IS DISTINCT FROM 'machine') AS queued,
            count(*) FILTER (WHERE state IN ('accepted', 'rejected')) AS decided,
            count(*) FILTER (WHERE state = 'accepted') AS accepted FROM candidate"""
        )
    ).one()
    frozen = session.scalar(text("SELECT count(*) FROM cut")) or 0
    names = ("Imported", "Passed the pre-filter", "Decided", "Accepted")
    return {**dict(zip(names, row, strict=True)), "Frozen": frozen}


def _rejections(session: Session) -> dict[str, int]:
    rows = session.execute(
        text(
            """SELECT reason.label, count(*) FROM candidate c
            JOIN review_reason ON review_reason.review_id = c.settled_by
            JOIN reason ON reason.code = review_reason.reason
            WHERE c.state = 'rejected' GROUP BY reason.label, reason.digit ORDER BY reason.digit"""
        )
    )
    return {label: count for label, count in rows}


def _reviewing(session: Session) -> dict[str, int]:
    row = session.execute(
        text(
            """SELECT count(DISTINCT r.user_id), count(*) FILTER (WHERE (cut.row->>'edited')::boolean)
            FROM cut JOIN review r ON r.id = cut.review_id"""
        )
    ).one()
    return {"Reviewers": row[0], "Captions edited": row[1]}


def _filtered_by(session: Session) -> list[dict[str, Any]]:
    """The encoders that stages select by now, themselves or by a classifier on them, and how far their terms go."""
    rows = session.execute(
        text(
            """SELECT stage.name AS stage, encoder.name AS encoder, encoder.licence, encoder.reaches_data
            FROM stage LEFT JOIN classifier ON classifier.id = (stage.setting->>'classifier')::bigint
            JOIN encoder ON encoder.id IN ((stage.setting->>'encoder')::bigint, classifier.encoder_id)
            ORDER BY stage.name, encoder.id"""
        )
    )
    return [dict(row) for row in rows.mappings()]
