"""The `ipath` command."""

import json
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.table import Table
from sqlalchemy import func, select

from app import serving
from app.accounts import actions as accounts
from app.accounts import queries as people
from app.accounts.policies import SYSTEM
from app.config import settings
from app.db import transaction
from app.embedded import HomeInUse, InitFailed
from app.errors import AppError, Invalid
from app.evaluation.shell import evaluate, evaluation_set
from app.following import bar, wait_for_prefilter
from app.shell import AsJson, err, fail, finished, out, show
from app.supervisor import ChildFailed, Supervisor
from app.tables import Consent, Role, SourceKind, User, WorkQueue
from app.training.shell import train

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Curate image–text pairs in pathology.")
user_app = typer.Typer(no_args_is_help=True, help="Add people, change passwords, end access.")
snapshot_app = typer.Typer(no_args_is_help=True, help="Freeze, list, export and verify snapshots.")
prefilter_app = typer.Typer(help="Run stages again; train the histology classifier.")
app.add_typer(user_app, name="user")
app.add_typer(snapshot_app, name="snapshot")
app.add_typer(prefilter_app, name="prefilter")
encoder_app = typer.Typer(no_args_is_help=True, help="Register models, and take one into use.")
app.add_typer(encoder_app, name="encoder")

app.command()(train)
app.command()(evaluate)
app.command(name="evaluation-set")(evaluation_set)

CONFIRM = "Give --confirm-licence to say that you know."


