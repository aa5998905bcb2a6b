"""Rows in bulk, shaped like those that imports, stages and reviewers leave, in a database that has none."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from sqlalchemy import create_engine, make_url
from sqlalchemy.orm import Session

from app.accounts import actions
from app.accounts.policies import SYSTEM
from app.tables import Role
from bench.browser import PASSWORD
from tests.services import psycopg_url

CAPTION = (
    "Basal cell carcinoma, nodular type, of the left cheek: nests of basaloid cells with peripheral palisading "
    "and retraction from a mucinous stroma. H&E, 20×. Case "
)
TAIL = " 🔬 #pathology #dermpath #pathtwitter Follow @path_demo for more!"

# Numbers double as ids: every table is empty before, and identities count from 1. Two pictures a post.
POSTS = """
INSERT INTO source (name, kind, consent, licence) VALUES ('path_demo', 'account', 'agreed', 'CC BY 4.0');
INSERT INTO author (platform, account_id, label)
    SELECT 'instagram', n::text, 'path_demo_' || n FROM generate_series(1, 200) n;
INSERT INTO import (source_id, origin, location) VALUES (1, 'path_demo/', '{}');
INSERT INTO post (platform, natural_key, shortcode, source_id, author_id, permalink, taken_at)
    SELECT 'instagram', 'Cbench' || n, 'Cbench' || n, 1, 1 + mod(n, 200),
           'https://www.instagram.com/p/Cbench' || n || '/', '2024-03-01'::timestamptz + n * interval '1 minute'
    FROM generate_series(1, %(count)s) n;
INSERT INTO candidate (post_id, image_id, import_id, position)
    SELECT (n + 1) / 2, n, 1, 1 + mod(n - 1, 2) FROM generate_series(1, %(count)s) n;
INSERT INTO caption (candidate_id, kind, version, text, text_sha256, made_by)
    SELECT n, kind, version, said, encode(sha256(convert_to(said, 'UTF8')), 'hex'), made_by
    FROM generate_series(1, %(count)s) n,
         LATERAL (VALUES ('raw', 1, %(caption)s || n || %(tail)s, 'import'),
                         ('cleaned', 2, %(caption)s || n, 'caption/1')) made (kind, version, said, made_by)
    ORDER BY version, n;
INSERT INTO finding (candidate_id, stage, stage_version, input_hash, outcome, score, label, evidence)
    SELECT n, stage, '1', md5(n::text), 'ok', score, label, evidence::jsonb
    FROM generate_series(1, %(count)s) n,
         (VALUES ('quality', 0.9, 'sharp', '{"width": 300, "height": 280, "sharpness": 210}'),
                 ('embedding', NULL, 'trained', '{"encoder": 1, "name": "bench", "weights": "trained"}'),
                 ('sameness', 1.0, 'alone', '{"copies": 0}'),
                 ('domain', 0.93, NULL, '{"by": "zero-shot prompts", "encoder": "bench"}'),
                 ('caption', 0.8, NULL, '{"removed": 4, "fields": {"organ": "skin", "stain": "he"}}'))
         made (stage, score, label, evidence);
INSERT INTO finding_now (candidate_id, stage, finding_id, outcome, score, label)
    SELECT candidate_id, stage, id, outcome, score, label FROM finding;
UPDATE candidate SET state = 'filtering', caption_id = %(count)s + id, caption_version = 2;
UPDATE candidate SET state = 'queued';
INSERT INTO assignment (candidate_id, round, purpose, slot)
    SELECT n, 1, 'main', 1 FROM generate_series(1, %(count)s) n;
"""

ACCEPTED = """
INSERT INTO review (candidate_id, user_id, assignment_id, round, purpose, kind, caption_before_id,
                    caption_after_id, fields, seconds, submission_id)
    SELECT c.id, 1, a.id, 1, 'main', 'accept', c.caption_id, c.caption_id,
           '{"organ": "skin", "stain": "he", "magnification": "20"}', 6, gen_random_uuid()
    FROM candidate c JOIN assignment a ON a.candidate_id = c.id ORDER BY c.id;
UPDATE assignment SET user_id = 1, review_id = r.id FROM review r WHERE r.assignment_id = assignment.id;
UPDATE candidate SET state = 'accepted', settled_by = r.id, settled_caption_id = r.caption_after_id
    FROM review r WHERE r.candidate_id = candidate.id;
"""

Picture = tuple[str, int]  # its SHA-256 and its size in bytes


def people(url: str, names: Iterable[str], role: Role = Role.REVIEWER) -> None:
    engine = create_engine(url)
    with Session(engine) as session, session.begin():
        for name in names:
            actions.add_user(session, SYSTEM, name, PASSWORD, role)
    engine.dispose()


def no_pictures(count: int) -> list[Picture]:
    """Names of pictures that are not stored, for pages that only link to them."""
    return [(hashlib.sha256(str(number).encode()).hexdigest(), 40_000) for number in range(count)]


def queued(url: str, pictures: Sequence[Picture]) -> None:
    """One queued candidate a picture, through all stages, with a raw and a cleaned caption."""
    with _connect(url) as connection:
        with connection.cursor().copy("COPY image (sha256, source_sha256, width, height, size) FROM STDIN") as copy:
            for sha256, size in pictures:
                copy.write_row((sha256, sha256, 300, 280, size))
        _run(connection, POSTS, {"count": len(pictures), "caption": CAPTION, "tail": TAIL})


def accepted(url: str, pictures: Sequence[Picture]) -> None:
    """Like `queued`, and each accepted by the first person of the database."""
    queued(url, pictures)
    with _connect(url) as connection:
        _run(connection, ACCEPTED, {})


def change(url: str, script: str) -> None:
    with _connect(url) as connection:
        _run(connection, script, {})


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    with _connect(url) as connection:
        return connection.execute(statement).fetchall()


def _connect(url: str) -> "psycopg.Connection[tuple[Any, ...]]":
    return psycopg.connect(psycopg_url(make_url(url)), autocommit=True)


def _run(connection: "psycopg.Connection[tuple[Any, ...]]", script: str, values: dict[str, Any]) -> None:
    with connection.transaction():
        for statement in script.split(";\n"):
            if statement.strip():
                connection.execute(statement, values)
    connection.execute("VACUUM ANALYZE")  # as the server itself does within a minute of a bulk of new rows
