"""Retrieval with sets of positives: hand-computed cases, a slow reference, ties, strict pools, intervals."""

import numpy as np
import pytest
from numpy.typing import NDArray

from workers.ml.retrieval import TIE, Labels, figures, one_a_label, ranks, retrieval
from workers.ml.vectors import Vectors, l2_normalised


def flat(degrees: list[float]) -> Vectors:
    """Unit rows [n, 2] at these angles."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def one_each(count: int) -> Labels:
    return [(number,) for number in range(count)]


def test_hand_computed_ranks_of_pairs() -> None:
    """Pictures at 0°, 30°, 90°; captions at 10°, 80°, 100°: the nearest of 30° is 10°, its own at 80° is second."""
    found = ranks(flat([0, 30, 90]), flat([10, 80, 101]), one_each(3), one_each(3))
    assert found.image_to_text.rank.tolist() == [1, 2, 2]
    assert found.text_to_image.rank.tolist() == [1, 2, 1]
    said = figures(found.image_to_text, ["a", "b", "c"], ks=(1, 2))
    assert said["R@1"] == pytest.approx(1 / 3, abs=1e-6)
    assert said["R@2"] == 1
    assert said["mrr"] == pytest.approx((1 + 0.5 + 0.5) / 3, abs=1e-6)
    assert (said["median_rank"], said["queries"], said["pool"]) == (2, 3, 3)


def test_any_positive_counts_the_best_of_them() -> None:
    """The caption of the same post is nearer than the picture's own row."""
    labels = [("post", 1), ("post", 2), ("post", 1)]
    found = ranks(flat([0, 40, 80]), flat([60, 40, 2]), [(one,) for one in labels], [(one,) for one in labels])
    assert found.image_to_text.rank.tolist() == [1, 1, 1]
    assert found.image_to_text.positives.tolist() == [2, 1, 2]


def test_a_label_in_common_is_enough_but_does_not_pass_on() -> None:
    images: Labels = [("post 1",), ("post 1", "caption a"), ("caption a",)]
    found = ranks(flat([0, 1, 2]), flat([0, 1, 2]), images, images)
    assert found.image_to_text.positives.tolist() == [2, 3, 2]


def test_ties_give_the_expected_rank_never_the_order_of_rows() -> None:
    alike = np.ones((4, 3), np.float32) / np.sqrt(np.float32(3))
    found = ranks(alike, alike, one_each(4), one_each(4))
    assert found.image_to_text.rank.tolist() == [1 + 3 / 2] * 4
    assert figures(found.image_to_text, "abcd", ks=(1, 2, 3))["R@2"] == 0


def test_tied_positives_share_their_luck() -> None:
    """Two positives and one other, all equal: the first positive is expected at 1 + 1/3."""
    alike = np.ones((3, 2), np.float32) / np.sqrt(np.float32(2))
    labels: Labels = [("a",), ("a",), ("b",)]
    assert ranks(alike, alike, labels, labels).image_to_text.rank == pytest.approx([4 / 3, 4 / 3, 2])


def test_a_query_without_a_positive_has_no_rank_and_does_not_count() -> None:
    found = ranks(flat([0, 90]), flat([0, 90]), [("a",), ("b",)], [("a",), ("c",)])
    assert np.isnan(found.image_to_text.rank[1])
    assert figures(found.image_to_text, "xy")["queries"] == 1
    with pytest.raises(ValueError, match="anything to find"):
        figures(ranks(flat([0]), flat([0]), [("a",)], [("b",)]).image_to_text, "x")


def slow(cosines: NDArray[np.float64], positive: NDArray[np.bool_]) -> list[float]:
    """Every query by itself, from the definition."""
    found = []
    for row, is_right in zip(cosines, positive, strict=True):
        if not is_right.any():
            found.append(np.nan)
            continue
        best = max(row[is_right])
        equal = [right for score, right in zip(row, is_right, strict=True) if abs(score - best) <= TIE]
        found.append(1 + sum(row > best + TIE) + equal.count(False) / (equal.count(True) + 1))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_a_slow_reference_on_pools_full_of_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = l2_normalised(rng.integers(-2, 3, (70, 4)).astype(np.float32) + np.float32(1e-3))
    texts = l2_normalised(rng.integers(-2, 3, (90, 4)).astype(np.float32) + np.float32(1e-3))
    image_labels = [(int(a), f"g{b}") for a, b in rng.integers(0, 30, (70, 2))]
    text_labels = [(int(a), f"g{b}") for a, b in rng.integers(0, 30, (90, 2))]
    positive = np.array([[not set(one).isdisjoint(other) for other in text_labels] for one in image_labels])
    cosines = images.astype(np.float64) @ texts.T.astype(np.float64)
    found = ranks(images, texts, image_labels, text_labels)
    np.testing.assert_allclose(found.image_to_text.rank, slow(cosines, positive), atol=1e-6)
    np.testing.assert_allclose(found.text_to_image.rank, slow(cosines.T, positive.T), atol=1e-6)
    assert (found.image_to_text.rank % 1 != 0).any(), "no ties were tried"


