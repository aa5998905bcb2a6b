"""Classes told apart by their names alone: prompts, the ensemble of them, and how much hangs on the wording."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from workers.ml.vectors import Vectors, l2_normalised
from workers.ml.zero_shot import prompt_vectors

CLIP_BENCHMARK_SCALE = 100.0
ROWS = 8_192  # at once, to bound the memory
DRAWS = 50  # single prompts that are tried; CONCH reports the median of such draws

Codes = NDArray[np.intp]
Measure = Callable[[Codes], float]  # of predictions [n], what they are worth
ScaleFrom = Literal["model", "100"]


class CantPrompt(ValueError):
    """The prompts, or the model, can't name a class. The message says what to change."""


class ReadsText(Protocol):
    """What is asked of a model here; `workers.ml.encoder.Encoder` is one."""

    @property
    def name(self) -> str: ...
    @property
    def has_text(self) -> bool: ...
    @property
    def logit_scale(self) -> float | None: ...
    def embed_texts(self, texts: Sequence[str], /) -> Vectors: ...


@dataclass(frozen=True)
class Prompts:
    """`names[class]` are the words for each class, in the classes' order; `templates` hold them at `{}` or `{c}`."""

    templates: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]

    def check(self) -> None:
        """Raises CantPrompt for too few classes, an empty name or template, or two classes of the same names."""
        if len(self.names) < 2:
            raise CantPrompt("Zero-shot needs two classes or more.")
        if not self.templates:
            raise CantPrompt("There is no template. Add one, or `{}` for the bare class names.")
        for template in self.templates:
            if "{}" not in template and "{c}" not in template:
                raise CantPrompt(f"The template “{template[:80]}” has no place for the class name. Write {{}} there.")
        seen: dict[frozenset[str], int] = {}
        for place, words in enumerate(self.names):
            if not words or not all(word.strip() for word in words):
                raise CantPrompt(f"Class {place + 1} has no name, or an empty one.")
            other = seen.setdefault(frozenset(words), place)
            if other != place:
                raise CantPrompt(f"Classes {other + 1} and {place + 1} have the same names: nothing tells them apart.")


@dataclass(frozen=True)
class Embedded:
    """The unit vectors of all prompts: for each class [names, templates, d]."""

    classes: tuple[Vectors, ...]

    @property
    def ensemble(self) -> Vectors:
        """One unit vector a class [k, d]: the mean over all its names and templates, scaled to length 1 again."""
        return _means(self.classes)

    def of_template(self, place: int) -> Vectors:
        return _means([vectors[:, place : place + 1] for vectors in self.classes])

    def drawn(self, rng: np.random.Generator, template: int | None = None) -> Vectors:
        """One name a class by chance, in all templates or in one."""
        names = [rng.integers(0, len(vectors)) for vectors in self.classes]
        places = slice(None) if template is None else slice(template, template + 1)
        return _means([vectors[name : name + 1, places] for name, vectors in zip(names, self.classes, strict=True)])


@dataclass(frozen=True)
class Answers:
    """Predictions [n], cosines [n, k], softmax of these by `logit_scale`, and how many items had two best classes."""

    predicted: Codes
    cosines: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    logit_scale: float
    scale_from: ScaleFrom
    ties: int


@dataclass(frozen=True)
class Spread:
    """What the ensemble gives, and what other wordings of it would have given."""

    point: float
    templates: dict[str, float]  # each alone, with all names
    names: list[float]  # one name a class drawn by chance, in all templates; empty where no class has two
    single: list[float]  # one name a class in one template, both by chance


def embed(model: ReadsText, prompts: Prompts) -> Embedded:
    """Every prompt once. Raises CantPrompt, also for a model that reads pictures only."""
    if not model.has_text:
        raise CantPrompt(f"{model.name} has no text tower, so no names can be put to it. Use a linear probe.")
    prompts.check()
    flat = [name for words in prompts.names for name in words]
    vectors = prompt_vectors(model.embed_texts, prompts.templates, flat)
    ends = np.cumsum([len(words) for words in prompts.names])[:-1]
    return Embedded(tuple(np.split(vectors, ends)))


def answer(images: Vectors, classes: Vectors, logit_scale: float | None) -> Answers:
    """The nearest class by cosine of each image row [n, d], of any length, among `classes` [k, d], unit vectors.

    Ties go to the class that is listed first. Scores are softmax by the model's own scale, or, where it has none, by
    CLIP_benchmark's 100.
    """
    cosines = cosines_of(l2_normalised(images), classes)
    best = cosines.max(axis=1, keepdims=True)
    scale = CLIP_BENCHMARK_SCALE if logit_scale is None else logit_scale
    return Answers(
        predicted=cosines.argmax(axis=1),
        cosines=cosines,
        probabilities=softmax(scale * cosines, axis=1),
        logit_scale=scale,
        scale_from="100" if logit_scale is None else "model",
        ties=int(((cosines == best).sum(axis=1) > 1).sum()),
    )


def spread(images: Vectors, embedded: Embedded, templates: Sequence[str], measure: Measure, seed: int) -> Spread:
    """`measure` of the ensemble, of each template alone, and of prompts drawn by chance (50, by `seed`)."""
    units, rng = l2_normalised(images), np.random.default_rng(seed)

    def of(classes: Vectors) -> float:
        return measure(cosines_of(units, classes).argmax(axis=1))

    has_synonyms = any(len(vectors) > 1 for vectors in embedded.classes)
    chosen = rng.integers(0, len(templates), DRAWS)
    return Spread(
        point=of(embedded.ensemble),
        templates={template: of(embedded.of_template(place)) for place, template in enumerate(templates)},
        names=[of(embedded.drawn(rng)) for _ in range(DRAWS)] if has_synonyms else [],
        single=[of(embedded.drawn(rng, int(template))) for template in chosen],
    )


def cosines_of(units: Vectors, classes: Vectors) -> NDArray[np.float32]:
    """[n, k] of unit rows. Summed in double precision, so that equal classes tie and no row hangs on its neighbours."""
    exact = classes.astype(np.float64).T
    made = [units[at : at + ROWS].astype(np.float64) @ exact for at in range(0, len(units), ROWS)]
    return np.concatenate([np.empty((0, len(classes))), *made]).astype(np.float32)


def _means(classes: Sequence[Vectors]) -> Vectors:
    return l2_normalised(np.stack([vectors.mean(axis=(0, 1), dtype=np.float64) for vectors in classes]))
