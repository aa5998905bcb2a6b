"""On drawn pictures with known truth, a small CLIP that has learnt beats its untrained self in every task, and by more
than chance; no model beats itself."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from app.training.architectures import config_path
from app.training.settings import PRACTICE_ARCHITECTURE
from workers.evaluating import zero_shot
from workers.evaluating.features import features
from workers.evaluating.few_shot import few_shot
from workers.evaluating.metrics import Codes, statistic
from workers.evaluating.probing import probe
from workers.evaluating.statistics import Difference, McNemar, differences, holm, mcnemar, mean_of
from workers.ml import drawn
from workers.ml.encoder import Encoder, EncoderSpec, load_encoder
from workers.ml.retrieval import ranks
from workers.ml.vectors import Vectors

FIXED = {"shape": "circle", "count": 1, "place": "middle"}
COLOURS = list(drawn.COLOURS)
SIDE, STEPS, BATCH = 64, 150, 64


@dataclass(frozen=True)
class Both:
    """The same CLIP with the weights that training began from, and with those that it made."""

    untrained: Encoder
    trained: Encoder


@dataclass(frozen=True)
class Seen:
    """A set as one model sees it: features of what is learned from and of what is measured on."""

    train: Vectors
    labels: Codes
    test: Vectors
    truth: Codes
    captions: list[str]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    config = str(config_path(PRACTICE_ARCHITECTURE))
    untrained = load_encoder(EncoderSpec("open_clip", config, None, seed=3))
    file = tmp_path_factory.mktemp("made") / "trained.safetensors"
    train(config, file)
    return Both(untrained, load_encoder(EncoderSpec("open_clip", config, str(file))))


def train(config: str, file: Path) -> None:
    """The contrastive loss of CLIP on drawn pairs, no more."""
    open_clip.add_model_config(config)
    name = Path(config).stem
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a model is slower on more, and sums in another order
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained_text=False)
        tokens = open_clip.get_tokenizer(name)
        pairs = list(drawn.pairs(640, 11, SIDE, **FIXED))
        pixels = torch.stack([preprocess(pair.picture) for pair in pairs])
        texts = tokens([pair.caption for pair in pairs])
        loss_of = open_clip.ClipLoss()
        optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.1, betas=(0.9, 0.98))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1e-3, total_steps=STEPS)
        for _ in range(STEPS):
            rows = torch.randperm(len(pairs))[:BATCH]
            loss = loss_of(*model(pixels[rows], texts[rows]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    torch.set_num_threads(threads)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, file)


def seen(network: Encoder) -> Seen:
    sides = []
    for count, seed in ((160, 21), (240, 22)):
        pairs = list(drawn.pairs(count, seed, SIDE, **FIXED))
        found = features(network, [(str(at), lambda pair=pair: pair.jpeg) for at, pair in enumerate(pairs)], cache=None)
        sides.append((found.vectors, np.array([COLOURS.index(pair.truth.colour) for pair in pairs]), pairs))
    (train_, labels, _), (test, truth, pairs) = sides
    return Seen(train_, labels, test, truth, [pair.caption for pair in pairs])


def beats(better: Codes, worse: Codes, truth: Codes) -> tuple[Difference, McNemar]:
    groups = range(len(truth))
    found = differences(statistic(truth, better, 8), statistic(truth, worse, 8), groups, seed=0)
    return found["balanced_accuracy"], mcnemar(better == truth, worse == truth)


def zero_shot_of(network: Encoder, of: Seen) -> Codes:
    prompts = zero_shot.Prompts(
        ("A picture of one {} circle.", "One {} circle in the middle."), tuple((name,) for name in COLOURS)
    )
    classes = zero_shot.embed(network, prompts).ensemble
    return zero_shot.answer(of.test, classes, network.logit_scale).predicted


def probe_of(_network: Encoder, of: Seen) -> Codes:
    return probe(of.train, of.labels, of.test, 8).predicted


def few_shot_of(_network: Encoder, of: Seen) -> Codes:
    return next(iter(few_shot(of.train, of.labels, of.test, COLOURS, shots=(2,), seeds=(0,)))).predicted


def test_what_has_learnt_beats_what_has_not_in_each_task(both: Both) -> None:
    worse, better = seen(both.untrained), seen(both.trained)
    found = {
        name: beats(answer(both.trained, better), answer(both.untrained, worse), better.truth)
        for name, answer in (("zero-shot", zero_shot_of), ("probe", probe_of), ("few-shot", few_shot_of))
    }
    by_bootstrap = holm([difference.p for difference, _ in found.values()])
    by_mcnemar = holm([exact.p for _, exact in found.values()])
    for (name, (difference, exact)), *p in zip(found.items(), by_bootstrap, by_mcnemar, strict=True):
        assert difference.value > 0.05, name
        assert difference.interval is not None
        assert difference.interval.low > 0, name
        assert exact.only_one > exact.only_other
        assert all(one is not None and one < 0.05 for one in p), (name, p)


def test_what_has_learnt_finds_captions_that_the_untrained_does_not(both: Both) -> None:
    hits = []
    for network in (both.trained, both.untrained):
        of = seen(network)
        units = of.test / np.linalg.norm(of.test, axis=1, keepdims=True)
        labels = [[caption] for caption in of.captions]
        found = ranks(units, network.embed_texts(of.captions), labels, labels).image_to_text
        hits.append(found.rank <= 10)
    learnt = differences(mean_of(hits[0]), mean_of(hits[1]), range(len(hits[0])), seed=0)["mean"]
    assert learnt.value > 0.2
    assert learnt.p is not None
    assert learnt.p < 0.05


def test_a_model_is_no_better_than_itself(both: Both) -> None:
    of = seen(both.trained)
    said = probe_of(both.trained, of)
    difference, exact = beats(said, said, of.truth)
    assert (difference.value, difference.p, exact.p) == (0, 1, 1)
