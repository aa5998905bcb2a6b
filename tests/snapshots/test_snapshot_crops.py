"""A snapshot publishes a taken crop as the pair's picture, says its language, and is rebuilt to the same bytes."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.policies import SYSTEM
from app.candidates.queries import require_image
from app.config import settings
from app.curation import actions as curation
from app.curation.crops import Crop
from app.db import transaction
from app.errors import NotFound
from app.prefilter.policies import StageResult
from app.prefilter.recording import write_findings
from app.snapshots import building, queries
from app.snapshots.verify import verify
from app.storage import blobs
from app.tables import Candidate, Image, Outcome, ReviewKind, Role, SnapshotMember
from tests.curation.test_decide import decision, lease_of
from tests.factories import make_candidate, make_person
from tests.snapshots.test_snapshot_job import digests, own_home, quiet, snapshot  # noqa: F401  # fixtures too

pytestmark = pytest.mark.usefixtures("own_database", "quiet", "own_home")

BOX = {"x": 0.0, "y": 0.1, "width": 1.0, "height": 0.8, "confidence": 0.97}  # of 300 × 280


def found(session: Session, candidate: Candidate, stage: str, **values: Any) -> None:
    result = StageResult(candidate.id, **values)
    write_findings(session, stage, "1", [result], {candidate.id: "x"}, None)


def frozen_pair(language: str = "en") -> int:
    """Freezes one accepted pair whose reviewer took the crop."""
    with transaction() as session:
        candidate = make_candidate(session, with_blob=True)
        found(session, candidate, "panels", label="border", evidence={"boxes": [], "crop": BOX})
        found(session, candidate, "language", label=language, score=0.9)
        found(session, candidate, "alignment", score=0.75, evidence={"cosine": 0.3})
        alder = make_person(session, "alder")
        sent = decision(lease_of(session, alder, candidate), ReviewKind.ACCEPT, crop=Crop(0, 28, 300, 224))
        curation.decide(session, alder, sent)
        id_ = candidate.id
    snapshot(val=0, test=0)
    return id_


def released(folder: Path) -> tuple[bytes, dict[str, Any]]:
    with tarfile.open(next((folder / "shards").glob("*.tar"))) as tar:
        files = {member.name.rsplit(".", 1)[1]: tar.extractfile(member) for member in tar.getmembers()}
        return files["jpg"].read(), json.loads(files["json"].read())  # type: ignore[union-attr]


def test_the_release_holds_the_crop_and_the_member_names_the_original(tmp_path: Path) -> None:
    id_ = frozen_pair()
    folder = settings().snapshots_path / "v0001"
    assert verify(folder) == []
    picture, record = released(folder)
    with transaction() as session:
        crop = session.get_one(Candidate, id_).crop or {}
        original = session.scalars(select(Image.sha256).join(Candidate).where(Candidate.id == id_)).one()
        member = session.scalars(select(SnapshotMember)).one()
        assert (member.image_sha256, member.crop) == (original, crop)
        assert blobs().exists(original)
        building.export(session, 1, tmp_path / "again")
    with Picture.open(io.BytesIO(picture)) as shown:
        assert shown.size == (300, 224)
    assert (record["image_sha256"], record["width"], record["height"]) == (crop["sha256"], 300, 224)
    assert digests(tmp_path / "again") == digests(folder)


def test_language_and_cosine_are_released_where_they_are_known() -> None:
    frozen_pair("es")
    _, record = released(settings().snapshots_path / "v0001")
    assert (record["language"], record["alignment_score"]) == ("es", "0.3")


def test_an_undetermined_language_is_released_as_unknown() -> None:
    frozen_pair("und")
    with transaction() as session:
        (row,) = [member.row for member in queries.members(session, queries.numbered(session, 1), "train")]
    assert row["language"] is None


def test_an_alignment_that_was_not_run_is_released_as_unknown() -> None:
    with transaction() as session:
        candidate = make_candidate(session, with_blob=True)
        found(session, candidate, "alignment", outcome=Outcome.NOT_RUN, evidence={"why": "no trained weights"})
        alder = make_person(session, "alder")
        curation.decide(session, alder, decision(lease_of(session, alder, candidate)))
    snapshot(val=0, test=0)
    _, record = released(settings().snapshots_path / "v0001")
    assert (record["alignment_score"], record["language"], record["height"]) == ("", "", 280)


NAME = {"kind": "name", "x": 0.2, "y": 0.5, "width": 0.4, "height": 0.1, "score": 0.98}


def test_the_release_holds_the_covered_copy_says_so_and_no_researcher_gets_the_original() -> None:
    with transaction() as session:
        candidate = make_candidate(session, with_blob=True)
        found(session, candidate, "writing", evidence={"boxes": [NAME], "kinds": {"name": 1}})
        alder = make_person(session, "alder")
        sent = decision(lease_of(session, alder, candidate), masks=[Crop(55, 135, 129, 37)])
        curation.decide(session, alder, sent)
    snapshot(val=0, test=0)
    folder = settings().snapshots_path / "v0001"
    picture, record = released(folder)
    assert (record["masked"], record["width"], record["height"]) == (1, 300, 280)
    assert "1 picture has parts covered" in (folder / "README.md").read_text()
    with transaction() as session:
        member = session.scalars(select(SnapshotMember)).one()
        covered = (member.crop or {})["sha256"]
        assert blobs().get(covered) == picture
        fir = make_person(session, "fir", Role.RESEARCHER)
        require_image(session, fir, covered)
        with pytest.raises(NotFound):
            require_image(session, fir, member.image_sha256)
        assert [look.sha256 for look in queries.look_inside(session, queries.numbered(session, 1))] == [covered]
        require_image(session, SYSTEM, covered)
