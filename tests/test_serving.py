"""What heavy packages stay out of the processes that serve pages and write releases."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app import serving
from app.curation import actions, leases
from app.db import transaction
from app.snapshots.freezing import freeze
from app.tables import ReviewKind
from tests.curation.test_decide import decision
from tests.factories import make_candidate, make_person

ML = {"torch", "torchvision", "open_clip", "timm", "sklearn", "openai"}


def modules_after(program: str) -> set[str]:
    """The names of what is imported once a new interpreter has run `program`."""
    said = f"{program}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, env=os.environ)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_web_app_imports_nothing_heavy() -> None:
    found = modules_after("from app.main import create_app\ncreate_app()")
    assert "app.snapshots.building" in found
    assert not found & (ML | {"pyarrow", "pandas", "numpy", "scipy"})


@pytest.mark.usefixtures("own_database")
def test_a_database_is_brought_up_to_date_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    serving.migrate()


@pytest.mark.usefixtures("own_database")
def test_rebuilding_a_snapshot_needs_no_model(tmp_path: Path) -> None:
    with transaction() as session:
        oak = make_person(session, "oak")
        for number in range(3):
            make_candidate(session, author=f"author_{number}", with_blob=True)
        for lease in leases.hold(session, oak):
            actions.decide(session, oak, decision(lease, ReviewKind.ACCEPT))
        frozen = freeze(session, None, None, 0, 0, "").number
    folder = tmp_path / "copy"
    found = modules_after(
        "from pathlib import Path\nfrom app.db import transaction\nfrom app.snapshots import building\n"
        f"with transaction() as session:\n    building.export(session, {frozen}, Path({str(folder)!r}))"
    )
    assert (folder / "SHA256SUMS").exists()
    assert not found & ML
