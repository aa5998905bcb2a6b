"""Settings from the environment; nothing else reads os.environ."""

import os
import re
import stat
from functools import lru_cache
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from app import embedded
from app.errors import Invalid

KEY_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,39}")
KEY = re.compile(r"[\x21-\x7e]{1,4096}")


class Settings(BaseSettings):
    """Every setting the product knows, with its default for a single machine."""

    model_config = SettingsConfigDict(env_file=None, extra="ignore")

    home: Path = Field(Path("var"), validation_alias="IPATH_HOME")
    database_url_setting: SecretStr | None = Field(None, validation_alias="DATABASE_URL")
    redis_url_setting: SecretStr | None = Field(None, validation_alias="REDIS_URL")
    blobs_url_setting: str | None = Field(None, validation_alias="IPATH_BLOBS")
    import_roots_setting: str = Field("", validation_alias="IPATH_IMPORT_ROOTS")
    evaluation_roots_setting: str = Field("", validation_alias="IPATH_EVALUATION_ROOTS")
    host: str = Field("127.0.0.1", validation_alias="IPATH_HOST")
    port: int = Field(8000, validation_alias="IPATH_PORT")
    allowed_hosts_setting: str = Field("localhost,127.0.0.1,[::1]", validation_alias="IPATH_ALLOWED_HOSTS")
    behind_tls: bool = Field(False, validation_alias="IPATH_BEHIND_TLS")
    web_processes: int = Field(1, ge=1, le=64, validation_alias="IPATH_WEB_PROCESSES")
    lease_seconds: int = Field(600, ge=1, validation_alias="IPATH_LEASE_SECONDS")
    job_lease_seconds: int = Field(60, ge=2, validation_alias="IPATH_JOB_LEASE_SECONDS")
    sweep_seconds: float = Field(15, gt=0, validation_alias="IPATH_SWEEP_SECONDS")
    models_setting: Path | None = Field(None, validation_alias="IPATH_MODELS")
    clip_model: str = Field("ViT-B-32", validation_alias="IPATH_CLIP_MODEL")
    clip_pretrained: str = Field("openai", validation_alias="IPATH_CLIP_PRETRAINED")

    @property
    def home_path(self) -> Path:
        return self.home.expanduser().resolve()

    @property
    def database_url(self) -> str:
        if self.database_url_setting:
            return self.database_url_setting.get_secret_value()
        return embedded.database_url(self.home_path)

    @property
    def redis_url(self) -> str:
        if self.redis_url_setting:
            return self.redis_url_setting.get_secret_value()
        return embedded.redis_url(self.home_path)

    @property
    def blobs_url(self) -> str:
        return self.blobs_url_setting or str(self.home_path / "blobs")

    @property
    def snapshots_path(self) -> Path:
        return self.home_path / "snapshots"

    @property
    def uploads_path(self) -> Path:
        return self.home_path / "uploads"

    @property
    def models_path(self) -> Path:
        """The only folder that checkpoints are read from when an encoder is registered."""
        return (self.models_setting or self.home_path / "models").expanduser().resolve()

    @property
    def runs_path(self) -> Path:
        """Where the trainer works: a folder a run, with its log, its curves and what it needs to go on."""
        return self.home_path / "runs"

    @property
    def evaluations_path(self) -> Path:
        """What evaluations leave: items of sets, features, predictions and passports."""
        return self.home_path / "evaluations"

    @property
    def evaluation_roots(self) -> list[Path]:
        """Folders whose named sub-folders are evaluation sets in their published layouts; only read."""
        roots = [Path(root) for root in self.evaluation_roots_setting.split(":") if root]
        return roots or [self.home_path / "evaluation-sets"]

    @property
    def import_roots(self) -> list[Path]:
        """Folders whose named sub-folders an admin may import from the browser."""
        roots = [Path(root) for root in self.import_roots_setting.split(":") if root]
        return roots or [self.home_path / "inbox"]

    @property
    def keys_path(self) -> Path:
        return self.home_path / "keys"

    def llm_key(self, name: str) -> SecretStr:
        """A language model's API key: the variable IPATH_LLM_KEY_<name>, else the file <name> in the folder `keys`.

        No name leads to another variable or file. Raises Invalid, which says what to do and never what was found.
        """
        if not KEY_NAME.fullmatch(name):
            raise Invalid("A key's name has capital letters, digits and underscores, such as OPENAI.")
        found = os.environ.get(f"IPATH_LLM_KEY_{name}") or _own_file(self.keys_path / name)
        key = found.strip()
        if not KEY.fullmatch(key):
            raise Invalid(f"The key {name} is empty or has characters that no key has.", "Put it there again.")
        return SecretStr(key)

    @property
    def allowed_hosts(self) -> list[str]:
        return [host.strip() for host in self.allowed_hosts_setting.split(",") if host.strip()]


def _own_file(path: Path) -> str:
    """A small file's text. Raises Invalid when it is not there, is a link, or others may read it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        where = f"Set IPATH_LLM_KEY_{path.name} for the workers, or write the key to {path}, with mode 0600."
        raise Invalid(f"There is no key {path.name}.", where) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise Invalid(f"The key {path.name} is no file.", f"Write the key to a file, {path}, with mode 0600.")
        if mode & 0o077:
            raise Invalid(f"Others may read the file of the key {path.name}.", f"Run: chmod 600 {path}")
        return os.read(descriptor, 8192).decode("latin-1")
    finally:
        os.close(descriptor)


@lru_cache
def settings() -> Settings:
    """The process's settings, read once."""
    return Settings()
