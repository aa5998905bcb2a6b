"""How many candidates each value of a facet has: to 1,000, beyond that nobody counts."""

from typing import Any

from sqlalchemy import Select, Text, func, literal, literal_column, select
from sqlalchemy.orm import Session

from app.candidates.queries import shown_to_reviewers
from app.curation.vocabulary import ORGANS, STAINS
from app.operations.tallies import kept
from app.tables import Candidate, Finding, FindingNow, Post, Source

COUNTED_TO = 1000  # counting every candidate of a common value would take longer than the list
FACETS_SECONDS = 60


def facets(session: Session) -> dict[str, dict[str, int]]:
    """Organ, stain and source → value → how many candidates, at most 1,001 of each. At most a minute old."""
    counts = kept(session, "facets", _count_facets, FACETS_SECONDS)
    found: dict[str, dict[str, int]] = {"organ": {}, "stain": {}, "source": {}}
    for key, count in sorted(counts.items(), key=lambda item: -item[1]):
        facet, _, value = key.partition(":")
        found[facet][value] = count
    return found


def _count_facets(session: Session) -> dict[str, int]:
    values = [(facet, value) for facet, of_it in (("organ", ORGANS), ("stain", STAINS)) for value in of_it]
    counts = {f"{facet}:{value}": _count(session, _with_field(facet, value)) for facet, value in values}
    of_sources = {
        f"source:{id_}": _count(session, select(Candidate.id).join(Post).where(Post.source_id == id_))
        for id_ in session.scalars(select(Source.id))
    }
    return {key: count for key, count in counts.items() if count} | of_sources


def _with_field(facet: str, value: str) -> Select[Any]:
    """Those in which the caption rules find the value now. Spelled as the indexes are (`Finding`)."""
    by_rules = (FindingNow.finding_id == Finding.id) & (FindingNow.stage == literal("caption", literal_execute=True))
    field = literal_column(f"finding.evidence #>> '{{fields,{facet}}}'", Text)
    return (
        select(Candidate.id)
        .join(Finding, Finding.candidate_id == Candidate.id)
        .join(FindingNow, (FindingNow.candidate_id == Candidate.id) & by_rules)
        .where(field == value)
    )


def _count(session: Session, found: Select[Any]) -> int:
    """How many of them everybody may see, as the counts are everybody's."""
    some = found.where(shown_to_reviewers()).limit(COUNTED_TO + 1).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


def shown(count: int) -> str:
    """A facet's count as a page says it."""
    return f"{COUNTED_TO:,}+" if count > COUNTED_TO else f"{count:,}"