def main() -> None:
    """Runs the command; errors of the domain end it with their sentence and exit code 1."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is a script's to read
    try:
        app()
    except AppError as error:
        unconfirmed = isinstance(error, Invalid) and "confirmed" in error.fields  # a box that the pages tick
        fail(f"{error.message} {CONFIRM if unconfirmed else error.what_next}".strip())
    except (HomeInUse, InitFailed, ChildFailed) as error:
        fail(str(error))


# --- serving ------------------------------------------------------------------------------------


@app.command()
def serve(
    demo: Annotated[bool, typer.Option(help="At the first start, add people and sample posts.")] = False,
) -> None:
    """Run everything on this machine: databases (unless URLs name others), one worker, the web server."""
    supervisor = Supervisor(settings().home_path / "logs")
    services = serving.services(supervisor)
    services.start()
    try:
        serving.check_port()
        serving.migrate()
        url = serving.url()
        greet(url, first_people(demo))
        supervisor.start(serving.web_child(), serving.worker_child())
        if demo:
            from app.demo.setup import add_sample_posts

            add_sample_posts(out, supervisor)
            out.print(f"See a model learn, live within two minutes: {url}/runs, “Practice run”.", highlight=False)
        out.print(f"Open {url}   (Ctrl-C stops everything; what is in it stays)", highlight=False)
        supervisor.run()
    except KeyboardInterrupt:
        out.print("Stopping.")
    finally:
        services.stop()


def first_people(demo: bool) -> dict[str, str]:
    """The people of the first start with their passwords, which are stored nowhere; empty later."""
    wanted = {"admin": Role.ADMIN} | ({"alder": Role.REVIEWER, "birch": Role.REVIEWER} if demo else {})
    with transaction() as session:
        if session.scalar(select(func.count()).select_from(User)):
            return {}
        passwords = {name: secrets.token_urlsafe(12) for name in wanted}
        for name, role in wanted.items():
            accounts.add_user(session, SYSTEM, name, passwords[name], role)
    return passwords


def greet(url: str, passwords: dict[str, str]) -> None:
    if not passwords:
        out.print(f"{url}   Forgot a password? `ipath user passwd NAME` sets a new one.", highlight=False)
        return
    table = Table("Name", "Password (shown this once)", title=url)
    for name, password in passwords.items():
        table.add_row(name, password)
    out.print(table)


@app.command()
def web() -> None:
    """Run only the web server, on the databases that DATABASE_URL and REDIS_URL name."""
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    config = uvicorn.Config(
        "app.main:create_app",
        factory=True,
        host=settings().host,
        port=settings().port,
        workers=settings().web_processes,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    listener = config.bind_socket()
    # asyncio sets this only on sockets that it made itself; without it the body of an answer, which uvicorn
    # sends after the head, waits 40 ms for the browser's acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if config.workers > 1:
        Multiprocess(config, sockets=[listener]).run()
    else:
        uvicorn.Server(config).run(sockets=[listener])


@app.command()
def worker(
    queues: Annotated[str, typer.Option(help="Queues to serve, with commas: cpu, gpu, llm, train, export.")] = "",
    threads: Annotated[int, typer.Option(min=1, help="Jobs at once.")] = 4,
) -> None:
    """Run one worker, until it is stopped."""
    if unknown := set(filter(None, queues.split(","))) - set(WorkQueue):
        fail(f"There is no queue {', '.join(sorted(unknown))}. There are: {serving.ALL_QUEUES.replace(',', ', ')}.")
    argv = serving.worker_command(queues or serving.ALL_QUEUES, threads)
    os.execv(argv[0], argv)  # noqa: S606  # the worker takes this process's place, and its signals


# --- jobs, followed -----------------------------------------------------------------------------


@app.command(name="import")
def import_(
    path: Annotated[Path, typer.Argument(exists=True, help="A folder, zip, CSV or TSV of posts.")],
    source: Annotated[str, typer.Option(help="Where the posts come from: an account, a hashtag, a file set.")] = "",
    consent: Annotated[Consent, typer.Option(help="May they be used?")] = Consent.NOT_ASKED,
    kind: Annotated[SourceKind, typer.Option(help="What the source is.")] = SourceKind.FILES,
    licence: Annotated[str, typer.Option(help="The licence they come under.")] = "",
    as_json: AsJson = False,
) -> None:
    """Import posts, and send them through the pre-filter. Importing the same files again changes nothing."""
    from app.intake import actions, locations, queries

    with serving.running(WorkQueue.CPU) as own:
        with transaction() as session:
            new = actions.NewSource(source or path.resolve().name, kind, consent, licence=licence)
            found = actions.add_source(session, SYSTEM, new)
            made = actions.start_import(session, SYSTEM, locations.at_path(path), found)
            import_id, job_id = made.id, made.job_id
        if job_id is None:
            fail("The import has no job.")
        finished(job_id, as_json, own)
        if own:
            wait_for_prefilter(err, own)
        with transaction() as session:
            counts = queries.counts(session, [import_id])[import_id]
    sums = {what: getattr(counts, what) for what in ("taken", "updated", "unchanged", "refused")}
    text = ", ".join(f"{count} {what}" for what, count in sums.items())
    show({"import": import_id, **sums}, as_json, f"Import {import_id}: {text}.")


# --- pre-filter ---------------------------------------------------------------------------------


@prefilter_app.callback(invoke_without_command=True)
def prefilter(context: typer.Context) -> None:
    """Run stages again (`ipath prefilter` alone runs all); train the histology classifier."""
    if context.invoked_subcommand is None:
        prefilter_run()


@prefilter_app.command("run")
def prefilter_run(
    stage: Annotated[str, typer.Option(help="The stage to begin with; the first when not given.")] = "",
    as_json: AsJson = False,
) -> None:
    """Run the stages again on everything that nobody decided; what was computed on the same input is found again."""
    from app.prefilter import actions

    with serving.running(WorkQueue.CPU) as own:
        with transaction() as session:
            job_id = actions.run_again(session, SYSTEM, stage or None, None).id
        job = finished(job_id, as_json, own)
        if own:
            wait_for_prefilter(err, own)
    show({"job": job.id, "candidates": job.done}, as_json, f"{job.done} candidates went through again.")


@prefilter_app.command("train")
def prefilter_train(
    labels: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A CSV with the columns file, label.")],
    pictures: Annotated[Path | None, typer.Option(help="The folder that `file` is relative to.")] = None,
    name: Annotated[str, typer.Option(help="The name of the label set.")] = "",
    as_json: AsJson = False,
) -> None:
    """Load a label set (label `histology` or another) and train the histology classifier on it."""
    from app.prefilter import actions

    folder = (pictures or labels.parent).resolve()
    with serving.running(WorkQueue.CPU) as own:
        with transaction() as session:
            made = actions.load_labels(session, SYSTEM, name or labels.stem, labels.resolve(), folder)
            job_id = made.id
        job = finished(job_id, as_json, own)
        if own:
            wait_for_prefilter(err, own)
    show(
        {"job": job.id, "pictures": job.done},
        as_json,
        f"{job.done} labelled pictures; the classifier is training.",
    )


# --- encoders -----------------------------------------------------------------------------------

Confirmed = Annotated[bool, typer.Option("--confirm-licence", help="You know that its licence reaches the data.")]


@encoder_app.command("add")
def encoder_add(
    model: Annotated[str, typer.Argument(help="A name, hf-hub:ID, local-dir:FOLDER or a .json in the models folder.")],
    source: Annotated[str, typer.Option(help="open_clip, timm or efficientnet-lite0.")] = "open_clip",
    pretrained: Annotated[str, typer.Option(help="The tag of its trained weights.")] = "",
    checkpoint: Annotated[str, typer.Option(help="A .safetensors or .pt file below the models folder.")] = "",
    name: Annotated[str, typer.Option(help="What it is called here.")] = "",
    licence: Annotated[str, typer.Option(help="The licence of its weights.")] = "",
    quick_gelu: Annotated[bool, typer.Option("--quick-gelu", help="The file was trained with QuickGELU.")] = False,
    confirmed: Confirmed = False,
    as_json: AsJson = False,
) -> None:
    """Register a model; a worker loads it first, and refuses what is not the model that it should be."""
    from app.encoders import actions, queries

    new = actions.NewEncoder(source, model, pretrained, checkpoint, name, licence, quick_gelu)
    with serving.running(WorkQueue.GPU) as own:
        with transaction() as session:
            job_id = actions.register(session, SYSTEM, new, confirmed=confirmed).id
        finished(job_id, as_json, own)
        with transaction() as session:
            made = queries.registered_by(session, job_id)
    facts = {"encoder": made.id, "name": made.name, "width": made.width, "weights": made.weights.value}
    show(facts, as_json, f"{made.name} is model {made.id}. `ipath encoder use {made.id}` takes it into use.")


@encoder_app.command("use")
def encoder_use(
    encoder: Annotated[int, typer.Argument(min=1)], confirmed: Confirmed = False, as_json: AsJson = False
) -> None:
    """Embed every image under an encoder, and then take it into use."""
    from app.encoders import actions

    with serving.running(WorkQueue.GPU) as own:
        with transaction() as session:
            job_id = actions.use(session, SYSTEM, encoder, confirmed=confirmed).id
        job = finished(job_id, as_json, own)
    show({"job": job.id, "images": job.done}, as_json, f"{job.done} images were embedded; encoder {encoder} is in use.")


# --- snapshots ----------------------------------------------------------------------------------


@snapshot_app.command("create")
def snapshot_create(
    val: Annotated[int | None, typer.Option(min=0, help="Pairs for validation (usual: 500, at most a tenth).")] = None,
    test: Annotated[int | None, typer.Option(min=0, help="Held-out pairs (usual: 5,000, at most a tenth).")] = None,
    note: Annotated[str, typer.Option(help="What this release is for.")] = "",
    as_json: AsJson = False,
) -> None:
    """Freeze all accepted pairs as the next snapshot and write its files."""
    from app.snapshots import actions, queries
    from app.snapshots.splits import usual_sizes

    with serving.running(WorkQueue.EXPORT) as own:
        with transaction() as session:
            usual_val, usual_test = usual_sizes(queries.ready(session).pairs)
            sizes = (usual_val if val is None else val, usual_test if test is None else test)
            job_id = actions.make_snapshot(session, SYSTEM, *sizes, note).id
        job = finished(job_id, as_json, own)
    number = job.cursor.get("number")
    folder = settings().snapshots_path / f"v{number:04d}"
    show({"snapshot": number, "folder": str(folder)}, as_json, f"v{number:04d} is in {folder}.")


@snapshot_app.command("list")
def snapshot_list(as_json: AsJson = False) -> None:
    """List the snapshots."""
    from app.snapshots import queries

    with serving.running(), transaction() as session:
        rows = [queries.as_row(snapshot) for snapshot in queries.newest(session)]
    if as_json:
        sys.stdout.write(json.dumps(rows, default=str) + "\n")
        return
    table = Table("Snapshot", "Pairs", "Train", "Val", "Test", "Frozen", "Files")
    for row in rows:
        table.add_row(*(str(row[name]) for name in ("name", "pairs", "train", "val", "test", "frozen_at", "state")))
    out.print(table)


@snapshot_app.command("export")
def snapshot_export(
    number: Annotated[int, typer.Argument(min=1)],
    folder: Annotated[Path, typer.Argument(help="The folder to write; it must not exist.")],
    as_json: AsJson = False,
) -> None:
    """Rebuild a snapshot's files in another folder: the same bytes, from the database and the blobs alone."""
    from app.snapshots import building, queries
    from app.snapshots.formats.build import COPIES

    with serving.running(), transaction() as session:
        pairs = queries.as_row(queries.numbered(session, number))["pairs"]
        with bar(err, f"v{number:04d}", COPIES * pairs, quiet=as_json) as progress:
            building.export(session, number, folder, progress)
    show({"snapshot": number, "folder": str(folder)}, as_json, f"v{number:04d} is in {folder}.")


