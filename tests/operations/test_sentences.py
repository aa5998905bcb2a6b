"""Events as sentences."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.operations.sentences import ACTS, SUBJECTS, Entry, Link, job_label, sentence, subject_of
from app.tables import JobState
from workers.main import HANDLERS

ROOT = Path(__file__).parents[2]
CALL = re.compile(r"""\b(?:record|_event)\(\s*session,\s*f?"([a-z_]+\.[^"]+)"(?:,\s*"([a-z_]+)")?""")


def entry(act: str, kind: str = "candidate", subject_id: str = "7", name: str = "", **details: Any) -> Entry:
    at = datetime(2026, 11, 24, tzinfo=UTC)
    return Entry(1, at, "elm", act, kind, subject_id, name, details)


def recorded() -> list[tuple[str, str]]:
    """(act, kind of subject) of each call that writes an event, as the code spells them."""
    files = [*(ROOT / "app").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]
    return [call for file in files for call in CALL.findall(file.read_text())]


def acts_in_code() -> set[str]:
    """Acts that the code puts together from a value are spelled out."""
    found: set[str] = set()
    for act, _ in recorded():
        if act == "candidate.{_past(decision.kind)}":
            found |= {"candidate.accepted", "candidate.rejected", "candidate.flagged"}
        elif act == "job.{values['state'].value}":
            found |= {f"job.{state.value}" for state in (JobState.FAILED, JobState.CANCELLED)}
        else:
            found.add(act)
    return found


def test_the_search_for_acts_finds_them() -> None:
    assert len(recorded()) >= 20
    assert {"job.retried", "candidate.undone", "stage.ran", "person.added"} <= acts_in_code()


def test_every_act_that_is_recorded_has_a_sentence() -> None:
    assert acts_in_code() - set(ACTS) == set()


def test_no_sentence_is_for_an_act_that_nothing_records() -> None:
    assert set(ACTS) - acts_in_code() == set()


def test_every_subject_that_is_recorded_has_a_name() -> None:
    without_page = {"label_set", "classifier"}
    assert {kind for _, kind in recorded() if kind} - set(SUBJECTS) - without_page == set()


def test_every_kind_of_job_has_a_label() -> None:
    arguments = {"import": 43, "stage": "domain"}
    labels = {kind: job_label(kind, arguments) for kind in HANDLERS}
    assert labels["import"] == "Import 43"
    assert labels["prefilter"] == "Histology stage"
    assert not [label for kind, label in labels.items() if label == kind]


@pytest.mark.parametrize(
    ("event", "said", "change"),
    [
        (entry("candidate.accepted", state="accepted"), "accepted C-7", "→ accepted"),
        (entry("candidate.undone", state="queued"), "took back a decision on C-7", "→ queued"),
        (
            entry("candidate.requeued", **{"from": "accepted", "round": 2}),
            "sent C-7 back to the queue",
            "accepted → queued, round 2",
        ),
        (
            entry("stage.threshold_changed", "stage", "domain", **{"from": 0.6, "to": 0.62}),
            "set the threshold of Histology",
            "0.6 → 0.62",
        ),
        (
            entry("stage.threshold_changed", "stage", "domain", **{"from": None, "to": 0.5}),
            "set the threshold of Histology",
            "none → 0.5",
        ),
        (entry("stage.ran", "stage", "quality", count=32, dropped=3), "ran Quality", "32 candidates, 3 dropped"),
        (entry("stage.ran", "stage", "quality", count=1, dropped=0), "ran Quality", "1 candidate, 0 dropped"),
        (
            entry("stage.ran", "stage", "faces", count=9, dropped=0, held=1),
            "ran Faces",
            "9 candidates, 0 dropped, 1 held",
        ),
        (entry("label_set.loaded", "label_set", "3", count=1), "loaded label set 3", "1 picture"),
        (entry("import.started", "import", "42"), "started import 42", ""),
        (
            entry("import.finished", "import", "42", taken=3, refused=1, files={"used": 4}),
            "finished import 42",
            "3 taken, 1 refused",
        ),
        (entry("job.retried", "job", "3", **{"as": 9}), "tried job 3 again", "as job 9"),
        (entry("person.added", "person", "2", "birch", role="reviewer"), "added Birch", "reviewer"),
        (entry("snapshot.frozen", "snapshot", "7", pairs=120), "froze v0007", "120 pairs"),
        (entry("stage.run_again", "stage", "quality", candidates=1), "asked for Quality to run again", "1 candidate"),
    ],
)
def test_a_sentence_says_what_was_done_to_what(event: Entry, said: str, change: str) -> None:
    assert str(sentence(event)) == said
    assert sentence(event).change == change


def test_the_subject_is_a_link_by_the_routes_name() -> None:
    assert sentence(entry("candidate.accepted")).subject == Link("C-7", "candidate", {"candidate_id": "7"})
    assert sentence(entry("import.started", "import")).subject.route == "import_page"
    assert sentence(entry("label_set.loaded", "label_set")).subject == Link("label set 7")


def test_an_act_that_a_newer_version_wrote_is_told_in_its_own_words() -> None:
    assert str(sentence(entry("model.taken_out_of_use", "model"))) == "model taken out of use model 7"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("C-20418", ("candidate", "20418")),
        ("c 5", None),
        ("import 42", ("import", "42")),
        ("Job 7", ("job", "7")),
        ("v0007", ("snapshot", "7")),
        ("Histology", ("stage", "domain")),
        ("quality", ("stage", "quality")),
        ("' OR 1=1", None),
    ],
)
def test_what_is_typed_names_a_subject(typed: str, meant: tuple[str, str] | None) -> None:
    assert subject_of(typed) == meant
