"""Passports: the same bytes everywhere, damage and hostility refused in a sentence, and what differs named."""

import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.evaluation import passport as module
from app.evaluation.passport import (
    Answer,
    BadPassport,
    Here,
    Inputs,
    Passport,
    differences,
    digest,
    from_bytes,
    same_predictions,
    to_bytes,
)

INPUTS = Inputs(
    task="zero_shot",
    model="ip-clip v0006",
    checksum="ab" * 32,
    set_name="Kather",
    layout="kather",
    importer_version="1",
    variant="as published",
    classes=("ADI", "MUC"),
    names=(("adipose tissue", "fat"), ("mucus",)),
    templates=("an H&E image of {}.", "{}"),
    preprocessing={"transform": "Resize(224)", "decode": "reduced"},
    precision="fp32",
    logit_scale=100.0,
    settings={"seed": 0, "ks": [1, 2]},
    seed=0,
    versions={"torch": "2.14.1"},
)
ANSWER = Answer.of("", [0, 1, 1], [[0.25, 0.125], [0.1, 0.3], [0.2, 0.2004]])
PASSPORT = Passport(
    inputs=INPUTS,
    used=("ADI/a.tif", "MUC/b.tif", "MUC/ç 腺.tif"),
    learned_from=(),
    skipped=(("MUC/broken.tif", "it can't be read"),),
    answers=(ANSWER,),
    truth=(0, 1, 1),
    files=("a" * 16, "b" * 16, "c" * 16),
    figures={"accuracy": 1.0, "auroc": None},
)


def packed(whole: Any) -> bytes:
    return gzip.compress(json.dumps(whole).encode())


def changed(change: Callable[[dict[str, Any]], None]) -> bytes:
    """A passport whose checksum fits what it holds, whatever that is."""
    whole = json.loads(gzip.decompress(to_bytes(PASSPORT)))
    change(whole["passport"])
    canonical = json.dumps(whole["passport"], sort_keys=True, separators=(",", ":")).encode()
    return packed(whole | {"sha256": hashlib.sha256(canonical).hexdigest()})


def test_a_passport_is_read_as_it_was_written_and_written_to_the_same_bytes() -> None:
    data = to_bytes(PASSPORT)
    again = from_bytes(data)
    assert again == PASSPORT
    assert to_bytes(again) == data
    assert digest(again) == digest(PASSPORT) == json.loads(gzip.decompress(data))["sha256"]
    assert next(again.answers[0].rows()) == (0.25, 0.125)


def test_a_search_has_scores_and_no_predictions() -> None:
    ranks = Answer.of("text_to_image", [], [[1.0], [2.5], [40.0]])
    passport = replace(PASSPORT, answers=(ranks,), inputs=replace(INPUTS, classes=(), names=()), truth=())
    assert from_bytes(to_bytes(passport)) == passport


def test_whatever_is_in_it_changes_its_digest() -> None:
    others = [
        replace(PASSPORT, inputs=replace(INPUTS, checksum="cd" * 32)),
        replace(PASSPORT, used=PASSPORT.used[::-1]),
        replace(PASSPORT, skipped=()),
        replace(PASSPORT, answers=(replace(ANSWER, predicted=(0, 1, 0)),)),
    ]
    assert len({digest(one) for one in [PASSPORT, *others]}) == 5


def test_a_set_of_ten_thousand_items_makes_a_small_file() -> None:
    n = 10_000
    used = tuple(f"CRC-VAL-HE-7K/ADI/ADI-TCGA-{hashlib.md5(str(k).encode()).hexdigest()[:8]}.tif" for k in range(n))
    answer = Answer.of("", [k % 2 for k in range(n)], [[k / n, 1 - k / n] for k in range(n)])
    whole = replace(PASSPORT, used=used, answers=(answer,), truth=tuple(k % 2 for k in range(n)), files=())
    assert len(to_bytes(whole)) < 400_000


# --- what may come from anybody -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cut short"),
        (b"not gzip", "not gzipped JSON"),
        (to_bytes(PASSPORT)[:-20], "cut short"),
        (to_bytes(PASSPORT) + b"more", "after its end"),
        (gzip.compress(b"\xff\xfe"), "no passport"),
        (gzip.compress(b"[" * 100_000), "no passport"),
        (gzip.compress(b'{"format": NaN}'), "NaN is no number"),
        (packed([1]), "no passport"),
        (packed({"format": "another"}), "no passport"),
        (packed({"format": module.FORMAT, "version": 2}), "version 2; this program reads version 1"),
        (packed({"format": module.FORMAT, "version": 1, "passport": {}}), "checksum does not fit"),
    ],
    # compressed bytes tell the time, and the processes of the tests must name a case alike
    ids=("empty", "text", "cut", "more", "bytes", "deep", "NaN", "list", "format", "version", "checksum"),
)
def test_what_is_no_passport_is_refused_in_a_sentence(data: bytes, why: str) -> None:
    with pytest.raises(BadPassport, match=why):
        from_bytes(data)


