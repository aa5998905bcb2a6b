"""The proof: a tiny CLIP that has learned the names of drawn colours beats its untrained self in every task, surely."""

import json
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from uuid import uuid4

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
from app.snapshots import queries as snapshots
from app.tables import Encoder, Job, JobState
from tests import factories
from tests.encoders.models import register, run
from tests.evaluation.test_evaluate_job import evaluated, read
from tests.factories import make_candidate, make_person
from tests.snapshots.test_snapshot_job import accept, snapshot
from workers.ml import drawn

FIXED = {"count": 1, "texture": "plain", "background": "grey", "shape": "circle"}
TEMPLATE = "a {} circle"
NET = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 1},
}
PAIRS = 36
STEPS, BATCH = 100, 64


@pytest.fixture
def models(roots: Path) -> tuple[Encoder, Encoder]:
    """The network as it was drawn, and after a hundred steps of CLIP's own loss on other drawings."""
    config = settings().models_path / "proof_clip.json"
    config.write_text(json.dumps(NET))
    open_clip.add_model_config(config)
    torch.manual_seed(0)
    model, _, transform = open_clip.create_model_and_transforms("proof_clip", pretrained_text=False)
    save(model, "base")
    learn(model, transform)
    save(model, "ours")
    made = [
        NewEncoder("open_clip", config.name, checkpoint=f"{name}.safetensors", name=name) for name in ("base", "ours")
    ]
    return register(made[0]), register(made[1])


def save(model: torch.nn.Module, name: str) -> None:
    state = {key: value.clone().contiguous() for key, value in model.state_dict().items()}
    save_file(state, settings().models_path / f"{name}.safetensors")


def learn(model: torch.nn.Module, transform: open_clip.transform.Compose) -> None:
    pairs = list(drawn.pairs(512, 1, 64, **FIXED))
    images = torch.stack([transform(pair.picture) for pair in pairs])
    texts = open_clip.get_tokenizer("proof_clip")([TEMPLATE.format(pair.truth.colour) for pair in pairs])
    optimiser, loss = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1), open_clip.ClipLoss()
    lot, threads = torch.Generator().manual_seed(0), torch.get_num_threads()
    torch.set_num_threads(1)
    for step in range(STEPS):
        some = torch.randperm(len(images), generator=lot)[:BATCH]
        optimiser.param_groups[0]["lr"] = 3e-3 * min(1, step / 20)
        optimiser.zero_grad()
        loss(*model(images[some], texts[some])).backward()
        optimiser.step()
    torch.set_num_threads(threads)


def test_a_model_that_has_learned_beats_its_untrained_self_in_each_task_of_a_set(
    roots: Path, models: tuple[Encoder, Encoder]
) -> None:
    for number, pair in enumerate(drawn.pairs(320, 2, 64, **FIXED)):
        path = roots / "colours" / ("train" if number < 160 else "test") / pair.truth.colour / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pair.picture.save(path)
    set_id = read("colours")
    with transaction() as session:
        worded = queries.newest_wording(session, "folders: colours")
        assert worded
        actions.add_wording(session, SYSTEM, worded, worded.names, [TEMPLATE], "as the model learned them")
    for task, metric in (
        (Task.ZERO_SHOT, "accuracy"),
        (Task.LINEAR_PROBE, "accuracy"),
        (Task.FEW_SHOT, "balanced_accuracy.k1"),
    ):
        given = {"ks": (1, 4), "seeds": 3} if task is Task.FEW_SHOT else {}
        for encoder in models:
            evaluated(encoder, set_id, task, **given)
        assert_better(models, task, metric)


def test_it_finds_captions_and_pictures_that_its_untrained_self_does_not(
    models: tuple[Encoder, Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = list(drawn.pairs(PAIRS, 3, 300, **FIXED))
    pictures: Iterator[drawn.Pair] = cycle(pairs)
    monkeypatch.setattr(factories, "make_picture", lambda _seed: next(pictures).jpeg)
    with transaction() as session:
        alder = make_person(session, f"alder{uuid4().hex[:6]}")
        for pair in pairs:
            caption, author = TEMPLATE.format(pair.truth.colour), f"path_demo_{uuid4().hex[:8]}"
            accept(session, alder, make_candidate(session, caption=caption, author=author, with_blob=True))
    assert snapshot(val=0, test=PAIRS - 2).state is JobState.SUCCEEDED
    with transaction() as session:
        frozen = snapshots.numbered(session, 1)
        wish = Wish([one.id for one in models], [], [frozen.id], [Task.RETRIEVAL], Settings())
        wanted = [session.get_one(Job, row.job_id) for row in actions.launch(session, SYSTEM, wish)]
    for job in wanted:
        done = run(job)
        assert done.state is JobState.SUCCEEDED, done.error
    for way in ("text_to_image", "image_to_text"):
        assert_better(models, Task.RETRIEVAL, f"{way}.r1.group_aware")


def assert_better(models: tuple[Encoder, Encoder], task: Task, metric: str) -> None:
    """In the matrix against the base, by more than chance after Holm, and the interval is above the guess."""
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
