from app.search.fusion import fused


def test_what_both_rankings_hold_comes_before_what_one_holds_higher() -> None:
    """1/61 + 1/62 for 7; 1/62 + 1/63 for 8; then 1/61 for 9 alone, 1/63 for 5."""
    assert fused([[7, 8, 5], [9, 7, 8]]) == [7, 8, 9, 5]


def test_the_sum_of_reciprocal_ranks_decides() -> None:
    """With k = 60, rank 1 alone (1/61) loses to rank 100 twice (2/160) only below: 0.0164 > 0.0125."""
    one, other = [1, *range(1000, 1098), 2], [*range(2000, 2099), 2]
    order = fused([one, other])
    assert (one[-1], len(one), len(other)) == (2, 100, 100)
    assert order.index(1) < order.index(2)
    assert fused([one, other], k=10_000).index(2) == 0


def test_of_equals_the_newest_comes_first_and_one_ranking_keeps_its_order() -> None:
    assert fused([[3], [4]]) == [4, 3]
    assert fused([[3, 9, 4]]) == [3, 9, 4]
    assert fused([[], []]) == []
