"""Events as sentences: who does what to what. Pure: from an act, its subject and its details alone."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.evaluation.policies import TITLES
from app.prefilter.privacy import OF_STAGE
from app.prefilter.stages import BY_NAME

Details = Mapping[str, Any]


@dataclass(frozen=True)
class Link:
    """Words that lead to the route of that name; without a name they lead nowhere."""

    text: str
    route: str = ""
    parameters: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """An event with the names that stand behind its ids."""

    id: int
    at: datetime
    who: str
    act: str
    subject_kind: str
    subject_id: str
    subject_name: str
    details: Details
    job_id: int | None = None


@dataclass(frozen=True)
class Sentence:
    """What follows the name of who did it. `change` says from what to what."""

    before: str
    subject: Link
    after: str
    change: str

    def __str__(self) -> str:
        return " ".join(f"{self.before} {self.subject.text} {self.after}".split())


@dataclass(frozen=True)
class Act:
    """`words` hold `{}` where the subject stands; `group` is the kind of act that one filters by."""

    words: str
    group: str
    change: Callable[[Details], str] = lambda _details: ""


def _from_to(details: Details) -> str:
    return f"{_shown(details.get('from'))} → {_shown(details.get('to'))}"


def _shown(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _languages(details: Details) -> str:
    return f"→ {', '.join(details.get('to') or ['every language'])}"


def _kinds(details: Details) -> str:
    before, after = details.get("from") or {}, details.get("to") or {}
    return ", ".join(f"{kind.replace('_', ' ')}: {_shown(before.get(kind))} → {after[kind]}" for kind in after)


def _stage_name(details: Details) -> str:
    name = str(details.get("stage", ""))
    return f"by {BY_NAME[name].title}" if name in BY_NAME else ""


def _to_state(details: Details) -> str:
    state = str(details.get("state", ""))
    return f"→ {state.replace('_', ' ')}" if state else ""


def _requeued(details: Details) -> str:
    return f"{details.get('from', '')} → queued, round {details.get('round', '')}"


def _counts(*names: str) -> Callable[[Details], str]:
    """`_counts("dropped")` → "12 dropped", for the names that the details hold."""

    def change(details: Details) -> str:
        return ", ".join(f"{_shown(details[name])} {name.replace('_', ' ')}" for name in names if name in details)

    return change


def _role(details: Details) -> str:
    return str(details.get("role", ""))


def _again(details: Details) -> str:
    count = details.get("candidates")
    return "every undecided candidate" if count == "all" else _many(count, "candidate")


def _many(count: Any, noun: str) -> str:
    return f"{_shown(count)} {noun}{'' if count == 1 else 's'}"


def _ran(details: Details) -> str:
    held = f", {details['held']} held" if details.get("held") else ""
    return f"{_many(details.get('count', 0), 'candidate')}, {details.get('dropped', 0)} dropped{held}"


def _trial(details: Details) -> str:
    what = "comparing " if details.get("kind") == "compare" else "trying "
    return f"{what}{' and '.join(details.get('sides') or ())} on {_many(details.get('candidates', 0), 'candidate')}"


def _drawn(details: Details) -> str:
    return _many(details.get("count", 0), "candidate")


def _what(details: Details) -> str:
    return str(details.get("what", ""))


def _other(details: Details) -> str:
    return str(details.get("other", ""))


def _pictures(details: Details) -> str:
    return _many(details.get("pictures", details.get("count", 0)), "picture")


def _model(details: Details) -> str:
    changed = f"; changed: {details['changed']}" if details.get("changed") else ""
    return f"{details.get('model', '')} at {details.get('base_url', '')}{changed}"


def _tested(details: Details) -> str:
    return str(details.get("rung") or "no JSON").replace("_", " ") if details.get("answers") else "no answer"


def _why(details: Details) -> str:
    return str(details.get("why", ""))


def _best_epoch(details: Details) -> str:
    return f"best epoch {details['epoch']}" if details.get("epoch") else ""


def _evaluated(details: Details) -> str:
    """“tiny on Kather, zero-shot”."""
    task = f", {TITLES[details['task']].lower()}" if details.get("task") in TITLES else ""
    return f"{details.get('model', 'a model')} on {details.get('on', 'a set')}{task}"


def _licence(details: Details) -> str:
    licence = str(details.get("licence", ""))
    return f"{licence}, known to reach the data".lstrip(", ") if details.get("confirmed") else licence


def _note(details: Details) -> str:
    return str(details.get("note", ""))


def _setting(details: Details) -> str:
    changed = details.get("changed", {})
    return ", ".join(f"{name.replace('_', ' ')} {_shown(old)} → {_shown(new)}" for name, (old, new) in changed.items())


def _launched(details: Details) -> str:
    data = f"v{details['snapshot']:04d}" if details.get("snapshot") else "the practice set"
    return f"{details.get('base', '')} on {data}"


def _freed(details: Details) -> str:
    return f"{details.get('bytes', 0) / 1e6:,.0f} MB"


def _retried(details: Details) -> str:
    return f"as job {details['as']}" if "as" in details else ""


def _retry_of(details: Details) -> str:
    return f"tries import {details['retry_of']} again" if details.get("retry_of") else ""


REVIEWS, IMPORTS, STAGES, DATA = "Reviews", "Imports", "Pre-filter", "Snapshots"
JOBS, PEOPLE, SOURCE_CHANGES, TRAINING = "Jobs", "People", "Source changes", "Training"
EVALUATION = "Evaluation"

ACTS: Mapping[str, Act] = {
    "candidate.accepted": Act("accepted {}", REVIEWS, _to_state),
    "candidate.rejected": Act("rejected {}", REVIEWS, _to_state),
    "candidate.flagged": Act("flagged {}", REVIEWS, _to_state),
    "candidate.undone": Act("took back a decision on {}", REVIEWS, _to_state),
    "candidate.resolved": Act("resolved {}", REVIEWS, _to_state),
    "candidate.requeued": Act("sent {} back to the queue", REVIEWS, _requeued),
    "candidate.released": Act("released {} in spite of what was found", REVIEWS, _stage_name),
    "candidate.held_again": Act("held {} again", REVIEWS, _stage_name),
    "candidate.source_changed": Act("brought a new caption of {}, which was decided on the old one", SOURCE_CHANGES),
    "review.list_chosen": Act("chose {} to review", REVIEWS, _counts("candidates")),
    "review.overlap_changed": Act("changed {}", REVIEWS, _from_to),
    "source.added": Act("added the source {}", IMPORTS, _counts("kind", "consent")),
    "source.consent_changed": Act("recorded the consent of {}", IMPORTS, _from_to),
    "import.started": Act("started {}", IMPORTS, _retry_of),
    "import.finished": Act("finished {}", IMPORTS, _counts("taken", "updated", "unchanged", "refused")),
    "import.taken_back": Act("took back {}", IMPORTS, _counts("withdrawn", "kept")),
    "stage.threshold_changed": Act("set the threshold of {}", STAGES, _from_to),
    "stage.threshold_applied": Act("applied the threshold of {}", STAGES, _counts("dropped", "reopened")),
    "stage.classifier_changed": Act("changed the classifier of {}", STAGES, _from_to),
    "stage.encoder_changed": Act("changed the encoder of {}", STAGES, _from_to),
    "stage.limits_changed": Act("set the size and shape of {}", STAGES, _setting),
    "stage.languages_changed": Act("chose the languages that are reviewed, {}", STAGES, _languages),
    "stage.privacy_changed": Act("changed what {} does about private details", STAGES, _kinds),
    "stage.privacy_applied": Act("applied what {} does about private details", STAGES, _counts("held", "let_go")),
    "stage.version_changed": Act("brought a new version of {}", STAGES, _from_to),
    "stage.paused": Act("paused {}", STAGES),
    "stage.resumed": Act("let {} go on", STAGES),
    "stage.run_again": Act("asked for {} to run again", STAGES, _again),
    "stage.ran": Act("ran {}", STAGES, _ran),
    "audit.changed": Act("changed the {}", STAGES, _from_to),
    "audit.drawn": Act("drew the {}", STAGES, _drawn),
    "queue.order_changed": Act("changed the {} of the queue", REVIEWS, _from_to),
    "duplicate.confirmed": Act("said that {} is one picture", STAGES),
    "duplicate.split": Act("split up {}", STAGES),
    "duplicate.merged": Act("joined another to {}", STAGES, _other),
    "duplicate.kept": Act("chose {} as the copy to keep", STAGES),
    "duplicate.undone": Act("took back an edit of {}", STAGES),
    "prompt.added": Act("wrote {}", STAGES, _note),
    "prompt.used": Act("took {} into use", STAGES, _from_to),
    "prompt.stopped": Act("took the model of {} out of use", STAGES, _from_to),
    "prompt.setting_changed": Act("changed the setting of {}", STAGES, _setting),
    "prompt.budget_begun": Act("began to count the budget of {} anew", STAGES),
    "prompt.budget_spent": Act("paused {}: its budget is spent", STAGES, _counts("tokens", "cost")),
    "prompt.trial_started": Act("started {}", STAGES, _trial),
    "label_set.load_started": Act("started to load {}", STAGES),
    "label_set.loaded": Act("loaded {}", STAGES, _pictures),
    "classifier.training_started": Act("started to train {} from reviews", STAGES),
    "classifier.trained": Act("trained {}", STAGES, _pictures),
    "encoder.registration_asked": Act("asked for {} to be registered", STAGES, _licence),
    "encoder.registered": Act("registered {}", STAGES, _licence),
    "encoder.use_asked": Act("asked for {} to be taken into use", STAGES, _licence),
    "encoder.index_asked": Act("asked for the index of {}", STAGES),
    "encoder.indexed": Act("built the index of {}", STAGES),
    "encoder.deletion_asked": Act("asked for {} to be deleted", STAGES),
    "encoder.deleted": Act("deleted {}", STAGES),
    "encoder.package_asked": Act("asked for the download of {} to be prepared", STAGES),
    "encoder.packaged": Act("prepared the download of {}", STAGES),
    "encoder.downloaded": Act("downloaded {}", STAGES, _what),
    "endpoint.added": Act("added the endpoint {}", STAGES, _model),
    "endpoint.changed": Act("changed the endpoint {}", STAGES, _model),
    "endpoint.retired": Act("retired the endpoint {}", STAGES),
    "endpoint.brought_back": Act("brought back the endpoint {}", STAGES),
    "endpoint.tested": Act("tested the endpoint {}", STAGES, _tested),
    "endpoint.went_down": Act("found that {} is down", STAGES, _why),
    "endpoint.came_back": Act("found that {} answers again", STAGES),
    "snapshot.requested": Act("asked for a snapshot, {}", DATA),
    "snapshot.frozen": Act("froze {}", DATA, _counts("pairs")),
    "snapshot.built": Act("wrote the files of {}", DATA),
    "snapshot.downloaded": Act("downloaded {}", DATA, _what),
    "run.launched": Act("launched {}", TRAINING, _launched),
    "run.finished": Act("finished {}", TRAINING, _best_epoch),
    "run.best_kept": Act("asked for a model of {} as far as it got", TRAINING, _best_epoch),
    "run.tidied": Act("deleted the checkpoints of {}", TRAINING, _freed),
    "evaluation_set.registered": Act("registered {}", EVALUATION, _counts("folder")),
    "evaluation_set.read_again": Act("asked for {} to be read again", EVALUATION),
    "evaluation_set.read": Act("read {}", EVALUATION, _counts("pictures", "skipped", "differences")),
    "evaluation_set.deleted": Act("deleted {}", EVALUATION, _counts("set")),
    "evaluation_set.accepted": Act("said to use {} though its counts differ", EVALUATION, _counts("differences")),
    "wording.added": Act("wrote {}", EVALUATION, _counts("layout", "version")),
    "evaluation.launched": Act("launched {} and what came with it", EVALUATION, _counts("evaluations")),
    "evaluation.deleted": Act("deleted {}", EVALUATION, _evaluated),
    "evaluation.finished": Act("measured {}", EVALUATION, _counts("items", "skipped")),
    "features.deleted": Act("deleted {}", EVALUATION, _freed),
    "job.cancel_requested": Act("stopped {}", JOBS),
    "job.retried": Act("tried {} again", JOBS, _retried),
    "job.failed": Act("could not finish {}", JOBS),
    "job.cancelled": Act("ended {} as asked", JOBS),
    "person.added": Act("added {}", PEOPLE, _role),
    "person.signed_in": Act("signed in as {}", PEOPLE),
    "person.signed_out": Act("signed {} out everywhere", PEOPLE),
    "person.password_changed": Act("changed the password of {}", PEOPLE),
    "person.role_changed": Act("changed the role of {}", PEOPLE, _from_to),
    "person.disabled": Act("disabled {}", PEOPLE),
    "person.enabled": Act("enabled {}", PEOPLE),
}

GROUPS = tuple(dict.fromkeys(act.group for act in ACTS.values()))


def acts_of(group: str) -> list[str]:
    return [name for name, act in ACTS.items() if act.group == group]


def sentence(entry: Entry) -> Sentence:
    """The sentence of an event; an act that is not known here is told in its own words."""
    act = ACTS.get(entry.act) or Act(entry.act.replace(".", " ").replace("_", " ") + " {}", "")
    before, _, after = act.words.partition("{}")
    return Sentence(before.strip(), subject_link(entry), after.strip(), act.change(entry.details))


SUBJECTS: Mapping[str, Callable[[Entry], Link]] = {
    "candidate": lambda e: Link(f"C-{e.subject_id}", "candidate", {"candidate_id": e.subject_id}),
    "import": lambda e: Link(f"import {e.subject_id}", "import_page", {"import_id": e.subject_id}),
    "stage": lambda e: Link(
        BY_NAME[e.subject_id].title if e.subject_id in BY_NAME else e.subject_id,
        "stage",
        {"stage": e.subject_id},
    ),
    "duplicate_group": lambda e: Link(f"G-{e.subject_id}", "duplicate_group", {"group_id": e.subject_id}),
    "snapshot": lambda e: Link(f"v{int(e.subject_id):04d}", "snapshot", {"number": e.subject_id}),
    "job": lambda e: Link(f"job {e.subject_id}", "job", {"job_id": e.subject_id}),
    "run": lambda e: Link(f"run {e.subject_id}", "run", {"run_id": e.subject_id}),
    "person": lambda e: Link(
        (e.subject_name or f"person {e.subject_id}").capitalize(), "person", {"user_id": e.subject_id}
    ),
    "setting": lambda e: Link(e.subject_id.replace("_", " ")),
    "encoder": lambda e: Link(f"model {e.subject_id}", "models"),
    "endpoint": lambda e: Link(e.subject_id, "endpoints"),
    "prompt": lambda e: Link(f"version {e.subject_id} of the prompt", "prompts"),
    "trial": lambda e: Link(f"trial {e.subject_id}", "trial", {"trial_id": e.subject_id}),
    "evaluation_set": lambda e: Link(
        f"evaluation set {e.subject_id}",
        "" if e.act == "evaluation_set.deleted" else "evaluation_set",
        {"set_id": e.subject_id},
    ),
    "wording": lambda e: Link(f"wording {e.subject_id}", "wording", {"wording_id": e.subject_id}),
    "evaluation": lambda e: Link(
        f"evaluation {e.subject_id}",
        "" if e.act == "evaluation.deleted" else "evaluation_page",
        {"evaluation_id": e.subject_id},
    ),
    "features": lambda _e: Link("the features that were kept", "evaluation_sets"),
    "source": lambda e: Link(e.subject_name or f"source {e.subject_id}"),
    "queue": lambda _e: Link("what a search found"),
}


def subject_link(entry: Entry) -> Link:
    made = SUBJECTS.get(entry.subject_kind)
    return made(entry) if made else Link(f"{entry.subject_kind.replace('_', ' ')} {entry.subject_id}")


LABELS: Mapping[str, Callable[[Details], str]] = {
    "import": lambda a: f"Import {a.get('import', '')}",
    "snapshot": lambda _a: "Snapshot",
    "count_tokens": lambda a: f"Count the words of v{int(a.get('snapshot', 0)):04d}",
    "prefilter": lambda a: f"{_stage_title(a)} stage",
    "threshold": lambda a: f"{'What is held by' if a.get('stage') in OF_STAGE else 'Threshold of'} {_stage_title(a)}",
    "rerun": lambda a: f"Send back to {_stage_title(a)}",
    "label_set": lambda _a: "Label set",
    "embed_query": lambda _a: "Search by meaning or image",
    "train_from_reviews": lambda _a: "Train the classifier from reviews",
    "audit": lambda _a: "Draw the audit sample",
    "order": lambda _a: "Order the queue",
    "train_classifier": lambda _a: "Train the classifier",
    "register_encoder": lambda a: f"Register {a.get('name') or a.get('model') or 'a model'}",
    "switch_encoder": lambda a: f"Embed under model {a.get('encoder', '')}",
    "index_encoder": lambda a: f"Index of model {a.get('encoder', '')}",
    "trial": lambda a: f"Trial {a.get('trial', '')}",
    "test_endpoint": lambda a: f"Test endpoint {a.get('endpoint', '')}",
    "finetune": lambda a: f"Run {a.get('run', '')}",
    "read_evaluation_set": lambda a: f"Read evaluation set {a.get('set', '')}",
    "evaluate": lambda a: f"Evaluate {_evaluated(a)}",
    "replay_passport": lambda _a: "Run a passport again",
    "delete_encoder": lambda a: f"Delete model {a.get('encoder', '')}",
    "package_model": lambda a: f"Prepare the download of model {a.get('encoder', '')}",
}


def job_label(kind: str, arguments: Details) -> str:
    """What people call a job."""
    made = LABELS.get(kind)
    return made(arguments) if made else kind.replace("_", " ").capitalize()


def _stage_title(arguments: Details) -> str:
    name = str(arguments.get("stage", ""))
    return BY_NAME[name].title if name in BY_NAME else name


TYPED = {
    "candidate": re.compile(r"c-?0*(\d{1,12})"),
    "import": re.compile(r"import\s*0*(\d{1,12})"),
    "run": re.compile(r"run\s*0*(\d{1,12})"),
    "job": re.compile(r"job\s*0*(\d{1,12})"),
    "snapshot": re.compile(r"(?:snapshot\s*v?|v)0*(\d{1,12})"),
}


def subject_of(typed: str) -> tuple[str, str] | None:
    """What someone means by “C-20415”, “import 42”, “job 7” or “v0007”: its kind and id; else None."""
    plain = typed.strip().lower()
    for kind, pattern in TYPED.items():
        if found := pattern.fullmatch(plain):
            return kind, found[1]
    by_title = {stage.title.lower(): name for name, stage in BY_NAME.items()}
    name = by_title.get(plain, plain)
    return ("stage", name) if name in BY_NAME else None
