"""A model from a form to a researcher's disk: added, looked at, prepared and downloaded, each by the real worker."""

import io
import shutil
import tarfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Site
from tests.encoders.models import TINY, tiny_state

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("worker")]
SLOW = 120_000


def fill_models_folder(site: Site) -> None:
    from safetensors.torch import save_file

    folder = site.home / "models"
    folder.mkdir(exist_ok=True)
    shutil.copy(TINY, folder)
    save_file(tiny_state(1), folder / "run-1.safetensors")
    (folder / "bad.safetensors").write_bytes(b"no model")


def add(site: Site, page: Page, checkpoint: str) -> None:
    page.goto(f"{site.url}/models")
    page.get_by_label("Model", exact=True).fill("tiny_clip.json")
    page.get_by_label("Trained weights, from a file").fill(checkpoint)
    page.get_by_role("button", name="Add the model").click()


def test_a_model_is_added_prepared_downloaded_and_deleted(site: Site, sign_in: Open, tmp_path: Path) -> None:
    fill_models_folder(site)
    elm = sign_in("elm")
    add(site, elm, "bad.safetensors")
    expect(elm.get_by_text("is not a safetensors file")).to_be_visible(timeout=SLOW)
    add(site, elm, "run-1.safetensors")
    elm.get_by_role("link", name="tiny_clip/run-1", exact=True).click(timeout=SLOW)
    elm.get_by_role("button", name="Prepare download").click()
    expect(elm.get_by_role("link", name="Download")).to_be_visible(timeout=SLOW)
    fir = sign_in("fir", width=390)
    fir.goto(f"{site.url}/models")
    fir.get_by_role("link", name="tiny_clip/run-1", exact=True).click()
    expect(fir.get_by_text('open_clip.get_tokenizer("local-dir:tiny_clip-run-1")')).to_be_visible()
    expect(fir.get_by_role("heading", name="What can be done")).to_have_count(0)
    fir.wait_for_load_state()
    assert fir.evaluate("document.documentElement.scrollWidth") <= 390
    with fir.expect_download() as waiting:
        fir.get_by_role("link", name="Download").click()
    assert waiting.value.suggested_filename == "tiny_clip-run-1.tar"
    with tarfile.open(fileobj=io.BytesIO(Path(waiting.value.path()).read_bytes())) as tar:
        names = {Path(name).name for name in tar.getnames()}
    assert names == {"README.md", "SHA256SUMS", "open_clip_config.json", "open_clip_model.safetensors"}

    delete(elm)
    left = {"tiny_clip.json", "run-1.safetensors", "bad.safetensors"}
    assert {path.name for path in (site.home / "models").iterdir()} == left


def delete(page: Page) -> None:
    """What goes with it is named, and its number is asked for."""
    page.get_by_text("Delete", exact=True).click()
    expect(page.get_by_text("The folder tiny_clip-run-1 that was made of it goes too.")).to_be_visible()
    number = page.url.rsplit("/", 1)[-1]
    page.get_by_label(f"Type {number} to go on").fill(number)
    page.get_by_role("button", name="Delete this model").click()
    expect(page.get_by_text("No model yet")).to_be_visible(timeout=SLOW)
