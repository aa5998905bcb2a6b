"""Zero-shot scores: a softmax over class prototypes."""

import json
from pathlib import Path

import numpy as np
import pytest

from workers.ml.encoder import EncoderSpec, load_encoder
from workers.ml.vectors import l2_normalised
from workers.ml.zero_shot import (
    HISTOLOGY,
    HISTOLOGY_TEMPLATES,
    OTHER,
    OTHER_TEMPLATES,
    class_vectors,
    zero_shot_scores,
)

AXES = np.eye(4, dtype=np.float32)


def test_a_picture_near_a_positive_class_scores_high_and_near_a_negative_low() -> None:
    scores = zero_shot_scores(AXES[[0, 2]], AXES[:2], AXES[2:], logit_scale=100.0)
    assert scores[0] > 0.999
    assert scores[1] < 0.001


def test_the_score_is_the_softmax_of_the_positive_classes() -> None:
    scores = zero_shot_scores(AXES[:1], AXES[:1], AXES[1:], logit_scale=2.0)
    assert scores[0] == pytest.approx(np.exp(2) / (np.exp(2) + 3))


def test_a_picture_between_all_classes_scores_their_share() -> None:
    middle = l2_normalised(np.ones((1, 4), dtype=np.float32))
    assert zero_shot_scores(middle, AXES[:1], AXES[1:], 100.0)[0] == pytest.approx(0.25)


def test_class_vectors_average_the_templates_and_have_length_one() -> None:
    tiny = load_encoder(EncoderSpec("open_clip", str(Path(__file__).parents[2] / "tiny_clip.json")))
    vectors = class_vectors(tiny.embed_texts, HISTOLOGY_TEMPLATES, HISTOLOGY)
    assert vectors.shape == (len(HISTOLOGY), 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    one = tiny.embed_texts([template.format(HISTOLOGY[1]) for template in HISTOLOGY_TEMPLATES])
    np.testing.assert_allclose(vectors[1], l2_normalised(one.mean(axis=0, keepdims=True))[0], atol=1e-5)


def test_the_prompts_are_plain_data() -> None:
    json.dumps([HISTOLOGY, HISTOLOGY_TEMPLATES, OTHER, OTHER_TEMPLATES])
    assert not set(HISTOLOGY) & set(OTHER)
    assert all("{}" in template for template in HISTOLOGY_TEMPLATES + OTHER_TEMPLATES)