@snapshot_app.command("verify")
def snapshot_verify(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="An unpacked snapshot.")],
    as_json: AsJson = False,
) -> None:
    """Check a snapshot's files against its checksums; needs no server. Exit code 1 when something differs."""
    from app.snapshots.verify import verify

    with err.status("Reading every file"):
        problems = [str(problem) for problem in verify(folder)]
    if as_json:
        sys.stdout.write(json.dumps({"folder": str(folder), "problems": problems}) + "\n")
    else:
        out.print("\n".join(problems) or f"{folder}: every file is as it was frozen.", markup=False, highlight=False)
    if problems:
        raise SystemExit(1)


# --- people -------------------------------------------------------------------------------------

NewPassword = Annotated[bool, typer.Option("--ask", help="Ask for the password instead of making one.")]


def new_password(ask: bool) -> str:
    if ask:
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return secrets.token_urlsafe(12)


@user_app.command("add")
def user_add(
    name: str,
    role: Annotated[Role, typer.Option(help="What they may do.")] = Role.REVIEWER,
    adjudicator: Annotated[bool, typer.Option(help="A reviewer who also settles disagreements.")] = False,
    ask: NewPassword = False,
    as_json: AsJson = False,
) -> None:
    """Add a person; a password is made and printed once."""
    password = new_password(ask)
    with serving.running(), transaction() as session:
        user = accounts.add_user(session, SYSTEM, name, password, role, adjudicator)
        name = user.name
    shown = {} if ask else {"password": password}
    show({"name": name, "role": role.value, **shown}, as_json, f"{name} can sign in." + told(password, ask))