def set_(*path: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(passport: dict[str, Any]) -> None:
        inside: Any = passport
        for key in path[:-1]:
            inside = inside[key]
        inside[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (set_("used", to="all"), "used"),
        (set_("used", 0, to=7), r"used\.0"),
        (set_("used", 0, to="x" * 5_000), r"used\.0"),
        (set_("used", 1, to="ADI/a.tif"), "an item twice"),
        (set_("used", 1, to="ADI/a\0.tif"), r"used\.1"),
        (set_("used", to=[]), "no items"),
        (set_("inputs", "classes", to=["ADI", "ADI"]), "a class twice"),
        (set_("inputs", "settings", to={"a\0": 1}), r"inputs\.settings"),
        (set_("inputs", to={}), "inputs"),
        (set_("inputs", "seed", to="0"), r"inputs\.seed"),
        (set_("inputs", "more", to=1), r"inputs\.more"),
        (set_("more", to=1), "more"),
        (set_("truth", to=[0]), "1 entries of truth for 3 items"),
        (set_("truth", to=[0, 1, 2]), "a class that it does not list"),
        (set_("files", to=["a"]), "1 entries of files for 3 items"),
        (set_("answers", 0, "predicted", to=[0, 1]), "2 predictions for 3 items"),
        (set_("answers", 0, "predicted", to=[0, 1, -1]), "a class that it does not list"),
        (set_("answers", 0, "scores", to="AAAA"), "scores are not those of 3 items"),
        (set_("answers", 0, "scores", to="!"), "scores"),
        (set_("answers", 0, "scores", to="AADAfwAAwH8AAMB_AADAfwAAwH8AAMB_"), "a score that is not finite"),
        (set_("answers", 0, "columns", to=-2), "scores are not those"),
        (set_("answers", 0, "columns", to=10**12), "scores are not those"),
    ],
)
def test_a_passport_that_contradicts_itself_is_refused(change: Callable[[dict[str, Any]], None], why: str) -> None:
    with pytest.raises(BadPassport, match=why):
        from_bytes(changed(change))


def test_a_changed_passport_is_noticed() -> None:
    whole = json.loads(gzip.decompress(to_bytes(PASSPORT)))
    whole["passport"]["answers"][0]["predicted"][0] = 1
    with pytest.raises(BadPassport, match="changed or damaged"):
        from_bytes(packed(whole))


def test_a_bomb_is_stopped_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_UNPACKED", 1_000_000)
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(BadPassport, match="too large"):
        from_bytes(bomb)
    monkeypatch.setattr(module, "MOST_PACKED", 1_000)
    with pytest.raises(BadPassport, match="larger than"):
        from_bytes(bomb)


def test_one_that_could_not_be_read_again_is_not_written() -> None:
    with pytest.raises(BadPassport, match="twice"):
        to_bytes(replace(PASSPORT, used=("a", "a", "b")))
    with pytest.raises(BadPassport, match="not finite"):
        to_bytes(replace(PASSPORT, figures={"accuracy": float("nan")}))
    with pytest.raises(BadPassport, match="not finite"):
        to_bytes(replace(PASSPORT, answers=(Answer.of("", [0, 1, 1], [[float("inf"), 0]] * 3),)))


# --- run again elsewhere ------------------------------------------------------------------------

ITEMS = set(PASSPORT.used)


def test_nothing_differs_where_all_is_the_same() -> None:
    files = dict(zip(PASSPORT.used, PASSPORT.files, strict=True))
    here = replace(INPUTS, set_name="Kather 7K", model="mine", settings={"ks": (1, 2), "seed": 0})
    assert differences(PASSPORT, Here(here, ITEMS, files)) == []


