"""A figure is of these pictures and no others: of one set as it was read, and again from its passport."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.accounts.policies import SYSTEM
from app.db import transaction
from app.evaluation import actions, folders, matrix, passport, queries, reports, shown
from app.evaluation.policies import Task
from app.evaluation.queries import Shown
from app.tables import JobState
from tests.encoders.models import TINY_CLIP, register, run
from tests.evaluation.fixtures.pictures import save, tissue
from tests.evaluation.test_evaluate_job import evaluated, read
from workers.evaluation_sets import recognise
from workers.ml.encoder import Encoder as Network

EACH = 6


def fill(root: Path, first: int, *splits: str, each: int = EACH) -> None:
    for split in splits or ("test",):
        for kind, label in enumerate(("pale", "dense")):
            for number in range(each):
                seed = number + first + (50 if split == "train" else 0)
                save(tissue(3 * kind, seed, (40, 40)), root / split / label / f"{number:03}.png")


def replayed(found: Shown, root: Path) -> dict[str, Any]:
    with transaction() as session:
        kept = actions.keep_passport(folders.passport_file(found.row.id))
        job = actions.replay(session, SYSTEM, kept, str(root), "")
    done = run(job)
    assert done.state is JobState.SUCCEEDED, done.error
    return done.cursor


def test_a_set_of_the_same_names_and_labels_is_another_set(roots: Path) -> None:
    fill(roots / "one", 0)
    fill(roots / "two", 500)
    encoder = register(TINY_CLIP)
    one, two = (evaluated(encoder, read(name), Task.ZERO_SHOT) for name in ("one", "two"))
    assert one.row.settings_sha256 != two.row.settings_sha256
    assert one.row.settings["items"] != two.row.settings["items"]
    scores = [[row["scores"] for row in folders.read_rows(folders.predictions_file(it.row.id))] for it in (one, two)]
    assert scores[0] != scores[1]


def test_other_pictures_read_again_under_the_same_names_are_measured_anew(roots: Path) -> None:
    fill(roots / "one", 0)
    set_id, encoder = read("one"), register(TINY_CLIP)
    before = evaluated(encoder, set_id, Task.ZERO_SHOT)
    fill(roots / "one", 500)
    with transaction() as session:
        job = actions.read_again(session, SYSTEM, set_id)
    assert run(job).state is JobState.SUCCEEDED
    assert evaluated(encoder, set_id, Task.ZERO_SHOT).row.id != before.row.id


def test_a_set_without_a_test_split_is_measured_as_a_whole(roots: Path) -> None:
    fill(roots / "one", 0, "train")
    found = evaluated(register(TINY_CLIP), read("one"), Task.ZERO_SHOT)
    assert found.row.metrics["n"] == 2 * EACH
    assert "temperature" not in found.row.metrics, "there is nothing beside what is measured to fit it on"


def test_a_picture_that_is_missing_is_not_its_namesake_in_another_folder(tmp_path: Path) -> None:
    for name in ("benign/2", "malignant/1", "malignant/2"):
        save(tissue(1, len(name), (40, 40)), tmp_path / f"{name}.png")
    rows = [f"{label}/{number}.png,{label}" for label in ("benign", "malignant") for number in (1, 2)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label", *rows]))
    found = recognise(tmp_path, "table")
    assert {item.id: item.label for item in found.variants["as published"]} == {
        "benign/2.png": "benign",
        "malignant/1.png": "malignant",
        "malignant/2.png": "malignant",
    }
    assert found.missing == ["benign/1.png"]


def test_a_replay_embeds_every_picture_itself(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(roots / "one", 0)
    found = evaluated(register(TINY_CLIP), read("one"), Task.ZERO_SHOT)
    embedded: list[str] = []
    real = Network.embed_each

    def counting(self: Network, pictures: Iterable[Any], **given: Any) -> Any:
        return real(self, ((embedded.append(id_), (id_, given_))[1] for id_, given_ in pictures), **given)

    monkeypatch.setattr(Network, "embed_each", counting)
    result = replayed(found, roots / "one")
    assert (result["same"], result["differences"]) == (2 * EACH, [])
    assert len(embedded) == 2 * EACH


def test_a_replay_says_which_training_pictures_are_others(roots: Path) -> None:
    fill(roots / "one", 0, "train", "test")
    found = evaluated(register(TINY_CLIP), read("one"), Task.LINEAR_PROBE)
    fill(roots / "one", 700, "train", each=2)
    (said,) = replayed(found, roots / "one")["differences"]
    assert said.startswith("4 of the 12 items learned from have other files here: ")


def skipped_of(found: Shown) -> list[str]:
    """The items that an evaluation names as skipped: alike on its page, in its passport and in its CSV."""
    on_page = [name for name, _ in found.row.metrics["skipped"]]
    given = passport.from_bytes(folders.passport_file(found.row.id).read_bytes())
    assert [name for name, _ in given.skipped] == on_page
    assert [row[0] for row in shown.items(found) if row[-1]] == on_page
    assert found.row.metrics["skipped_count"] == len(on_page)
    return on_page


def test_a_picture_that_could_not_be_read_with_its_set_is_skipped_by_name_wherever_the_evaluation_is_told(
    roots: Path,
) -> None:
    fill(roots / "one", 0)
    cut = roots / "one" / "test" / "pale" / "003.png"
    cut.write_bytes(cut.read_bytes()[:200])
    found = evaluated(register(TINY_CLIP), read("one"), Task.ZERO_SHOT)
    assert found.row.metrics["n"] == 2 * EACH - 1
    assert skipped_of(found) == ["test/pale/003.png"]
    with transaction() as session:
        measured = queries.measured(session, Task.ZERO_SHOT, "accuracy", None)
    limits = reports.make([matrix.build(Task.ZERO_SHOT, "accuracy", measured)], [found]).limits
    assert f"one: 1 item was skipped for {found.encoder.name}." in limits


def test_what_labels_name_and_is_not_there_is_skipped_and_a_file_that_is_no_item_is_not(roots: Path) -> None:
    listed = roots / "listed"
    for number in (0, 1, 3, 4):
        save(tissue(number, number, (40, 40)), listed / f"{number}.png")
    (listed / "0.png").write_bytes(b"no picture")
    (listed / "notes.txt").write_text("no item")
    rows = [f"{number}.png,{('pale', 'dense')[number % 2]}" for number in range(6)]
    (listed / "labels.csv").write_text("\n".join(["image,label", *rows]))
    found = evaluated(register(TINY_CLIP), read("listed"), Task.ZERO_SHOT)
    assert found.row.metrics["n"] == 3
    assert sorted(skipped_of(found)) == ["0.png", "2.png", "5.png"]


def test_every_skipped_item_is_in_the_csv(roots: Path) -> None:
    fill(roots / "one", 0)
    found = evaluated(register(TINY_CLIP), read("one"), Task.ZERO_SHOT)
    file = folders.passport_file(found.row.id)
    skipped = tuple((f"gone/{number}.png", "it can't be read") for number in range(300))
    file.write_bytes(passport.to_bytes(replace(passport.from_bytes(file.read_bytes()), skipped=skipped)))
    assert sum(1 for row in shown.items(found) if row[-1]) == 300


@pytest.mark.parametrize(
    ("task", "without", "said"),
    [("segmentation", "", "does not know: segmentation"), ("zero_shot", "seed", "lacks the setting seed")],
)
def test_a_passport_that_can_t_be_run_says_why(roots: Path, task: str, without: str, said: str) -> None:
    fill(roots / "one", 0)
    found = evaluated(register(TINY_CLIP), read("one"), Task.ZERO_SHOT)
    given = passport.from_bytes(folders.passport_file(found.row.id).read_bytes())
    settings = {name: value for name, value in given.inputs.settings.items() if name != without}
    file = roots / "given.json.gz"
    file.write_bytes(passport.to_bytes(replace(given, inputs=replace(given.inputs, task=task, settings=settings))))
    with transaction() as session:
        job = actions.replay(session, SYSTEM, actions.keep_passport(file), str(roots / "one"), "")
    assert said in run(job).error


@pytest.mark.parametrize("model", ["hf-hub:someone/evil", "/etc/passwd", "../x.json", "local-dir:x", ""])
def test_a_passport_can_t_lead_to_a_network_elsewhere(roots: Path, model: str) -> None:
    fill(roots / "one", 0)
    found = evaluated(register(TINY_CLIP), read("one"), Task.ZERO_SHOT)
    given = passport.from_bytes(folders.passport_file(found.row.id).read_bytes())
    settings = given.inputs.settings | {"network": given.inputs.settings["network"] | {"model": model}}
    file = roots / "given.json.gz"
    file.write_bytes(passport.to_bytes(replace(given, inputs=replace(given.inputs, settings=settings))))
    weights = next((roots.parents[1] / "models").glob("*.safetensors"))
    with transaction() as session:
        job = actions.replay(session, SYSTEM, actions.keep_passport(file), str(roots / "one"), str(weights))
    assert "no plain name of an architecture" in run(job).error
