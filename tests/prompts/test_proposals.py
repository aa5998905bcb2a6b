"""When a model's caption is offered, and how two models are held against people."""

import json

import pytest

from app.prompts.comparing import agreement, paired, quartiles
from app.prompts.policies import Budget, Spent, Wanted, is_spent
from app.prompts.proposals import judged

ORIGINAL = "Invasive ductal carcinoma of the breast, grade 2, H&E, 20x. No lymphovascular invasion."


def test_the_same_words_tidied_are_offered() -> None:
    made = judged(
        ORIGINAL, "Invasive ductal carcinoma of the breast, grade 2. No lymphovascular invasion. H&E, 20x.", 0.7
    )
    assert (made.support, made.unsupported, made.rewrote) == (1.0, [], False)


@pytest.mark.parametrize(
    "changed",
    [
        ORIGINAL.replace("grade 2", "grade 3"),
        ORIGINAL.replace("No lymphovascular", "Lymphovascular"),
        ORIGINAL.replace("20x", "40x"),
    ],
)
def test_a_changed_claim_is_marked(changed: str) -> None:
    made = judged(ORIGINAL, changed, 0.7)
    assert made.unsupported
    assert not made.rewrote  # the reviewer sees it marked


@pytest.mark.parametrize("said", ["", "  \n", "\u200b"])
def test_nothing_is_no_proposal(said: str) -> None:
    assert judged(ORIGINAL, said, 0.7).text == ""


@pytest.mark.parametrize(
    ("said", "struck"),
    [("Melanoma.", ["support", "kept"]), (ORIGINAL * 2, ["longer"]), ("Breast.", ["kept"])],
)
def test_another_text_rewrote_too_much_by_a_rule_that_is_named(said: str, struck: list[str]) -> None:
    assert judged(ORIGINAL, said, 0.7).struck == struck


def test_agreement_counts_unsure_as_relevant_and_has_an_exact_interval() -> None:
    found = agreement([(1.0, True), (0.5, True), (0.0, False), (0.75, False)])
    assert found
    assert (found.share, found.judged) == (0.75, 4)
    assert found.low == pytest.approx(0.1941, abs=1e-4)  # Clopper-Pearson of 3 in 4
    assert found.high == pytest.approx(0.9937, abs=1e-4)
    assert agreement([]) is None


def test_a_paired_difference_rests_on_the_candidates_where_they_differ() -> None:
    found = paired([(True, False)] * 9 + [(False, True)] + [(True, True)] * 90)
    assert found
    assert (found.share, found.first, found.second, found.judged) == (0.08, 9, 1, 100)
    assert found.is_sure
    same = paired([(True, True)] * 20)
    assert same
    assert (same.low, same.share, same.high, same.is_sure) == (0, 0, 0, False)
    assert paired([]) is None


def test_quartiles_are_interpolated() -> None:
    assert quartiles([4, 1, 3, 2]) == (1.75, 2.5, 3.25)
    assert quartiles([3]) == (3, 3, 3)
    assert quartiles([]) is None


@pytest.mark.parametrize(
    ("budget", "spent"),
    [
        (Budget("2026-01-01T00:00:00+00:00", cost=1.0), Spent(cost=1.0)),
        (Budget("2026-01-01T00:00:00+00:00", tokens=100), Spent(tokens_in=60, tokens_out=40)),
        (Budget("2026-01-01T00:00:00+00:00", cost=9.0, tokens=100), Spent(cost=1.0, tokens_in=100)),
    ],
)
def test_a_budget_is_spent_when_either_limit_is_reached(budget: Budget, spent: Spent) -> None:
    assert is_spent(budget, spent)
    assert not is_spent(budget, Spent())
    assert not is_spent(None, spent)


def test_a_setting_is_read_as_it_was_written() -> None:
    wanted = Wanted(endpoint=1, prompt=2, required=True)
    assert Wanted.read(json.loads(json.dumps(wanted.as_setting()))) == wanted
    assert Wanted.read({}) == Wanted()
