"""Rows for tests, made the way the product makes them: along the arrows, through the actions."""

import hashlib
import io
import random
from datetime import UTC, datetime
from itertools import count
from typing import Any

from PIL import Image as Picture
from sqlalchemy.orm import Session

from app.accounts import actions as accounts
from app.accounts.policies import SYSTEM, Actor
from app.accounts.queries import actor_of
from app.curation import actions as curation
from app.curation import moves
from app.storage import blobs
from app.tables import (
    Author,
    Candidate,
    CandidateState,
    CaptionKind,
    Classifier,
    Consent,
    Encoder,
    EncoderKind,
    Endpoint,
    Image,
    Import,
    LabelSet,
    Post,
    Role,
    Source,
    SourceKind,
    Weights,
)

PASSWORD = "correct horse battery"
FAR = datetime(2100, 1, 1, tzinfo=UTC)
numbers = count(1)


def make_person(session: Session, name: str, role: Role = Role.REVIEWER, adjudicator: bool = False) -> Actor:
    return actor_of(accounts.add_user(session, SYSTEM, name, PASSWORD, role, adjudicator))


def make_picture(seed: int, width: int = 300, height: int = 280) -> bytes:
    """A JPEG of coloured noise, different for every seed and sharp enough for the quality stage."""
    noise = random.Random(seed).randbytes(30 * 28 * 3)
    picture = Picture.frombytes("RGB", (30, 28), noise).resize((width, height), Picture.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def make_import(session: Session, name: str = "path_demo_01") -> Import:
    source = session.query(Source).filter_by(name=name).one_or_none()
    if source is None:
        source = Source(name=name, kind=SourceKind.ACCOUNT, consent=Consent.AGREED)
        session.add(source)
        session.flush()
    made = Import(source_id=source.id, origin=f"{name}/", location={})
    session.add(made)
    session.flush()
    return made


def make_candidate(
    session: Session,
    state: CandidateState = CandidateState.QUEUED,
    caption: str = "Basal cell carcinoma, H&E, 10×.",
    *,
    run: Import | None = None,
    post: Post | None = None,
    position: int = 1,
    author: str = "path_demo_01",
    with_blob: bool = False,
) -> Candidate:
    """A candidate of a post of its own (or of `post`) in one of the states that need no review."""
    number = next(numbers)
    run = run or make_import(session)
    post = post or _make_post(session, run, author, number)
    image = _make_image(session, number, with_blob)
    candidate = Candidate(post_id=post.id, image_id=image.id, import_id=run.id, position=position)
    session.add(candidate)
    session.flush()
    text = curation.add_caption(session, candidate.id, CaptionKind.RAW, caption, "import")
    curation.offer_caption(session, candidate, text)
    _walk(session, candidate, state)
    session.refresh(candidate)
    return candidate


def _make_post(session: Session, run: Import, author: str, number: int) -> Post:
    writer = session.query(Author).filter_by(platform="instagram", account_id=author).one_or_none()
    if writer is None:
        writer = Author(platform="instagram", account_id=author, label=author)
        session.add(writer)
        session.flush()
    post = Post(
        platform="instagram",
        natural_key=f"test-{number}",
        shortcode=f"Ctest{number:05d}",
        source_id=run.source_id,
        author_id=writer.id,
        permalink=f"https://www.instagram.com/p/Ctest{number:05d}/",
    )
    session.add(post)
    session.flush()
    return post


def _make_image(session: Session, number: int, with_blob: bool) -> Image:
    data = make_picture(number) if with_blob else f"picture {number}".encode()
    sha256 = blobs().put(data) if with_blob else hashlib.sha256(data).hexdigest()
    image = Image(sha256=sha256, source_sha256=sha256, width=300, height=280, size=len(data))
    session.add(image)
    session.flush()
    return image


def make_encoder(session: Session, **values: Any) -> Encoder:
    """An encoder's row, of a network that is nowhere."""
    number = next(numbers)
    given = {"name": f"encoder {number}", "source": "open_clip", "model": f"m{number}", "width": 2} | values
    kind = {"kind": EncoderKind.IMAGE_TEXT, "weights": Weights.TRAINED, "licence": "MIT"}
    made = Encoder(**(kind | given))
    session.add(made)
    session.flush()
    return made


def make_endpoint(session: Session, **values: Any) -> Endpoint:
    """A language model's endpoint, of a server on this machine."""
    given = {"name": f"endpoint {next(numbers)}", "base_url": "http://127.0.0.1:9/v1", "model": "drawn-7b"}
    made = Endpoint(**(given | {"may_be_private": True} | values))
    session.add(made)
    session.flush()
    return made


def _walk(session: Session, candidate: Candidate, state: CandidateState) -> None:
    ids = [candidate.id]
    if state is CandidateState.INCOMING:
        return
    moves.move(session, ids, CandidateState.INCOMING, CandidateState.FILTERING)
    if state is CandidateState.QUEUED:
        moves.enqueue(session, ids)
    elif state is CandidateState.FILTERED_OUT:
        moves.filter_out(session, ids, "quality")
    elif state is CandidateState.WITHDRAWN:
        moves.withdraw(session, ids)
    elif state is not CandidateState.FILTERING:
        raise ValueError(f"{state} needs a review")


def make_classifier(session: Session) -> Classifier:
    """A classifier with every figure that training from reviews measures."""
    encoder = make_encoder(session)
    label_set = LabelSet(name=f"labels {encoder.id}")
    session.add(label_set)
    session.flush()
    held_out = {
        "n": 9,
        "positives": 5,
        "groups": 3,
        "roc_auc": 0.9,
        "roc_auc_low": 0.8,
        "roc_auc_high": 1.0,
        "pr_auc": 0.9,
        "ece": 0.1,
        "brier": 0.1,
        "log_loss": 0.3,
        "confusion": [[3, 1], [1, 4]],
        "line": 0.5,
        "reliability": [[0.1, 0.2, 4], [0.9, 0.8, 5]],
        "risk_coverage": [[0.1, 0.0], [1.0, 0.4]],
    }
    metrics = {"n": 30, "positives": 15, "folds": 5, "grouped": True, "strength": 1.0, "accuracy": 0.9}
    metrics |= {"roc_auc": 0.9, "log_loss": 0.3, "brier": 0.1, "held_out": held_out, "mistakes": [], "beside": None}
    metrics |= {"proposal": {"threshold": 0.4, "missing": 0, "bound": 0.02}}
    made = Classifier(
        name=f"head on {encoder.name}", encoder_id=encoder.id, label_set_id=label_set.id, head={}, metrics=metrics
    )
    session.add(made)
    session.flush()
    return made
