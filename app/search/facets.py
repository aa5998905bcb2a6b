"""How many candidates each value of a facet has: to 1,000, beyond that nobody counts."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.curation.vocabulary import ORGANS, STAINS
from app.operations.tallies import kept

COUNTED_TO = 1000  # counting every candidate of a common value would take longer than the list
FACETS_SECONDS = 60

# The counts are everybody's, so what a machine holds is in none of them.
SEEN = "c.state <> 'withdrawn' AND c.flag_origin IS DISTINCT FROM 'machine'"
BY_FIELD = """
    SELECT wanted.value, (SELECT count(*) FROM (
        SELECT 1 FROM finding f JOIN candidate c ON c.id = f.candidate_id AND {seen}
        WHERE f.evidence #>> '{{fields,{field}}}' = wanted.value AND f.id = (
            SELECT finding_id FROM finding_now n WHERE n.candidate_id = f.candidate_id AND n.stage = 'caption')
        LIMIT :most) counted)
    FROM unnest(CAST(:values AS text[])) AS wanted (value)
"""
BY_SOURCE = """
    SELECT s.id::text, (SELECT count(*) FROM (
        SELECT 1 FROM post p JOIN candidate c ON c.post_id = p.id AND {seen}
        WHERE p.source_id = s.id LIMIT :most) counted)
    FROM source s
"""


def facets(session: Session) -> dict[str, dict[str, int]]:
    """Organ, stain and source → value → how many candidates, at most 1,001 of each. At most a minute old."""
    counts = kept(session, "facets", _count_facets, FACETS_SECONDS)
    found: dict[str, dict[str, int]] = {"organ": {}, "stain": {}, "source": {}}
    for key, count in sorted(counts.items(), key=lambda item: -item[1]):
        facet, _, value = key.partition(":")
        found[facet][value] = count
    return found


def _count_facets(session: Session) -> dict[str, int]:
    counts: dict[str, int] = {}
    for facet, values in (("organ", ORGANS), ("stain", STAINS)):
        statement = text(BY_FIELD.format(field=facet, seen=SEEN))
        rows = session.execute(statement, {"values": list(values), "most": COUNTED_TO + 1})
        counts |= {f"{facet}:{value}": count for value, count in rows if count}
    rows = session.execute(text(BY_SOURCE.format(seen=SEEN)), {"most": COUNTED_TO + 1})
    return counts | {f"source:{id_}": count for id_, count in rows}


def shown(count: int) -> str:
    """A facet's count as a page says it."""
    return f"{COUNTED_TO:,}+" if count > COUNTED_TO else f"{count:,}"
