"""The proof: a tiny CLIP that the product fine-tuned on drawn colours beats its untrained base in each task, surely."""

import json
from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from app.accounts.policies import SYSTEM
from app.config import settings
from app.db import transaction
from app.encoders.actions import NewEncoder
from app.evaluation import actions, matrix, queries
from app.evaluation.planning import Wish
from app.evaluation.policies import Settings, Task
from app.tables import Encoder, Job, JobState, Snapshot
from app.training.settings import BY_NAME
from tests.encoders.models import register, run
from tests.evaluation.test_evaluate_job import evaluated, read
from tests.training.running import accept_pairs, freeze, launch, now, work
from workers.ml import drawn

pytestmark = pytest.mark.process
FIXED = {"count": 1, "texture": "plain", "background": "grey", "shape": "circle"}
TEMPLATE = "a {} circle"
NET = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 1},
}
TRAIN, VAL, TEST = 160, 8, 36
RULES = replace(
    BY_NAME["scratch"].settings, epochs=12, batch_size=16, learning_rate=3e-3, smallest_crop=1, best_by="loss"
)


@pytest.fixture
def frozen(roots: Path) -> Snapshot:
    """A snapshot of drawn circles whose captions name their colour."""
    count = TRAIN + VAL + TEST

    def circle(number: int) -> tuple[bytes, str]:
        pair = drawn.pair(number, 1, 64, **FIXED)
        return pair.jpeg, TEMPLATE.format(pair.truth.colour)

    with transaction() as session:
        accept_pairs(session, count, count, circle)
    return freeze(VAL, TEST)


@pytest.fixture
def models(frozen: Snapshot) -> tuple[Encoder, Encoder]:
    """A network with random weights, and what the job that fine-tunes made of it."""
    config = settings().models_path / "proof_clip.json"
    config.write_text(json.dumps(NET))
    open_clip.add_model_config(config)
    torch.manual_seed(0)
    untrained = open_clip.create_model("proof_clip", pretrained_text=False)
    state = {key: value.clone().contiguous() for key, value in untrained.state_dict().items()}
    save_file(state, settings().models_path / "base.safetensors")
    base = register(NewEncoder("open_clip", config.name, checkpoint="base.safetensors", name="base"))
    made, job = launch(RULES, snapshot_id=frozen.id, base_id=base.id)
    done = work(job)
    assert done.state is JobState.SUCCEEDED, done.error
    with transaction() as session:
        return base, session.get_one(Encoder, now(made).encoder_id)


def test_what_the_product_trained_beats_its_untrained_base_in_each_task(
    roots: Path, frozen: Snapshot, models: tuple[Encoder, Encoder]
) -> None:
    for number, pair in enumerate(drawn.pairs(320, 2, 64, **FIXED)):
        path = roots / "colours" / ("train" if number < 160 else "test") / pair.truth.colour / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pair.picture.save(path)
    set_id = read("colours")
    with transaction() as session:
        worded = queries.newest_wording(session, f"folders: colours ({set_id})")
        assert worded
        actions.add_wording(session, SYSTEM, worded, worded.names, [TEMPLATE], "as the captions have them")
    for task, metric in (
        (Task.ZERO_SHOT, "accuracy"),
        (Task.LINEAR_PROBE, "accuracy"),
        (Task.FEW_SHOT, "balanced_accuracy.k1"),
    ):
        given = {"ks": (1, 4), "seeds": 3} if task is Task.FEW_SHOT else {}
        for encoder in models:
            evaluated(encoder, set_id, task, **given)
        assert_better(models, task, metric)
    searched(models, frozen)
    for way in ("text_to_image", "image_to_text"):
        assert_better(models, Task.RETRIEVAL, f"{way}.r1.group_aware")


def searched(models: tuple[Encoder, Encoder], frozen: Snapshot) -> None:
    """Measures both on the pairs that were held out of the training."""
    with transaction() as session:
        wish = Wish([one.id for one in models], [], [frozen.id], [Task.RETRIEVAL], Settings())
        wanted = [session.get_one(Job, row.job_id) for row in actions.launch(session, SYSTEM, wish)]
    for job in wanted:
        done = run(job)
        assert done.state is JobState.SUCCEEDED, done.error


def assert_better(models: tuple[Encoder, Encoder], task: Task, metric: str) -> None:
    """In the matrix against the base, by more than chance after Holm, and far from the guess of 1 in 8."""
    base, ours = models
    with transaction() as session:
        table = matrix.build(task, metric, queries.measured(session, task, metric, base.id), base.id)
    cells = {row.encoder_id: row.cells[0] for row in table.rows}
    cell = cells[ours.id]
    assert cell
    assert cell.difference
    assert cell.difference.is_sure, (metric, cell.difference)
    assert cell.difference.value > 0
    assert cell.value is not None
    assert cell.value > 0.9
