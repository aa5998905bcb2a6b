"""Zero-shot equals the rule that papers share and CLIP_benchmark's method; wordings spread; bad prompts are refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from workers.evaluating.zero_shot import CantPrompt, Prompts, answer, embed, spread
from workers.ml.encoder import Encoder, EncoderSpec, load_encoder
from workers.ml.vectors import Vectors, l2_normalised

TINY = Path(__file__).parents[1] / "tiny_clip.json"
TEMPLATES = ("a histopathology slide showing {}", "an H&E image of {c}.", "{}")
PROMPTS = Prompts(TEMPLATES, (("adipose tissue", "fat", "adipocytes"), ("mucus",), ("smooth muscle", "muscularis")))


@pytest.fixture(scope="module")
def tiny() -> Encoder:
    return load_encoder(EncoderSpec("open_clip", str(TINY), None, seed=7))


@dataclass
class Told:
    """A text tower whose vectors are given."""

    vectors: dict[str, Sequence[float]]
    has_text: bool = True
    name: str = "told"
    logit_scale: float | None = None

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        return l2_normalised(np.array([self.vectors[text] for text in texts], dtype=np.float32))


def pictures(n: int, width: int = 32, seed: int = 0) -> Vectors:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def test_a_class_is_the_mean_of_its_prompts_and_has_length_one(tiny: Encoder) -> None:
    made = embed(tiny, PROMPTS).ensemble
    for place, names in enumerate(PROMPTS.names):
        texts = [t.replace("{c}", "{}").replace("{}", name) for name in names for t in TEMPLATES]
        mean = np.mean([tiny.embed_texts([text])[0] for text in texts], axis=0)
        np.testing.assert_allclose(made[place], mean / np.linalg.norm(mean), atol=1e-6)


def test_scores_are_those_of_clip_benchmarks_method(tiny: Encoder) -> None:
    """Its classifier and logits, written again from its description: torch in double, column by column, ×100."""
    images = pictures(40)
    columns = []
    for names in PROMPTS.names:
        texts = [t.replace("{c}", "{}").replace("{}", name) for name in names for t in TEMPLATES]
        assert tiny.text_tower is not None
        with torch.inference_mode():
            rows = torch.nn.functional.normalize(tiny.text_tower(texts).double(), dim=-1)
        mean = rows.mean(dim=0)
        columns.append(mean / mean.norm())
    unit = torch.nn.functional.normalize(torch.from_numpy(images).double(), dim=-1)
    logits = 100.0 * unit @ torch.stack(columns, dim=1)
    found = answer(images, embed(tiny, PROMPTS).ensemble, None)
    np.testing.assert_array_equal(found.predicted, logits.argmax(dim=1).numpy())
    np.testing.assert_allclose(found.probabilities, logits.softmax(dim=1).numpy(), rtol=0, atol=1e-6)
    assert (found.logit_scale, found.scale_from) == (100, "100")


def test_a_case_computed_by_hand() -> None:
    model = Told({"one": (1, 0), "uno": (0, 1), "two": (1, 0)})
    classes = embed(model, Prompts(("{}",), (("one", "uno"), ("two",)))).ensemble
    half = 2**-0.5
    np.testing.assert_allclose(classes, [[half, half], [1, 0]], atol=1e-6)
    found = answer(np.array([[3, 0], [0, 2]], dtype=np.float32), classes, 2.0)
    np.testing.assert_allclose(found.cosines, [[half, 1], [half, 0]], atol=1e-6)
    assert found.predicted.tolist() == [1, 0]
    said = np.exp(2 * half) / (np.exp(2 * half) + np.exp(2))
    assert found.probabilities[0, 0] == pytest.approx(said, abs=1e-6)
    assert (found.logit_scale, found.scale_from, found.ties) == (2, "model", 0)


def test_ties_go_to_the_first_class_and_are_counted() -> None:
    model = Told({"a": (0.3, 0.7, 0.1), "b": (0.3, 0.7, 0.1), "c": (0, 0, 1)})
    classes = embed(model, Prompts(("{}",), (("c",), ("b",), ("a",)))).ensemble
    found = answer(np.array([[0.3, 0.7, 0.1], [0, 0.1, 5]], dtype=np.float32), classes, None)
    assert found.predicted.tolist() == [1, 0]
    assert found.ties == 1


def test_an_item_is_answered_the_same_whatever_stands_beside_it() -> None:
    classes = l2_normalised(pictures(9, 512, seed=1))
    images = pictures(300, 512)
    together = answer(images, classes, 100.0)
    for at in (0, 7, 123, 299):
        alone = answer(images[at : at + 1], classes, 100.0)
        np.testing.assert_allclose(alone.cosines[0], together.cosines[at], atol=1e-7)
        assert alone.predicted[0] == together.predicted[at]


def test_the_spread_holds_every_template_and_draws_of_names(tiny: Encoder) -> None:
    images, truth = pictures(60), np.arange(60) % 3
    embedded = embed(tiny, PROMPTS)

    def accuracy(predicted: np.ndarray) -> float:
        return float((predicted == truth).mean())

    found = spread(images, embedded, TEMPLATES, accuracy, seed=3)
    assert found.point == accuracy(answer(images, embedded.ensemble, None).predicted)
    for template, value in found.templates.items():
        alone = embed(tiny, Prompts((template,), PROMPTS.names)).ensemble
        assert value == accuracy(answer(images, alone, None).predicted), template
    possible = {
        accuracy(answer(images, embed(tiny, Prompts(TEMPLATES, ((a,), ("mucus",), (b,)))).ensemble, None).predicted)
        for a in PROMPTS.names[0]
        for b in PROMPTS.names[2]
    }
    assert set(found.names) <= possible
    assert len(found.names) == len(found.single) == 50
    assert found == spread(images, embedded, TEMPLATES, accuracy, seed=3)


def test_classes_of_one_name_have_no_spread_of_names(tiny: Encoder) -> None:
    embedded = embed(tiny, Prompts(("{}",), (("fat",), ("mucus",))))
    assert spread(pictures(4), embedded, ("{}",), lambda said: float(said.mean()), 0).names == []


@pytest.mark.parametrize(
    ("templates", "names", "why"),
    [
        ((), (("a",), ("b",)), "no template"),
        (("an image",), (("a",), ("b",)), "no place for the class name"),
        (("{}",), (("a",), ("",)), "Class 2 has no name"),
        (("{}",), (("a",), ("b", "  ")), "Class 2 has no name"),
        (("{}",), (("a",), ()), "Class 2 has no name"),
        (("{}",), (("a", "b"), ("b", "a")), "Classes 1 and 2 have the same names"),
        (("{}",), (("a",),), "two classes"),
    ],
)
def test_prompts_that_tell_nothing_are_refused(
    tiny: Encoder, templates: tuple[str, ...], names: tuple[tuple[str, ...], ...], why: str
) -> None:
    with pytest.raises(CantPrompt, match=why):
        embed(tiny, Prompts(templates, names))


def test_a_template_is_text_and_never_code(tiny: Encoder) -> None:
    odd = Prompts(("{0.__class__} {!r:>999999999} {}",), (("a",), ("b",)))
    assert embed(tiny, odd).ensemble.shape == (2, 32)


def test_a_model_without_a_text_tower_is_refused_in_a_sentence() -> None:
    with pytest.raises(CantPrompt, match="lite0 has no text tower"):
        embed(Told({}, has_text=False, name="lite0"), PROMPTS)


def test_no_items_give_no_answers() -> None:
    found = answer(np.empty((0, 4), np.float32), np.eye(4, dtype=np.float32), None)
    assert (found.predicted.shape, found.probabilities.shape, found.ties) == ((0,), (0, 4), 0)