@pytest.mark.parametrize(
    ("here", "said"),
    [
        (Here(replace(INPUTS, checksum="cd" * 32), ITEMS), "The model’s weights (SHA-256): abab"),
        (
            Here(replace(INPUTS, templates=("{}",)), ITEMS),
            'The templates: ["an H&E image of {}.", "{}"] then, ["{}"] here.',
        ),
        (Here(replace(INPUTS, names=(("fat",), ("mucus",))), ITEMS), "The names of the classes: "),
        (Here(replace(INPUTS, precision="bf16"), ITEMS), "The precision: fp32 then, bf16 here."),
        (Here(replace(INPUTS, versions={"torch": "3"}), ITEMS), "The version of torch: 2.14.1 then, 3 here."),
        (Here(replace(INPUTS, versions={}), ITEMS), "The version of torch: 2.14.1 then, null here."),
        (Here(replace(INPUTS, settings={"seed": 1, "ks": [1, 2]}), ITEMS), "The setting seed: 0 then, 1 here."),
        (
            Here(replace(INPUTS, preprocessing={"transform": "Resize(256)", "decode": "reduced"}), ITEMS),
            "The preprocessing transform: Resize(224) then, Resize(256) here.",
        ),
        (Here(INPUTS, ["ADI/a.tif"]), "2 of the 3 items measured on are missing here: MUC/b.tif, MUC/ç 腺.tif."),
        (
            Here(INPUTS, ITEMS, {"MUC/b.tif": "d" * 16}),
            "1 of the 3 items measured on have other files here: MUC/b.tif.",
        ),
    ],
)
def test_what_differs_is_named(here: Here, said: str) -> None:
    found = differences(PASSPORT, here)
    assert len(found) == 1
    assert found[0].startswith(said)


def test_items_that_a_head_learned_from_are_missed_too() -> None:
    learned = replace(PASSPORT, learned_from=tuple(f"train/{k}" for k in range(10)))
    assert differences(learned, Here(INPUTS, ITEMS)) == [
        "10 of the 10 items learned from are missing here: train/0, train/1, train/2 and 7 more."
    ]


def test_the_same_predictions_are_said_with_how_far_the_scores_are() -> None:
    again = Answer.of("", [0, 1, 1], [[0.25, 0.125], [0.1, 0.3], [0.2, 0.20041]])
    found = same_predictions(PASSPORT, [again])
    assert found.differing == ()
    assert found.farthest == pytest.approx(1e-5, rel=0.01)
    assert found.sentence == "Same predictions (3 of 3); scores differ by 1e-05 at most."


def test_another_prediction_is_named_and_whether_it_was_near_a_tie() -> None:
    found = same_predictions(PASSPORT, [replace(ANSWER, predicted=(1, 1, 0))])
    assert found.differing == ("ADI/a.tif", "MUC/ç 腺.tif")
    assert found.close == ("MUC/ç 腺.tif",)
    assert found.sentence == ("2 of 3 predictions differ: ADI/a.tif, MUC/ç 腺.tif. 1 of these were near a tie.")


def test_another_rank_is_another_answer_of_a_search() -> None:
    passport = replace(PASSPORT, answers=(Answer.of("text_to_image", [], [[1.0], [2.5], [40.0]]),))
    again = Answer.of("text_to_image", [], [[1.0], [3.0], [40.0]])
    assert same_predictions(passport, [again]).differing == ("MUC/b.tif",)


def test_answers_to_something_else_are_not_compared() -> None:
    with pytest.raises(ValueError, match="other answers"):
        same_predictions(PASSPORT, [replace(ANSWER, name="k=4")])
    with pytest.raises(ValueError, match="not of the passport's items"):
        same_predictions(PASSPORT, [Answer.of("", [0], [[0.1, 0.9]])])


AGAIN = """
import sys
from pathlib import Path
from app.evaluation.passport import from_bytes, same_predictions
from tests.evaluation.test_passport import answered
passport = from_bytes(Path(sys.argv[1]).read_bytes())
for batch in (16, 1):
    print(same_predictions(passport, [answered(passport.inputs, batch)[1]]).sentence)
"""


def answered(inputs: Inputs, batch: int) -> tuple[list[str], Answer]:
    """The ids of forty pictures and the tiny network's answer to them, embedded `batch` at a time."""
    from tests.evaluation.test_features import TINY, Shelf
    from workers.evaluating import zero_shot
    from workers.evaluating.features import features
    from workers.ml import encoder

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(encoder, "CPU_BATCH", batch)
        network = encoder.load_encoder(encoder.EncoderSpec("open_clip", str(TINY), None, seed=7))
        found = features(network, Shelf(40)(), cache=None)
    classes = zero_shot.embed(network, zero_shot.Prompts(inputs.templates, inputs.names)).ensemble
    said = zero_shot.answer(found.vectors, classes, network.logit_scale)
    return found.ids, Answer.of("", said.predicted.tolist(), said.probabilities.tolist())


def test_a_real_models_passport_gives_the_same_predictions_in_another_process_and_batch(tmp_path: Path) -> None:
    names = (("fat", "adipose"), ("mucus",), ("debris",))
    inputs = replace(INPUTS, names=names, classes=("a", "b", "c"))
    used, answer = answered(inputs, 16)
    passport = replace(PASSPORT, inputs=inputs, used=tuple(used), answers=(answer,), truth=(), files=())
    (tmp_path / "passport").write_bytes(to_bytes(passport))
    command = [sys.executable, "-c", AGAIN, str(tmp_path / "passport")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Same predictions (40 of 40)") == 2
