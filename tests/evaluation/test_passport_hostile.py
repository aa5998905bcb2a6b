"""A stranger's passport whose checksum fits: what can't be run is refused in a sentence, before any work is done."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.accounts.policies import SYSTEM
from app.db import transaction
from app.evaluation import actions, passport
from app.evaluation.passport import Passport
from app.tables import JobState
from tests.encoders.models import run
from tests.evaluation.test_passport import INPUTS, PASSPORT

SETTINGS = {"variant": "as published", "precision": "fp32", "seed": 0}
ZERO_SHOT = replace(PASSPORT, inputs=replace(INPUTS, settings=SETTINGS))


def of(task: str, **settings: Any) -> Passport:
    return replace(PASSPORT, inputs=replace(INPUTS, task=task, settings=SETTINGS | settings))


def few_shot(**settings: Any) -> Passport:
    return of("few_shot", **({"ks": [1], "seeds": 5} | settings))


def search(**settings: Any) -> Passport:
    return of("retrieval", **({"splits": ["test"], "pairs": [["a1", 1, None]] * 3} | settings))


@pytest.fixture
def replayed(roots: Path, tmp_path: Path) -> Callable[[Passport], str]:
    """What a passport that can't be run fails with."""

    def replay(given: Passport) -> str:
        file = tmp_path / "given.json.gz"
        file.write_bytes(passport.to_bytes(given))
        with transaction() as session:
            job = actions.replay(session, SYSTEM, actions.keep_passport(file), str(roots), "")
        done = run(job)
        assert done.state is JobState.FAILED
        return done.error

    return replay


def test_settings_that_no_launch_form_lets_through_are_refused(replayed: Callable[[Passport], str]) -> None:
    for given, said in (
        (few_shot(seeds=10**12), "setting seeds can't be used"),
        (few_shot(ks=[10**12]), "setting ks.0 can't be used"),
        (few_shot(ks=[1] * 10_000), "setting ks can't be used"),
        (few_shot(seed="0"), "setting seed can't be used"),
        (few_shot(seed=-1), "setting seed can't be used"),
        (few_shot(precision=["fp32"]), "setting precision can't be used"),
        (of("linear_probe", preset="theirs"), "setting preset can't be used"),
        (search(splits=["train"]), "setting splits.0 can't be used"),
        (search(pairs=7), "setting pairs can't be used"),
        (search(pairs=[["a1"]] * 3), "setting pairs.0.1 can't be used"),
        (of("zero_shot", network=[]), "setting network can't be used"),
        (of("zero_shot", network={"seed": 2**80}), "setting network.seed can't be used"),
        (of("zero_shot", network={"seed": "0; DROP TABLE job"}), "setting network.seed can't be used"),
    ):
        assert said in replayed(given)


def test_what_a_task_needs_and_is_not_there_is_named(replayed: Callable[[Passport], str]) -> None:
    assert "does not say which class each item is of" in replayed(replace(ZERO_SHOT, truth=()))
    nameless = replace(ZERO_SHOT, inputs=replace(ZERO_SHOT.inputs, names=(("fat",),)))
    assert "does not name each class" in replayed(nameless)
    assert "does not say what its pairs belong to" in replayed(search(pairs=[]))
