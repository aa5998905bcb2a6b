"""Published thresholds as starting points: previewed, never applied by themselves."""

import pytest
from sqlalchemy.orm import Session

from app.prefilter.presets import PRESETS, presets_of
from app.prefilter.stages import BY_NAME
from app.tables import Stage
from tests.web_client import SignIn


def test_a_preset_is_of_a_stage_with_a_threshold_and_names_its_source() -> None:
    for preset in PRESETS:
        assert BY_NAME[preset.stage].has_threshold
        assert preset.source
        assert preset.threshold is None or 0 <= preset.threshold <= 1


@pytest.mark.parametrize("stage", ["domain", "alignment"])
def test_pressing_a_preset_previews_it_and_changes_nothing(sign_in: SignIn, session: Session, stage: str) -> None:
    preset = presets_of(stage)[0]
    admin, before = sign_in("elm"), session.get_one(Stage, stage).threshold
    link = f"/prefilter/{stage}?threshold={preset.threshold}"
    assert link in admin.get(f"/prefilter/{stage}").text
    assert admin.get(link).status_code == 200
    session.expire_all()
    assert session.get_one(Stage, stage).threshold == before


def test_what_was_never_published_is_said_and_can_not_be_pressed(sign_in: SignIn) -> None:
    page = sign_in("elm").get("/prefilter/domain").text
    assert "which, and at what thresholds, is unpublished" in page
    assert page.count(">Preview 0.") == sum(preset.threshold is not None for preset in presets_of("domain"))
