"""Linear probes: the published rules give what a literal version gives, ours the optimum, and test is never touched."""

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.preprocessing import LabelEncoder

from workers.evaluating import probing
from workers.evaluating.probing import PresetName, TooFewLabels, probe
from workers.ml.vectors import Vectors, l2_normalised

Codes = probing.Codes


def drawn(n: int, classes: int = 3, width: int = 24, seed: int = 0) -> tuple[Vectors, Codes]:
    """Features as a CLIP's are: all point one way, and classes differ a little."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, width))
    labels = rng.integers(0, classes, n)
    rows = 6 + centres[labels] * 0.6 + rng.normal(size=(n, width))
    return rows.astype(np.float32), labels


TRAIN, LABELS = drawn(400)
TEST, TRUTH = drawn(200, seed=1)


def unit(rows: Vectors) -> Vectors:
    return np.stack([row / np.sqrt((row.astype(np.float64) ** 2).sum()) for row in rows]).astype(np.float32)


def literal_plip(names: Sequence[str], alpha: float, seed: int) -> tuple[list[str], float]:
    """PLIP's published probe, written again: names encoded, SGD on unit features, predictions as names."""
    encoder = LabelEncoder().fit(list(names))
    model = SGDClassifier(
        random_state=seed, loss="log_loss", alpha=alpha, penalty="l2", max_iter=10000, class_weight="balanced"
    )
    model.fit(unit(TRAIN), encoder.transform([names[c] for c in LABELS]))
    said = [str(name) for name in encoder.inverse_transform(model.predict(unit(TEST)))]
    return said, f1_score([names[c] for c in TRUTH], said, average="macro")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_plips_protocol_gives_its_codes_predictions(seed: int) -> None:
    names = ("adipose", "debris", "mucus")
    found = probe(TRAIN, LABELS, TEST, 3, preset="plip", seed=seed)
    said, score = literal_plip(names, found.settings["alpha"], seed)
    assert [names[c] for c in found.predicted] == said
    assert f1_score(TRUTH, found.predicted, average="macro") == pytest.approx(score, abs=1e-6)
    assert found.settings["class_weight"] == "balanced"


def test_plips_penalty_is_the_best_on_a_held_part_of_train() -> None:
    found = probe(TRAIN, LABELS, TEST, 3, preset="plip", seed=1)
    learn, held = next(StratifiedKFold(5, shuffle=True, random_state=1).split(TRAIN, LABELS))
    scores = {}
    for alpha in (1e-4, 1e-3, 1e-2, 1e-1):
        model = SGDClassifier(loss="log_loss", alpha=alpha, max_iter=10000, class_weight="balanced", random_state=1)
        model.fit(unit(TRAIN)[learn], LABELS[learn])
        scores[alpha] = f1_score(LABELS[held], model.predict(unit(TRAIN)[held]), average="macro")
    assert dict(found.tried) == pytest.approx(scores)
    assert scores[found.settings["alpha"]] == max(scores.values())


def test_conchs_protocol_gives_its_rules_predictions() -> None:
    found = probe(TRAIN, LABELS, TEST, 3, preset="conch")
    model = LogisticRegression(C=24 * 3 / 100, max_iter=1000, random_state=0).fit(TRAIN, LABELS)
    np.testing.assert_array_equal(found.predicted, model.predict(TEST))
    np.testing.assert_allclose(found.probabilities, model.predict_proba(TEST), atol=1e-6)
    assert found.settings["C"] == 24 * 3 / 100
    assert found.converged


@pytest.mark.parametrize("classes", [2, 5])
def test_ours_reaches_the_optimum_that_scikit_learn_reaches_slowly(classes: int) -> None:
    rows, labels = drawn(400, classes)
    others, _ = drawn(100, classes, seed=3)
    found = probe(rows, labels, others, classes)
    exact = LogisticRegression(C=found.settings["C"], max_iter=100_000, tol=1e-9)
    exact.fit(unit(rows).astype(np.float64), labels)
    np.testing.assert_allclose(found.probabilities, exact.predict_proba(unit(others)), atol=5e-3)
    assert (found.predicted == exact.predict(unit(others))).mean() > 0.98
    assert found.converged


