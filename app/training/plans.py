"""A run before it is launched: what it would train on, what it would take, and what speaks against it."""

import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy.orm import Session

from app.config import settings
from app.encoders.policies import REACH
from app.errors import Invalid
from app.operations.policies import QueueState
from app.operations.queries import queue_states
from app.snapshots import queries as snapshot_queries
from app.tables import Encoder, EncoderKind, Snapshot, WorkQueue
from app.training import architectures, queries
from app.training.checks import Facts, cautions, problems, steps_per_epoch
from app.training.command import Data, Start, arguments, practice_data, snapshot_data, start_of
from app.training.estimates import Estimate, estimate
from app.training.folders import folder_of
from app.training.policies import LABELS, Sweep, plain, spread
from app.training.settings import TrainingSettings


@dataclass(frozen=True)
class NewRun:
    """A run to launch: of a snapshot by its number (None: the practice set), from a model or from random weights.

    One that `goes_on_from` another run begins with that one's last epoch.
    """

    snapshot: int | None
    base: int | None
    architecture: str
    recipe: str
    settings: TrainingSettings
    swept: Sweep | None = None
    note: str = ""
    like: int | None = None
    goes_on_from: int | None = None


@dataclass(frozen=True)
class Plan:
    """`errors` are by the form's fields; a run with any is not launched. `cautions` are noted on the run.

    `beyond` are captions longer than CLIP reads, where that was counted; `context` are the tokens that this network
    reads; `command` is what would be started; `reaching` are the models whose licence reaches what is made of this;
    `device` is that of the last run, empty before any.
    """

    snapshot: Snapshot | None
    base: Encoder | None
    data: Data
    runs: int
    estimate: Estimate
    errors: Mapping[str, str]
    cautions: list[str]
    beyond: Mapping[str, Any] | None
    context: int
    free_disk: int
    queue: QueueState
    command: str
    reaching: list[str]
    device: str
    ahead: list[queries.ShownRun] = field(default_factory=list)


def plan(session: Session, new: NewRun) -> Plan:
    """Raises Invalid where there is nothing to plan with: no such snapshot or model."""
    snapshot, base = _snapshot(session, new.snapshot), _base(session, new)
    data = snapshot_data(snapshot) if snapshot else practice_data()
    config = architectures.config_of_encoder(base) if base else architectures.config_of(new.architecture)
    device, processes = queries.last_device(session)
    start = start_of(base, new.architecture)
    folder = folder_of(queries.next_id(session))
    expected = estimate(
        new.settings,
        steps_per_epoch(new.settings, data.sizes, processes),
        config,
        base.parameters if base else 0,
        queries.rate(session, new.settings, base, new.architecture),
        processes,
        device or "cpu",
    )
    facts = Facts(
        data.sizes,
        data.val_pairs,
        processes,
        device,
        name=snapshot_queries.name(snapshot) if snapshot else "The practice set",
        withdrawn=snapshot_queries.withdrawn_since(session, snapshot) if snapshot else 0,
        folder=str(Path(data.train).parent),
        model=start.model,
        has_plain_towers=config is None or architectures.has_blocks(config),
    )
    return Plan(
        snapshot=snapshot,
        base=base,
        data=data,
        runs=len(new.swept.values) if new.swept else 1,
        estimate=expected,
        errors=_errors(session, new, base, facts),
        cautions=cautions(facts),
        beyond=snapshot.report.get("beyond_context") if snapshot else None,
        context=architectures.context(config),
        free_disk=shutil.disk_usage(settings().home_path).free,
        queue=next(queue for queue in queue_states(session) if queue.queue is WorkQueue.TRAIN),
        reaching=_reaching(base, snapshot),
        device=device,
        command=_command(new.settings, start, data, folder, device or "cpu", processes),
        ahead=queries.ahead(session),
    )


def unconfirmed(plan: Plan, *, confirmed: bool) -> dict[str, str]:
    """What someone must have read who trains on what a licence reaches."""
    if not plan.reaching or confirmed:
        return {}
    return {"confirmed": f"{' and '.join(plan.reaching)}: {REACH} Tick this to go on."}


def _reaching(base: Encoder | None, snapshot: Snapshot | None) -> list[str]:
    """The model that it starts from and those that selected its pairs, where their licence reaches what is made so."""
    selected = snapshot_queries.reaching(snapshot) if snapshot else []
    return sorted({*selected, *([base.name] if base and base.reaches_data else [])})


def _snapshot(session: Session, number: int | None) -> Snapshot | None:
    if number is None:
        return None
    found = next((one for one in queries.snapshots(session) if one.number == number), None)
    if found is None:
        _refuse("snapshot", f"There is no snapshot v{number:04d} whose files are written.")
    return found


def _base(session: Session, new: NewRun) -> Encoder | None:
    if new.base is None:
        _check_architecture(new.architecture)
        return None
    found = session.get(Encoder, new.base)
    if found is None or found.kind is not EncoderKind.IMAGE_TEXT or found.source != "open_clip":
        _refuse("base", "Choose a registered CLIP.")
    return found


def _check_architecture(name: str) -> None:
    if not name:
        _refuse("architecture", "Name the network, or choose a model to start from.")
    config = architectures.config_of(name)
    if config is None:
        _refuse("architecture", f"open_clip has no network {name[:80]}, and the models folder no such config.")
    if architectures.needs_download(config):
        _refuse("architecture", f"A tower of {name[:80]} is defined on a hub. Register the model and start from that.")


def _refuse(name: str, said: str) -> NoReturn:
    raise Invalid(said, fields={name: said})


def _errors(session: Session, new: NewRun, base: Encoder | None, facts: Facts) -> dict[str, str]:
    """What speaks against any of the runs, first against the one as typed."""
    if base is not None and queries.is_deleted(session, base):
        return {"base": f"{base.name} is being deleted."}
    if new.swept is None:
        return problems(new.settings, facts)
    for one in spread(new.settings, new.swept):
        if found := problems(one, facts):
            value = plain(getattr(one, new.swept.field))
            said = " ".join(found.values())
            return {"sweep_values": f"{LABELS[new.swept.field]} {value}: {said}"}
    return {}


def _command(settings: TrainingSettings, start: Start, data: Data, folder: Path, device: str, processes: int) -> str:
    given = arguments(settings, start, data, folder, device=device, processes=processes)
    return shlex.join(["python", *given])
