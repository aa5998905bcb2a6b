"""Passports of evaluations: written beside the predictions, and run again here from the pictures alone."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.db import transaction
from app.errors import Invalid
from app.evaluation import folders, passport, pools, queries
from app.evaluation.passport import Answer, BadPassport, Here, Inputs, Passport
from app.evaluation.policies import USED_BY, Precision, Preset, Task
from app.evaluation.pools import Pair
from app.evaluation.queries import Shown
from app.jobs import RunningJob
from app.publish import publish_file
from app.tables import ClassPrompts
from workers import classifying, releases, retrieving
from workers.classifying import Set
from workers.evaluating.features import preprocessing
from workers.evaluating.features import versions as libraries
from workers.evaluation_sets import IMPORTER_VERSION, Item, NotRecognised, recognise, verify
from workers.ml.encoder import Encoder as Network
from workers.ml.encoder import WeightsUnavailable
from workers.ml.weights import BadWeights
from workers.outcome import Outcome
from workers.set_files import file_digests, is_there
from workers.vectors import load, versions

BARE = re.compile(r"\w[\w.-]*")  # an architecture's name or config; no address and no path, which may lead anywhere
LOCAL = ("wording", "prompts", "on")  # numbers of rows here, which say nothing elsewhere
SNAPSHOT = "snapshot"  # in place of a set's layout
SHORT = 16  # hex digits of a file's SHA-256 that a passport holds


def write(found: Shown, network: Network, outcome: Outcome, of: Set | None) -> str:
    """Publishes an evaluation's passport; its SHA-256."""
    made = Passport(
        inputs=_inputs(found, network, outcome),
        used=tuple(outcome.columns["item"]),
        learned_from=tuple(outcome.learned_from),
        skipped=tuple(outcome.skipped),
        answers=tuple(answers(outcome)),
        truth=tuple(int(code) for code in outcome.answers.truth) if outcome.answers else (),
        files=_short(outcome.files, outcome.columns["item"]),
        learned_files=_short(outcome.files, outcome.learned_from),
        learned_truth=_classes(outcome, of, outcome.learned_from) if of and outcome.learned_from else (),
        figures={key: figure["value"] for key, figure in outcome.metrics["figures"].items()},
    )
    with publish_file(folders.passport_file(found.row.id)) as draft:
        draft.file.write(passport.to_bytes(made))
    return draft.sha256


def _inputs(found: Shown, network: Network, outcome: Outcome) -> Inputs:
    encoder, settings, wording = found.encoder, found.row.settings, found.wording
    classes = outcome.answers.classes if outcome.answers else []
    spec = {name: getattr(encoder, name) for name in ("source", "model", "pretrained", "seed", "quick_gelu")}
    pairs = {"pairs": outcome.pairs} if outcome.pairs else {}
    return Inputs(
        task=found.row.task.value,
        model=encoder.name,
        checksum=encoder.checksum,
        set_name=found.on,
        layout=found.set.layout if found.set else SNAPSHOT,
        importer_version=found.set.importer_version if found.set else "",
        variant=settings.get("variant", ""),
        classes=tuple(classes),
        names=tuple(tuple(wording.names[key]) for key in classes) if wording else (),
        templates=tuple(wording.templates) if wording else (),
        preprocessing=vars(preprocessing(network)),
        precision=settings["precision"],
        logit_scale=network.logit_scale,
        settings={name: value for name, value in settings.items() if name not in LOCAL} | {"network": spec} | pairs,
        seed=settings["seed"],
        versions=versions() | libraries(),
    )


def answers(outcome: Outcome) -> list[Answer]:
    """The first answer with its score for each class, further draws with that of what was said; ranks of a search."""
    columns = outcome.columns
    if outcome.answers is None:
        ways = [name for name in columns if name.endswith((".strict", ".group_aware"))]
        return [Answer.of(name, [], [[rank or 0.0] for rank in columns[name]]) for name in ways]  # 0: was not drawn
    first, *others = outcome.answers.draws
    made = [Answer.of("", first.predicted.tolist(), columns["scores"])]
    for place, one in enumerate(others, 1):
        said = one.predicted.tolist()
        scores = [[0.0 if one.probabilities is None else float(one.probabilities[at][c])] for at, c in enumerate(said)]
        made.append(Answer.of(f"draw {place}", said, scores))
    return made


