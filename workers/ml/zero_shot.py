"""Histology or not from prompts alone, for a CLIP with trained weights and no labels yet."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from workers.ml.vectors import Vectors, l2_normalised

PROMPTS_VERSION = 1

# Templates of QuiltNet's zero-shot protocol and the plain one of CLIP; class names are ours.
HISTOLOGY_TEMPLATES = (
    "a histopathology slide showing {}.",
    "histopathology image of {}.",
    "pathology tissue showing {}.",
    "a photomicrograph of {}.",
)
OTHER_TEMPLATES = ("a photo of {}.", "an image of {}.", "a picture showing {}.")
HISTOLOGY = (
    "tissue stained with hematoxylin and eosin",
    "tissue with immunohistochemical staining",
    "tissue with a special stain",
    "a tumor at high magnification",
    "tissue at low magnification",
)
OTHER = (
    "a gross surgical specimen",
    "a radiology scan",
    "an endoscopy or a clinical photograph of a patient",
    "a diagram or chart",
    "a slide with text",
    "people",
    "a laboratory or a microscope",
    "an everyday object, food or an animal",
    "a landscape or a building",
)


def class_vectors(
    embed_texts: Callable[[Sequence[str]], Vectors], templates: Sequence[str], names: Sequence[str]
) -> Vectors:
    """One unit vector a name [k, d]: the mean over its templates, scaled to length 1 again (CLIP's way)."""
    return l2_normalised(prompt_vectors(embed_texts, templates, names).mean(axis=1))


def prompt_vectors(
    embed_texts: Callable[[Sequence[str]], Vectors], templates: Sequence[str], names: Sequence[str]
) -> Vectors:
    """The unit vector of every name in every template [names, templates, d]."""
    vectors = embed_texts([filled(template, name) for name in names for template in templates])
    return vectors.reshape(len(names), len(templates), -1)


def filled(template: str, name: str) -> str:
    """A template with the name at its `{}`, or `{c}` as CLIP_benchmark writes it."""
    return template.replace("{c}", "{}").replace("{}", name)


def zero_shot_scores(images: Vectors, positive: Vectors, negative: Vectors, logit_scale: float) -> NDArray[np.float64]:
    """Probability [n] that each image row [n, d] shows one of the positive classes [p, d].

    Softmax over all classes with the model's own logit scale, summed over the positive ones. All rows
    are unit vectors.
    """
    classes = np.concatenate([positive, negative]).astype(np.float64)
    logits = logit_scale * (images.astype(np.float64) @ classes.T)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights[:, : len(positive)].sum(axis=1) / weights.sum(axis=1), dtype=np.float64)
