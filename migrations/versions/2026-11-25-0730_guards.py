"""Rules that hold whatever the code does: arrows between states, append-only tables, a role without ownership."""

import sqlalchemy as sa
from alembic import op

from app.prompts.default import NOTE, TEXT

revision = "9b1f6a2c7d10"
down_revision = "2cbac2bf794e"
branch_labels = None
depends_on = None

APPEND_ONLY = ("finding", "review", "review_reason", "event", "snapshot_member", "prompt")

ARROWS = """
    incoming>filtering incoming>withdrawn
    filtering>queued filtering>filtered_out filtering>flagged filtering>withdrawn
    queued>filtering queued>filtered_out queued>accepted queued>rejected queued>flagged queued>conflicted
    queued>withdrawn
    filtered_out>filtering filtered_out>accepted filtered_out>flagged filtered_out>withdrawn
    conflicted>accepted conflicted>rejected conflicted>flagged conflicted>queued conflicted>withdrawn
    flagged>queued flagged>filtering flagged>accepted flagged>rejected flagged>withdrawn
    accepted>queued accepted>withdrawn rejected>queued rejected>withdrawn
"""

REASONS = (
    ("not_histopathology", "Not histopathology"),
    ("caption_says_nothing", "Caption says nothing"),
    ("image_too_poor", "Image too poor"),
    ("unclear_panels", "Unclear panels"),
    ("person_recognisable", "Person recognisable"),
    ("advertising", "Advertising"),
    ("duplicate", "Duplicate"),
    ("other", "Other"),
)


def upgrade() -> None:
    candidate_arrows()
    append_only()
    app_role()
    seeds()


def candidate_arrows() -> None:
    arrows = ", ".join(f"'{arrow}'" for arrow in ARROWS.split())
    op.execute(
        f"""
        CREATE FUNCTION candidate_arrow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'INSERT' THEN
                IF NEW.state <> 'incoming' THEN
                    RAISE EXCEPTION 'a candidate begins as incoming, not %', NEW.state USING ERRCODE = '23514';
                END IF;
            ELSIF NEW.state <> OLD.state AND NOT (OLD.state || '>' || NEW.state) = ANY (ARRAY[{arrows}]) THEN
                RAISE EXCEPTION 'no arrow from % to %', OLD.state, NEW.state USING ERRCODE = '23514';
            END IF;
            RETURN NEW;
        END $$
        """
    )
    op.execute(
        """CREATE TRIGGER candidate_arrow BEFORE INSERT OR UPDATE OF state ON candidate
        FOR EACH ROW EXECUTE FUNCTION candidate_arrow()"""
    )


def append_only() -> None:
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = '42501';
        END $$
        """
    )
    for table in APPEND_ONLY:
        op.execute(
            f"""CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION refuse_change()"""
        )
        op.execute(
            f"""CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"""
        )


def app_role() -> None:
    """Roles belong to the whole server, so another database may have made this one already."""
    op.execute(
        """
        DO $$ BEGIN
            CREATE ROLE ipath_app NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$
        """
    )
    op.execute("GRANT ipath_app TO CURRENT_USER")
    op.execute("GRANT USAGE ON SCHEMA public TO ipath_app")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ipath_app")
    op.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO ipath_app")
    defaults = "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT"
    op.execute(f"{defaults} SELECT, INSERT, UPDATE, DELETE ON TABLES TO ipath_app")
    op.execute(f"{defaults} USAGE ON SEQUENCES TO ipath_app")
    op.execute("REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM ipath_app")
    for table in APPEND_ONLY:
        op.execute(f"REVOKE UPDATE, DELETE ON {table} FROM ipath_app")


def seeds() -> None:
    for digit, (code, label) in enumerate(REASONS, start=1):
        op.execute(f"INSERT INTO reason (code, label, digit) VALUES ('{code}', '{label}', {digit})")
    op.execute(
        """INSERT INTO stage (name, active_version, setting, threshold) VALUES
        ('quality', '1', '{"shorter_side": 224}', 0.2),
        ('embedding', '1', '{}', NULL),
        ('sameness', '1', '{"pdq_distance": 31}', 0.5),
        ('domain', '1', '{}', 0.5),
        ('panels', '1', '{}', NULL),
        ('faces', '1', '{"actions": {"face": "hold"}}', NULL),
        ('writing', '1', '{"actions": {"record_number": "hold", "name": "redact", "date": "redact", "age": "redact",
            "phone": "redact", "email": "redact", "place": "redact", "handle": "warn", "link": "warn",
            "writing": "pass"}}', NULL),
        ('caption', '1', '{}', 0.15),
        ('private', '1', '{"actions": {"record_number": "redact", "name": "redact", "date": "redact", "age": "redact",
            "phone": "redact", "email": "redact", "place": "redact", "handle": "pass", "link": "warn"}}', NULL),
        ('language', '1', '{}', NULL),
        ('llm', '1', '{}', 0),
        ('alignment', '1', '{}', 0)"""
    )
    op.execute("INSERT INTO queue (name) VALUES ('Main')")
    op.execute("INSERT INTO setting (name, value) VALUES ('overlap_share', '0'), ('seed', '20418')")
    first_prompt = sa.text("INSERT INTO prompt (version, note, text) VALUES (1, :note, :text)")
    op.execute(first_prompt.bindparams(note=NOTE, text=TEXT))
