"""Authors, posts and images of a batch: found by any of their names, else made."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.intake.ledger import Batch
from app.intake.records import Record
from app.tables import Author, Image, Post

Pair = tuple[str, str]  # platform and a name on it
POST_NAMES = ("natural_key", "shortcode", "media_pk")


def post_key(record: Record) -> Pair:
    return record.platform, record.natural_key


# --- authors ------------------------------------------------------------------------------------


def author_key(record: Record, account: str | None) -> Pair | None:
    """Platform and account; a name stands in where a source does not know the account's number."""
    name = record.account_id or record.account_name or account
    return (record.platform, name) if name else None


def find_authors(session: Session, records: Sequence[Record], account: str | None) -> dict[Pair, int]:
    """(platform, account) → author.

    An account's number is the key and its name a label that changes. A source that knows only the name means
    the author of that label; an author known only by name gets the number once a source brings it.
    """
    labels = {key: record.account_name or account or "" for record in records if (key := author_key(record, account))}
    numbered = {(record.platform, record.account_id) for record in records if record.account_id}
    if not labels:
        return {}
    found = matching_authors(session, labels, numbered)
    missing = sorted(set(labels) - set(found))
    if missing:
        rows = [{"platform": key[0], "account_id": key[1], "label": labels[key]} for key in missing]
        session.execute(insert(Author).values(rows).on_conflict_do_nothing())
        found |= matching_authors(session, {key: labels[key] for key in missing}, numbered)
    for key, author in found.items():
        if key in numbered:
            author.account_id, author.label = key[1], labels[key] or author.label
    session.flush()
    return {key: author.id for key, author in found.items()}


def matching_authors(session: Session, labels: dict[Pair, str], numbered: set[tuple[str, str]]) -> dict[Pair, Author]:
    names = {name for _, name in labels} | {label for label in labels.values() if label}
    statement = select(Author).where(or_(Author.account_id.in_(names), Author.label.in_(names)))
    authors = session.scalars(statement.order_by(Author.id.desc())).all()
    by_account = {(author.platform, author.account_id): author for author in authors}
    by_label = {(author.platform, author.label): author for author in authors}
    found: dict[Pair, Author] = {}
    for key, label in labels.items():
        other = by_account.get((key[0], label)) if key in numbered else by_label.get(key)
        if author := by_account.get(key) or other:
            found[key] = author
    return found


# --- posts --------------------------------------------------------------------------------------


def find_posts(session: Session, batch: Batch) -> dict[Pair, Post]:
    """Key of a record → its post, found by natural key, shortcode or media number, else made."""
    records = {post_key(record): record for arrival in batch.open() if (record := arrival.record)}
    if not records:
        return {}
    authors = find_authors(session, list(records.values()), batch.account)
    values = {key: post_values(record, batch, authors) for key, record in records.items()}
    found = matching_posts(session, records.values())
    missing = sorted(set(records) - set(found))
    if missing:
        session.execute(insert(Post).values([values[key] for key in missing]).on_conflict_do_nothing())
        found |= matching_posts(session, [records[key] for key in missing])
    for key, post in found.items():
        complete(post, values[key])
    session.flush()
    return found


def matching_posts(session: Session, records: Iterable[Record]) -> dict[Pair, Post]:
    records = list(records)
    named = [
        getattr(Post, column).in_([name for record in records if (name := getattr(record, column))])
        for column in POST_NAMES
    ]
    by_name: dict[tuple[str, str, str], Post] = {}
    for post in session.scalars(select(Post).where(or_(*named)).order_by(Post.id.desc())):
        by_name |= {(post.platform, column, name): post for column in POST_NAMES if (name := getattr(post, column))}
    found: dict[Pair, Post] = {}
    for record in records:
        for column in POST_NAMES:
            match = by_name.get((record.platform, column, getattr(record, column) or ""))
            if match:
                found.setdefault(post_key(record), match)
    return found


def post_values(record: Record, batch: Batch, authors: dict[Pair, int]) -> dict[str, Any]:
    author = author_key(record, batch.account)
    return {
        "platform": record.platform,
        "natural_key": record.natural_key,
        "shortcode": record.shortcode,
        "media_pk": record.media_pk,
        "source_id": batch.run.source_id,
        "author_id": authors[author] if author else None,
        "taken_at": record.taken_at,
        "permalink": record.permalink,
        "is_edited": record.is_edited,
    }


def complete(post: Post, values: dict[str, Any]) -> None:
    """Fills what an earlier source did not know of a post; what is known stays."""
    for column in ("author_id", "taken_at", "permalink", "is_edited"):
        if getattr(post, column) is None and values[column] is not None:
            setattr(post, column, values[column])


# --- images -------------------------------------------------------------------------------------


def find_images(session: Session, batch: Batch) -> dict[str, int]:
    """Hash of our copy → its image."""
    copies = {copy.sha256: copy for arrival in batch.open() if (copy := arrival.copy)}
    if not copies:
        return {}
    rows = [
        {
            "sha256": sha256,
            "source_sha256": copy.source_sha256,
            "width": copy.width,
            "height": copy.height,
            "size": copy.size,
        }
        for sha256, copy in sorted(copies.items())
    ]
    session.execute(insert(Image).values(rows).on_conflict_do_nothing(index_elements=["sha256"]))
    found = session.execute(select(Image.sha256, Image.id).where(Image.sha256.in_(copies)))
    return dict(found.all())
