"""Downloading a model: one tar, resumed where it broke off, that three lines of plain open_clip load."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from app.accounts import actions as accounts
from app.accounts.policies import SYSTEM
from app.db import transaction
from app.encoders import actions
from app.encoders.actions import NewEncoder
from app.main import create_app
from app.tables import Encoder, Event, JobState, Role
from app.web.deps import cookie_name
from tests.encoders.models import TINY_CLIP, register, run
from tests.factories import PASSWORD, make_person
from tests.workers.ml.test_encoder import jpeg
from workers import vectors

PICTURE, TEXTS = jpeg(3), ["an H&E image of skin", "腺癌 🔬", "word " * 200]
# What a researcher does with the three lines, in a process that can't find our code.
READ = """
import io, json, sys
from importlib.util import find_spec
import torch
from PIL import Image
assert find_spec("workers") is None and find_spec("app") is None
picture = Image.open(io.BytesIO(sys.stdin.buffer.read())).convert("RGB")
model.eval()
with torch.no_grad():
    image = model.encode_image(preprocess(picture)[None], normalize=True)
    texts = model.encode_text(tokenizer(json.loads(sys.argv[1])), normalize=True)
print(json.dumps([image.tolist(), texts.tolist()]))
"""


@pytest.fixture
def fir(models: Path) -> Iterator[TestClient]:
    """A researcher's browser."""
    with transaction() as session:
        make_person(session, "fir", Role.RESEARCHER)
        token = accounts.sign_in(session, "fir", PASSWORD, "127.0.0.1", "test")
    headers = {"sec-fetch-site": "same-origin", "accept": "text/html"}
    with TestClient(create_app(), base_url="http://localhost", headers=headers, follow_redirects=False) as made:
        made.cookies.set(cookie_name(), str(token))
        yield made


def prepared(new: NewEncoder = TINY_CLIP) -> Encoder:
    made = register(new)
    with transaction() as session:
        job = actions.prepare(session, SYSTEM, made.id)
    assert run(job).state is JobState.SUCCEEDED
    return made


def in_a_fresh_process(lines: str, folder: Path) -> list[list[list[float]]]:
    libraries = os.environ | {"PYTHONPATH": sysconfig.get_path("purelib")}  # without the .pth that names our folder
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", f"{lines}\n{READ}", json.dumps(TEXTS)],
        cwd=folder,
        env=libraries,
        input=PICTURE,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_page_s_three_lines_load_the_unpacked_download_and_give_our_vectors(
    fir: TestClient, tmp_path: Path
) -> None:
    model = prepared(NewEncoder(**{**TINY_CLIP.__dict__, "quick_gelu": True, "name": "ip-clip v0007"}))
    page = fir.get(f"/models/{model.id}").text
    found = re.search(r'<pre class="code"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert found
    lines = found[1].replace("&#34;", '"')
    assert lines == (
        "import open_clip\n"
        'model, _, preprocess = open_clip.create_model_and_transforms("local-dir:ip-clip-v0007")\n'
        'tokenizer = open_clip.get_tokenizer("local-dir:ip-clip-v0007")'
    )
    answer = fir.get(f"/models/{model.id}/download")
    assert answer.headers["content-disposition"] == 'attachment; filename="ip-clip-v0007.tar"'
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        tar.extractall(tmp_path, filter="data")
    image, texts = in_a_fresh_process(lines, tmp_path)
    network = vectors.load(model)
    np.testing.assert_allclose(image, network.embed_images([PICTURE]), atol=1e-5)
    np.testing.assert_allclose(texts, network.embed_texts(TEXTS), atol=1e-5)
    assert lines in (tmp_path / "ip-clip-v0007" / "README.md").read_text()


def test_it_holds_weights_config_card_and_checksums_that_fit(fir: TestClient, tmp_path: Path) -> None:
    model = prepared()
    with tarfile.open(fileobj=io.BytesIO(fir.get(f"/models/{model.id}/download").content)) as tar:
        tar.extractall(tmp_path, filter="data")
    folder = tmp_path / "tiny_clip-run-1"
    listed = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert set(listed) == {"README.md", "open_clip_config.json", "open_clip_model.safetensors"}
    assert {path.name for path in folder.iterdir()} == {*listed, "SHA256SUMS"}
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256 for name, sha256 in listed.items())


def test_a_download_that_broke_off_goes_on_where_it_was(fir: TestClient) -> None:
    model = prepared()
    url = f"/models/{model.id}/download"
    whole = fir.get(url)
    etag, size = whole.headers["etag"], len(whole.content)
    first = fir.get(url, headers={"range": "bytes=0-99999"})
    rest = fir.get(url, headers={"range": "bytes=100000-", "if-range": etag})
    assert (first.status_code, rest.status_code) == (206, 206)
    assert rest.headers["content-range"] == f"bytes 100000-{size - 1}/{size}"
    assert first.content + rest.content == whole.content
    assert fir.get(url, headers={"range": f"bytes={size}-"}).status_code == 416
    assert len(fir.get(url, headers={"range": "bytes=5-", "if-range": '"another"'}).content) == size
    with transaction() as session:
        acts = session.execute(select(Event.subject_id, Event.details).where(Event.act == "encoder.downloaded"))
        told = [(subject, details.get("what", "")) for subject, details in acts]
    assert told == [("tiny_clip/run-1", part) for part in ("", "a part", "a part", "")]


def test_what_is_not_prepared_or_may_not_be_passed_on_says_so(fir: TestClient, models: Path) -> None:
    plain = register(TINY_CLIP)
    answer = fir.get(f"/models/{plain.id}/download")
    assert (answer.status_code, "is not prepared" in answer.text) == (409, True)
    assert "An admin prepares the download here." in fir.get(f"/models/{plain.id}").text
    assert fir.post(f"/models/{plain.id}/package").status_code == 403
    with transaction() as session:
        session.get_one(Encoder, plain.id).reaches_data = True
    answer = fir.get(f"/models/{plain.id}/download")
    assert (answer.status_code, "does not let it be passed on" in answer.text) == (409, True)
    lite0 = register(NewEncoder("efficientnet-lite0"))
    assert "reads images only" in fir.get(f"/models/{lite0.id}/download").text


def test_a_package_whose_file_was_cut_is_not_sent(fir: TestClient, models: Path) -> None:
    model = prepared()
    weights = models / "tiny_clip-run-1" / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert fir.get(f"/models/{model.id}/download").status_code == 409