def test_ours_chooses_the_strength_that_held_out_folds_like_best() -> None:
    found = probe(TRAIN, LABELS, TEST, 3)
    losses = dict(found.tried)
    for strength in (1.0, 10.0, 100.0):
        folds = StratifiedKFold(5, shuffle=True, random_state=0).split(TRAIN, LABELS)
        parts = []
        for learn, held in folds:
            model = LogisticRegression(C=strength, max_iter=10_000, tol=1e-8)
            model.fit(l2_normalised(TRAIN)[learn].astype(np.float64), LABELS[learn])
            parts.append(-np.log(model.predict_proba(l2_normalised(TRAIN)[held])[np.arange(len(held)), LABELS[held]]))
        assert losses[strength] == pytest.approx(np.concatenate(parts).mean(), rel=2e-3)
    assert found.settings["C"] == min(losses, key=lambda strength: losses[strength])


def test_a_group_is_never_on_both_sides_of_what_a_setting_is_chosen_on(monkeypatch: pytest.MonkeyPatch) -> None:
    slides = (np.arange(400) // 10).tolist()
    seen = []
    split = StratifiedGroupKFold.split

    def noted(self, *given):  # type: ignore[no-untyped-def]
        for learn, held in split(self, *given):
            seen.append((set(np.array(slides)[learn]), set(np.array(slides)[held])))
            yield learn, held

    monkeypatch.setattr(StratifiedGroupKFold, "split", noted)
    for preset in ("ours", "plip"):
        probe(TRAIN, LABELS, TEST, 3, preset=preset, groups=slides)
    assert len(seen) == 10
    assert all(not learn & held for learn, held in seen)


def test_copies_in_two_folds_make_a_weak_penalty_look_good_and_groups_undo_it() -> None:
    rng = np.random.default_rng(0)
    originals = rng.normal(size=(60, 64)).astype(np.float32)
    labels = rng.integers(0, 2, 60)  # nothing can be learned but the originals themselves
    rows = np.repeat(originals, 5, axis=0) + rng.normal(size=(300, 64)).astype(np.float32) * 0.05
    loose = probe(rows, np.repeat(labels, 5), TEST[:, :1].repeat(64, axis=1), 2)
    tight = probe(
        rows, np.repeat(labels, 5), TEST[:, :1].repeat(64, axis=1), 2, groups=np.repeat(range(60), 5).tolist()
    )
    assert tight.settings["C"] < loose.settings["C"]


@pytest.mark.parametrize("preset", ["ours", "plip", "conch"])
def test_test_items_move_nothing_that_is_learned(preset: PresetName) -> None:
    whole = probe(TRAIN, LABELS, TEST, 3, preset=preset, seed=1)
    half = probe(TRAIN, LABELS, TEST[:50], 3, preset=preset, seed=1)
    np.testing.assert_array_equal(half.predicted, whole.predicted[:50])
    np.testing.assert_allclose(half.probabilities, whole.probabilities[:50], atol=1e-6)
    assert half.settings == whole.settings
    assert half.tried == whole.tried
    assert probe(TRAIN, LABELS, TEST[:0], 3, preset=preset, seed=1).probabilities.shape == (0, 3)


@pytest.mark.parametrize("preset", ["ours", "plip", "conch"])
def test_features_stay_as_they_were_given(preset: PresetName) -> None:
    before = TRAIN.copy(), TEST.copy()
    probe(TRAIN, LABELS, TEST, 3, preset=preset)
    np.testing.assert_array_equal(TRAIN, before[0])
    np.testing.assert_array_equal(TEST, before[1])


def test_a_class_that_train_lacks_is_named_and_never_predicted() -> None:
    found = probe(TRAIN, LABELS, TEST, 5)
    assert found.untrained == [3, 4]
    assert found.probabilities.shape == (200, 5)
    assert (found.probabilities[:, 3:] == 0).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-5)


def test_a_probe_that_did_not_converge_says_so_and_warns_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "STEPS", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = probe(TRAIN, LABELS, TEST, 3, preset="conch")
    assert (found.converged, found.steps) == (False, 2)


def test_one_class_or_one_item_of_a_class_is_refused() -> None:
    with pytest.raises(TooFewLabels, match="one class only"):
        probe(TRAIN, np.zeros_like(LABELS), TEST, 3)
    lonely = np.where(np.arange(400) == 0, 1, 0)
    with pytest.raises(TooFewLabels, match="too few"):
        probe(TRAIN, lonely, TEST, 3)


def test_features_that_are_not_finite_are_refused() -> None:
    broken = TEST.copy()
    broken[3, 5] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        probe(TRAIN, LABELS, broken, 3)