def test_hits_are_those_of_clip_benchmarks_rule_where_nothing_ties() -> None:
    """Written again from its description: a query is a hit where any of its positives is among the k of the top."""
    rng = np.random.default_rng(6)
    owner = np.arange(150) % 60  # of each caption the picture; two or three captions have the same one
    images = l2_normalised(rng.normal(size=(60, 16)).astype(np.float32))
    texts = l2_normalised(images[owner] + rng.normal(size=(150, 16)).astype(np.float32))
    found = ranks(images, texts, one_each(60), [(int(picture),) for picture in owner])
    scores, positive = texts.astype(np.float64) @ images.T.astype(np.float64), owner[:, None] == np.arange(60)
    for rank, score, right in (
        (found.text_to_image.rank, scores, positive),
        (found.image_to_text.rank, scores.T, positive.T),
    ):
        for k in (1, 5, 10):
            top = np.argsort(-score, axis=1)[:, :k]
            recall = np.take_along_axis(right, top, axis=1).sum(axis=1) / right.sum(axis=1)
            assert 0 < (recall > 0).mean() < 1
            np.testing.assert_array_equal(rank <= k, recall > 0)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    images, texts = (l2_normalised(rng.normal(size=(50, 8)).astype(np.float32)) for _ in range(2))
    whole = ranks(images, texts, one_each(50), one_each(50))
    monkeypatch.setattr("workers.ml.retrieval.CHUNK", 7)
    parts = ranks(images, texts, one_each(50), one_each(50))
    assert (whole.image_to_text.rank == parts.image_to_text.rank).all()
    assert (whole.text_to_image.rank == parts.text_to_image.rank).all()


def test_a_strict_pool_has_one_pair_a_label_drawn_by_the_seed() -> None:
    labels = [(number // 3, f"caption {number % 20}") for number in range(60)]
    drawn = one_a_label(labels, 1)
    assert len({label for row in drawn for label in labels[row]}) == 2 * len(drawn)
    assert (drawn == one_a_label(labels, 1)).all()
    assert list(drawn) != list(one_a_label(labels, 2))


def test_strict_and_grouped_stand_side_by_side() -> None:
    """Two pictures of each post whose captions were swapped: right for the post, wrong for the row."""
    rng = np.random.default_rng(2)
    texts = l2_normalised(rng.normal(size=(40, 16)).astype(np.float32))
    images = texts[[row ^ 1 for row in range(40)]]
    said = retrieval(images, texts, [(row // 2,) for row in range(40)], [row // 2 for row in range(40)], ks=(1, 5))
    assert said["grouped"]["image_to_text"]["R@1"] == 1
    assert said["grouped"]["image_to_text"]["pool"] == 40
    assert said["strict"]["image_to_text"]["pool"] == 20
    assert said["strict"]["image_to_text"]["R@1"] < 0.5


def test_chance_is_k_of_n_and_more_where_several_are_right() -> None:
    images = l2_normalised(np.random.default_rng(3).normal(size=(200, 8)).astype(np.float32))
    alone = figures(ranks(images, images, one_each(200), one_each(200)).image_to_text, range(200), ks=(1, 10, 500))
    recall = {"R@1": 1 / 200, "R@10": 10 / 200, "R@500": 1.0}
    harmonic = sum(1 / rank for rank in range(1, 201))
    of_ranks = {"mrr": harmonic / 200, "median_rank": 100.5}
    assert alone["chance"] == pytest.approx(recall | of_ranks, abs=1e-6)
    halves: Labels = [(row // 2,) for row in range(200)]
    twice = figures(ranks(images, images, halves, halves).image_to_text, range(200), ks=(10,))
    assert set(twice["chance"]) == {"R@10"}, "of several positives, the first one's rank has no simple form"
    assert twice["chance"]["R@10"] == pytest.approx(1 - (190 * 189) / (200 * 199), abs=1e-6)


def test_scores_of_pure_noise_are_at_chance() -> None:
    rng = np.random.default_rng(4)
    images, texts = (l2_normalised(rng.normal(size=(1500, 32)).astype(np.float32)) for _ in range(2))
    said = figures(ranks(images, texts, one_each(1500), one_each(1500)).image_to_text, range(1500), ks=(50,))
    assert said["intervals"]["R@50"][0] < said["chance"]["R@50"] < said["intervals"]["R@50"][1]


def test_intervals_resample_authors_not_pairs() -> None:
    """All of an author's queries hit or all miss: ten authors say less than a thousand queries seem to."""
    texts = l2_normalised(np.random.default_rng(5).normal(size=(1000, 16)).astype(np.float32))
    images = texts.copy()
    images[::10] = -texts[::10]
    images[1::10] = -texts[1::10]
    found = ranks(images, texts, one_each(1000), one_each(1000)).image_to_text
    by_pair = figures(found, range(1000), ks=(1,))["intervals"]["R@1"]
    by_author = figures(found, [row % 10 for row in range(1000)], ks=(1,))["intervals"]["R@1"]
    assert by_author[1] - by_author[0] > 5 * (by_pair[1] - by_pair[0])
    assert figures(found, ["one"] * 1000, ks=(1,))["intervals"]["R@1"] is None


def test_pairs_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="as many pictures"):
        retrieval(flat([0, 1]), flat([0]), one_each(2), "ab")
    with pytest.raises(ValueError, match="at least one"):
        retrieval(np.empty((0, 2), np.float32), np.empty((0, 2), np.float32), [], [])
