"""Which code made something: the package's version, and what it really was."""

import hashlib
import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("app", "workers")


@lru_cache
def code_version() -> str:
    """Such as 0.1.0+7bfadd24fc9c: the commit where the files are as it has them, else a hash of the files."""
    return f"{version('ipath-curator')}+{(commit(ROOT) or files_hash(ROOT))[:12]}"


def commit(root: Path) -> str:
    """Empty without a checkout, or where the product's files differ from it."""
    asked = (["rev-parse", "HEAD"], ["status", "--porcelain", "--", *PARTS])
    if not (root / ".git").exists():
        return ""
    try:
        head, changed = (
            subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=10).stdout
            for words in asked
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return "" if changed else head.strip()


def files_hash(root: Path) -> str:
    """SHA-256 of the Python files by name and content, in hex."""
    found = hashlib.sha256()
    for path in sorted(path for part in PARTS for path in (root / part).rglob("*.py")):
        found.update(f"{path.relative_to(root).as_posix()}\0".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()
