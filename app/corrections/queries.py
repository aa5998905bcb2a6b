"""What people made of captions and fields that machines proposed, review by review.

Counted are first-hand reviews that stand, where the reviewer saw what the machine said: no audits, no spot checks.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from app.corrections.rates import Outcome, Seen, median
from app.curation.vocabulary import FIELDS, label
from app.operations.tallies import kept
from app.prefilter.caption_diff import Piece, distance, word_diff

FRESH_SECONDS = 60
MEASURED = 100  # edits a maker whose distance is measured, the newest
PAGE = 50
ROWS = len(FIELDS) + 1  # at most of one review: a field each, and the diagnosis

# The bytes of a spot check's hash modulo ten, as 256 and all its powers are 6 modulo ten: `policies.is_spot_check`.
SPOT_CHECK = "(6 * (" + " + ".join(f"get_byte(h.hash, {at})" for at in range(7)) + ") + get_byte(h.hash, 7)) % 10 = 0"
JUDGED = f"""
    SELECT r.id, r.candidate_id, r.kind, r.at, r.at - make_interval(secs => r.seconds) AS seen_at, r.fields,
           r.caption_before_id, r.caption_after_id, p.source_id::text AS source, coalesce(l.label, '') AS language
    FROM review r
    JOIN candidate c ON c.id = r.candidate_id AND c.state <> 'withdrawn'
    JOIN post p ON p.id = c.post_id
    LEFT JOIN finding_now l ON l.candidate_id = c.id AND l.stage = 'language' AND l.outcome = 'ok'
    CROSS JOIN LATERAL (SELECT sha256(('spot check ' || c.id)::bytea) AS hash) h
    WHERE r.purpose = 'main' AND r.kind IN ('accept', 'reject') AND NOT ({SPOT_CHECK})
      AND NOT EXISTS (SELECT 1 FROM review u WHERE u.supersedes = r.id)
"""  # noqa: S608
CAPTIONS = f"""
    SELECT j.id, j.candidate_id, j.at, b.made_by AS maker, j.source, j.language, '' AS field,
           CASE WHEN j.kind = 'reject' THEN 'rejected'
                WHEN a.id = b.id THEN 'kept'
                WHEN EXISTS (
                    SELECT 1 FROM caption o WHERE o.candidate_id = j.candidate_id AND o.kind = 'raw'
                    AND btrim(replace(o.text, E'\\r\\n', E'\\n'), E' \\t\\r\\n') = a.text) THEN 'restored'
                ELSE 'edited' END AS outcome,
           coalesce(b.text, '') AS proposed, coalesce(a.text, '') AS published
    FROM ({JUDGED}) j
    JOIN caption b ON b.id = j.caption_before_id AND b.kind IN ('cleaned', 'proposed')
    LEFT JOIN caption a ON a.id = j.caption_after_id
"""  # noqa: S608
# What a stage had found when the reviewer opened the page; a later finding they have not seen.
SEEN_THEN = """
    SELECT f.stage_version, f.evidence FROM finding f
    WHERE f.candidate_id = j.candidate_id AND f.stage = '{stage}' AND f.outcome = 'ok' AND f.at <= j.seen_at
    ORDER BY f.id DESC LIMIT 1
"""
FIELDS_GIVEN = f"""
    SELECT j.id, j.candidate_id, j.at, m.maker, j.source, j.language, g.key AS field,
           CASE WHEN given.value = g.value THEN 'kept' WHEN given.value IS NULL THEN 'cleared'
                ELSE 'edited' END AS outcome,
           g.value AS proposed, coalesce(given.value, '') AS published
    FROM ({JUDGED}) j
    LEFT JOIN LATERAL ({SEEN_THEN.format(stage="caption")}) ruled ON TRUE
    LEFT JOIN LATERAL ({SEEN_THEN.format(stage="llm")}) llm ON TRUE
    LEFT JOIN evidence_text answer ON answer.id = (llm.evidence ->> 'diagnosis')::bigint
    LEFT JOIN evidence_text typed ON typed.id = (j.fields ->> 'diagnosis_text')::bigint
    CROSS JOIN LATERAL (VALUES
        ('rules ' || ruled.stage_version, ruled.evidence -> 'fields', '{{}}'::jsonb),
        ('llm ' || (llm.evidence ->> 'prompt'),
         coalesce(llm.evidence -> 'fields', '{{}}') || jsonb_strip_nulls(jsonb_build_object('diagnosis', answer.text)),
         coalesce(ruled.evidence -> 'fields', '{{}}'))
    ) m (maker, fields, before)
    CROSS JOIN LATERAL jsonb_each_text(m.fields) g
    CROSS JOIN LATERAL (SELECT CASE WHEN g.key = 'diagnosis' THEN typed.text ELSE j.fields ->> g.key END AS value) given
    WHERE j.kind = 'accept' AND m.maker IS NOT NULL AND g.value <> '' AND NOT m.before ? g.key