def told(password: str, ask: bool) -> str:
    return "" if ask else f" Password, shown this once: {password}"


@user_app.command("passwd")
def user_passwd(name: str, ask: NewPassword = False, as_json: AsJson = False) -> None:
    """Set a new password and sign the person out everywhere."""
    password = new_password(ask)
    with serving.running(), transaction() as session:
        accounts.set_password(session, SYSTEM, people.user_named(session, name), password)
    shown = {} if ask else {"password": password}
    show({"name": name, **shown}, as_json, f"{name} has a new password." + told(password, ask))


@user_app.command("disable")
def user_disable(name: str, as_json: AsJson = False) -> None:
    """End a person's access at once; their reviews stay."""
    with serving.running(), transaction() as session:
        accounts.disable(session, SYSTEM, people.user_named(session, name))
    show({"name": name, "disabled": True}, as_json, f"{name} can no longer sign in.")


@user_app.command("list")
def user_list(as_json: AsJson = False) -> None:
    """List the people."""
    with serving.running(), transaction() as session:
        rows = [
            {
                "name": p.user.name,
                "role": p.user.role.value,
                "reviews": p.reviews,
                "disabled": bool(p.user.disabled_at),
            }
            for p in people.people(session)
        ]
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    table = Table("Name", "Role", "Reviews", "State")
    for row in rows:
        table.add_row(str(row["name"]), str(row["role"]), str(row["reviews"]), "disabled" if row["disabled"] else "")
    out.print(table)


# --- health -------------------------------------------------------------------------------------


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check everything the system needs; exit code 1 when something needs mending."""
    from app.operations import checks

    with serving.running(), transaction() as session:
        found = checks.all_checks(session)
    bad = [check for check in found if check.state == "bad"]
    if as_json:
        rows = [{"name": c.name, "state": c.state, "text": c.text, "what_to_do": c.what_to_do} for c in found]
        sys.stdout.write(json.dumps(rows) + "\n")
    else:
        marks = {"ok": "[green]ok[/]", "warn": "[yellow]look[/]", "bad": "[red]mend[/]"}
        for check in found:
            todo = f"\n      {check.what_to_do}" if check.what_to_do else ""
            out.print(f"{marks[check.state]:>4}  {check.name}: {check.text}{todo}", highlight=False)
    if bad:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