def _short(files: Mapping[str, str], ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(files[id_][:SHORT] for id_ in ids)


def _classes(outcome: Outcome, of: Set, ids: Sequence[str]) -> tuple[int, ...]:
    assert outcome.answers is not None
    codes = {label: code for code, label in enumerate(outcome.answers.classes)}
    labels = {item.id: item.label for item in of.items}
    return tuple(codes[labels[id_]] for id_ in ids)


# --- running one again --------------------------------------------------------------------------


def run_replay(job: RunningJob) -> None:
    """Runs a kept passport again on the pictures below a folder, and leaves in the cursor what was the same.

    Arguments: passport (SHA-256), root ("" for the snapshot in this database), weights ("" for a registered model).
    """
    try:
        given = passport.from_bytes(folders.kept_passport(job.arguments["passport"]).read_bytes())
    except BadPassport as error:
        raise Invalid(str(error)) from error
    _check(given)
    job.message = "Loading the model"
    with job.step():
        pass
    network, checksum = _network(given.inputs, job.arguments["weights"])
    network = replace(network, full_precision=given.inputs.precision == "fp32")
    root = Path(job.arguments["root"]) if job.arguments["root"] else None
    try:
        outcome, here = _again(job, given, network, checksum, root)
    except ValueError as error:  # what a task's method refuses, and pictures that change meanwhile
        raise Invalid(str(error), "Nothing was measured.") from error
    result = _compared(given, outcome, here)
    with job.step():
        job.cursor, job.message = result, result["sentence"]


class Spec(BaseModel):
    """Which network a passport was made with."""

    model_config = ConfigDict(strict=True)

    source: str = ""
    model: str = ""
    pretrained: str = ""
    seed: Annotated[int, Field(ge=0, le=2**62)] = 0
    quick_gelu: bool = False


class Bounds(BaseModel):
    """What settings that come from anybody may be: no more than the launch form lets through."""

    model_config = ConfigDict(strict=True)

    variant: str = ""
    preset: Preset = Preset.OURS
    ks: Annotated[list[Annotated[int, Field(ge=1, le=64)]], Field(min_length=1, max_length=10)] = [1]
    seeds: Annotated[int, Field(ge=1, le=50)] = 1
    splits: Annotated[list[Literal["val", "test"]], Field(min_length=1, max_length=2)] = ["test"]
    precision: Precision = Precision.FP32
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0
    network: Spec = Spec()
    pairs: list[tuple[str, int, int | None]] = []


def _check(given: Passport) -> None:
    """Raises Invalid for a task or settings that can't be run; a passport may come from anybody."""
    inputs = given.inputs
    if inputs.task not in set(Task):
        raise Invalid(f"The passport is of a task that this program does not know: {inputs.task[:40]}.")
    elsewhere = "variant" if inputs.layout == SNAPSHOT else "splits"
    needed = [name for name in USED_BY[Task(inputs.task)] if name not in (*LOCAL, elsewhere)]
    if missing := [name for name in needed if name not in inputs.settings]:
        raise Invalid(f"The passport lacks the setting {', '.join(missing)}.", "Download it again.")
    try:
        Bounds.model_validate_json(json.dumps(inputs.settings))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Invalid(f"The passport's setting {where} can't be used: {first['msg']}.") from error
    if inputs.task == Task.RETRIEVAL and len(inputs.settings.get("pairs", [])) != len(given.used):
        raise Invalid("The passport does not say what its pairs belong to.", "Download it again.")
    if inputs.task != Task.RETRIEVAL and not given.truth:
        raise Invalid("The passport does not say which class each item is of.", "Download it again.")
    if inputs.task == Task.ZERO_SHOT and len(inputs.names) != len(inputs.classes):
        raise Invalid("The passport does not name each class.", "Download it again.")


def _network(inputs: Inputs, weights: str) -> tuple[Network, str]:
    spec = inputs.settings.get("network", {})
    try:
        if weights:
            return _from_file(spec, Path(weights))
        with transaction() as session:
            encoder = queries.model_like(session, inputs.checksum, spec)
        if encoder is None:
            known = f"whose SHA-256 is {inputs.checksum}" if inputs.checksum else "of that name and seed"
            raise Invalid(
                f"No model here has the weights of {inputs.model}, {known}.",
                "Register it under Models, or give its file with --weights.",
            )
        return load(encoder), encoder.checksum
    except (BadWeights, WeightsUnavailable) as error:
        raise Invalid(str(error)) from error


def _from_file(spec: dict[str, Any], weights: Path) -> tuple[Network, str]:
    from workers.ml.clips import CONFIG, WEIGHTS
    from workers.ml.encoder import EncoderSpec, load_encoder
    from workers.vectors import sha256_at, spec_of

    if weights.name == WEIGHTS and weights.with_name(CONFIG).is_file():
        weights = weights.parent
    if weights.is_dir():
        network = load_encoder(EncoderSpec("open_clip", f"local-dir:{weights}"))
    else:
        model, gelu = str(spec.get("model", "")), bool(spec.get("quick_gelu"))
        if not BARE.fullmatch(model):
            raise Invalid(
                f"The passport names the network {model[:80]}, which is no plain name of an architecture.",
                "Register the model under Models.",
            )
        network = load_encoder(replace(spec_of("open_clip", model, "", 0, gelu), pretrained=str(weights)))
    return network, sha256_at(network.file)


def _again(
    job: RunningJob, given: Passport, network: Network, checksum: str, root: Path | None
) -> tuple[Outcome, Here]:
    from workers.evaluate import progress

    inputs, task = given.inputs, Task(given.inputs.task)
    now: dict[str, Any] = {
        "checksum": checksum,
        "precision": inputs.precision,
        "logit_scale": network.logit_scale,
        "preprocessing": vars(preprocessing(network)),
        "versions": versions() | libraries(),
    }
    if task is Task.RETRIEVAL and inputs.layout == SNAPSHOT:
        pairs = _pairs(given, root)
        if not pairs:
            _refuse_folder(given, "pairs")
        outcome = retrieving.run(network, checksum, pairs, inputs.settings, progress(job), is_fresh=True)
        return outcome, Here(replace(inputs, **now), [pair.key for pair in pairs], _known(outcome))
    if root is None:
        raise Invalid("The pictures are missing.", f"Give the folder of {inputs.set_name} with --root.")
    if not any(is_there(root, id_) for id_ in given.used):
        _refuse_folder(given, "items")
    of = _set(job, given, root)
    wording = ClassPrompts(
        names=dict(zip(inputs.classes, inputs.names, strict=False)), templates=list(inputs.templates)
    )
    if task is Task.RETRIEVAL:
        outcome = retrieving.run_on_set(network, checksum, of, inputs.settings, progress(job))
    else:
        outcome = classifying.run(task, network, checksum, of, inputs.settings, wording, progress(job))
    there = [item.id for item in of.items if item.id not in dict(outcome.skipped)]
    labels = {item.id: item.label for item in of.items}
    return outcome, Here(replace(inputs, **now, importer_version=IMPORTER_VERSION), there, _known(outcome), labels)


def _refuse_folder(given: Passport, what: str) -> NoReturn:
    raise Invalid(
        f"None of the {len(given.used):,} {what} lie in that folder.",
        f"Give the folder of {given.inputs.set_name} with --root: the one that holds {given.used[0]}.",
    )


def _known(outcome: Outcome) -> dict[str, str]:
    return {id_: digest[:SHORT] for id_, digest in outcome.files.items()}


def _set(job: RunningJob, given: Passport, root: Path) -> Set:
    """The passport's items as a set: what it measured on, with captions as they are here, and what a head learns from
    as it is labelled here."""
    inputs = given.inputs
    if inputs.task == Task.RETRIEVAL:
        used = [replace(item, split="test") for item in _items(job, inputs, root, given.used)]
    else:
        used = [Item(id_, inputs.classes[code], "test", id_) for id_, code in zip(given.used, given.truth, strict=True)]
    learned = _items(job, inputs, root, given.learned_from) if given.learned_from else []
    learned = [replace(item, split="train") for item in learned if item.label in inputs.classes]
    items = [*used, *learned]
    numbers = {item.id: number for number, item in enumerate(items, 1)}
    files = file_digests(root, list(numbers), job.check)
    return Set(root, inputs.layout, list(inputs.classes), items, numbers, files, False, is_fresh=True)


def _items(job: RunningJob, inputs: Inputs, root: Path, wanted: Sequence[str]) -> list[Item]:
    """The items of these ids as the folder has them, without those that are not there."""
    try:
        found = recognise(root, inputs.layout, lambda _done, _of: job.check())
        if inputs.variant not in found.variants:
            found = verify(root, found, lambda _done, _of: job.check())
    except NotRecognised as error:
        raise Invalid(str(error)) from error
    by_id = {item.id: item for item in found.variants.get(inputs.variant, [])}
    return [by_id[id_] for id_ in wanted if id_ in by_id]


def _pairs(given: Passport, root: Path | None) -> list[Pair]:
    """The pairs of the passport, from an unpacked snapshot, or from this database's own."""
    belongs = dict(zip(given.used, given.inputs.settings.get("pairs", []), strict=True))
    if root is not None:
        return [pair for pair in releases.pairs(root, belongs) if pair.key in belongs]
    with transaction() as session:
        chosen = next(
            (one for one in queries.snapshots(session) if f"v{one.number:04d}" == given.inputs.set_name), None
        )
        if chosen is None:
            raise Invalid(f"There is no snapshot {given.inputs.set_name} here.", "Give an unpacked one with --root.")
        found = pools.held_out(session, chosen.id, given.inputs.settings["splits"])
    return [pair for pair in found if pair.key in belongs]


def _compared(given: Passport, outcome: Outcome, here: Here) -> dict[str, Any]:
    """How many predictions are the same, and which inputs are not."""
    said = passport.differences(given, here)
    made = answers(outcome)
    if tuple(outcome.columns["item"]) != given.used:
        return {"same": 0, "of": len(given.used), "differences": said, "sentence": "Items are missing here."}
    try:
        found = passport.same_predictions(given, made)
    except ValueError as error:
        return {"same": 0, "of": len(given.used), "differences": [*said, str(error)], "sentence": str(error)}
    same = found.of - len(found.differing)
    return {"same": same, "of": found.of, "differences": said, "sentence": found.sentence, "farthest": found.farthest}
