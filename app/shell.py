"""What the commands of the shell share: how they print, fail, and wait for a job."""

import json
import sys
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from app.following import follow
from app.supervisor import Supervisor
from app.tables import Job, JobState

out = Console()
err = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object for a script.")]


def fail(sentence: str) -> NoReturn:
    err.print(sentence, style="red", markup=False, highlight=False)
    raise SystemExit(1)


def show(value: dict[str, Any], as_json: bool, sentence: str) -> None:
    if as_json:
        sys.stdout.write(json.dumps(value, default=str) + "\n")
    else:
        out.print(sentence, markup=False, highlight=False)


def finished(job_id: int, as_json: bool, own: Supervisor | None) -> Job:
    """The job at its end, with a bar meanwhile. Raises SystemExit 1 when it failed, 130 when it was cancelled."""
    job = follow(job_id, err, own, quiet=as_json)
    if job.state is JobState.FAILED:
        fail(job.error)
    if job.state is JobState.CANCELLED:
        raise SystemExit(130)
    return job