"""  # noqa: S608
KINDS = {"captions": CAPTIONS, "fields": FIELDS_GIVEN}


def seen(session: Session, kind: str) -> list[Seen]:
    """How many reviews had which outcome, of `captions` or `fields`. At most a minute old."""
    counts = kept(session, f"corrections:{kind}", lambda asked: _count(asked, kind), FRESH_SECONDS)
    return [_seen(key, count) for key, count in counts.items()]


def _seen(key: str, count: int) -> Seen:
    maker, source, language, field, outcome = key.split("\t")
    return Seen(maker, source, language, field, Outcome(outcome), count)


def _count(session: Session, kind: str) -> dict[str, int]:
    columns = "maker, source, language, field, outcome"
    rows = session.execute(text(f"SELECT {columns}, count(*) FROM ({KINDS[kind]}) x GROUP BY {columns}"))  # noqa: S608
    return {"\t".join(key): count for *key, count in rows}


def distances(session: Session) -> dict[str, float]:
    """Maker → the median share of text that an edit changed, of its newest edits. At most a minute old."""
    measured = kept(session, "corrections:distances", _measure, FRESH_SECONDS)
    return {maker: thousandths / 1000 for maker, thousandths in measured.items()}


def _measure(session: Session) -> dict[str, int]:
    newest = f"""SELECT maker, proposed, published FROM (
        SELECT *, row_number() OVER (PARTITION BY maker ORDER BY id DESC) AS nth
        FROM ({CAPTIONS}) x WHERE outcome = 'edited') y WHERE nth <= :most"""  # noqa: S608
    found: dict[str, list[float]] = {}
    for maker, proposed, published in session.execute(text(newest), {"most": MEASURED}):
        found.setdefault(maker, []).append(distance(proposed, published))
    return {maker: round(1000 * median(values)) for maker, values in found.items()}


@dataclass(frozen=True)
class Cell:
    """What to list: reviews of `captions` or `fields` by any of these; empty: all of them."""

    kind: str = "captions"
    maker: str = ""
    source: str = ""
    language: str | None = None
    field: str = ""
    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True)
class Corrected:
    """One review of a proposal."""

    review_id: int
    candidate_id: int
    sha256: str
    at: datetime
    maker: str
    field: str
    outcome: Outcome
    pieces: list[Piece]


def listed(session: Session, cell: Cell, before: int | None) -> tuple[list[Corrected], int | None]:
    """The newest reviews of a cell below review `before`, with all their fields; and where older ones go on."""
    values = {**vars(cell), "outcomes": list(cell.outcomes), "before": before, "most": (PAGE + 1) * ROWS}
    found = [_corrected(*row) for row in session.execute(_list(cell, before), values)]
    ids = list(dict.fromkeys(one.review_id for one in found))
    shown = set(ids[:PAGE])
    return [one for one in found if one.review_id in shown], ids[PAGE - 1] if len(ids) > PAGE else None


def _list(cell: Cell, before: int | None) -> TextClause:
    """The statement with conditions only for what is asked."""
    conditions = [f"x.{name} = :{name}" for name in ("maker", "source", "field") if getattr(cell, name)]
    conditions += ["x.language = :language"] if cell.language is not None else []
    conditions += ["x.outcome = ANY(:outcomes)"] if cell.outcomes else []
    conditions += ["x.id < :before"] if before else []
    where = " AND ".join(conditions) or "TRUE"
    return text(
        f"""SELECT x.id, x.candidate_id, i.sha256, x.at, x.maker, x.field, x.outcome, x.proposed, x.published
        FROM ({KINDS[cell.kind]}) x JOIN candidate c ON c.id = x.candidate_id JOIN image i ON i.id = c.image_id
        WHERE {where} ORDER BY x.id DESC, x.field LIMIT :most"""  # noqa: S608
    )


def _corrected(
    id_: int,
    candidate_id: int,
    sha256: str,
    at: datetime,
    maker: str,
    field: str,
    outcome: str,
    proposed: str,
    published: str,
) -> Corrected:
    if field in FIELDS:
        proposed, published = label(field, proposed), label(field, published)
    pieces = word_diff(proposed, proposed if outcome == Outcome.REJECTED.value else published)
    return Corrected(id_, candidate_id, sha256, at, maker, field, Outcome(outcome), pieces)


def source_names(session: Session) -> dict[str, str]:
    rows: Any = session.execute(text("SELECT id::text, name FROM source"))
    return dict(row for row in rows)
