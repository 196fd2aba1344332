"""What tests share: an S3, and what they keep from one run to the next in pytest's cache, never in the work tree."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import settings

settings.register_profile("towpath", deadline=None)  # where a machine has other work, a slow example proves nothing
settings.load_profile("towpath")

NODE = Path(__file__).parent / "node"
FEAST = ("feast>=0.60,<1",)
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")


@pytest.fixture(scope="session")
def kept(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives a folder which outlives the run; a fresh one where pytest keeps nothing."""
    cache = getattr(pytestconfig, "cache", None)
    return cache.mkdir if cache else tmp_path_factory.mktemp


@pytest.fixture(scope="session")
def node(kept: Callable[[str], Path]) -> Path:
    """Return a folder from which node finds the packages that tests/node/package-lock.json names by their hashes.

    Skips where there is no node, or no registry to install from; fails instead on GitHub's runners, which have both.
    """
    lock = hashlib.sha256((NODE / "package-lock.json").read_bytes()).hexdigest()
    place = kept("node") / lock[:12]
    if not place.exists():
        _install(place)
    return place


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Yield the address of S3, played by moto's own server."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 (takes seconds)

    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def feast_python(kept: Callable[[str], Path]) -> str:
    """Return the Python of an environment with Feast, made once and kept in pytest's cache.

    Skips where no registry answers; fails instead on GitHub's runners, which reach one.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    place = kept("feast") / hashlib.sha256(f"{FEAST}{version}".encode()).hexdigest()[:12]
    python = place / "bin" / "python"
    if not python.exists():
        _install_feast(place)
    return str(python)


def _install_feast(place: Path) -> None:
    """Install by uv where there is one, by pip otherwise, beside the place and then move it there."""
    partial = Path(mkdtemp(dir=place.parent)) / "environment"
    uv = shutil.which("uv")
    subprocess.run([sys.executable, "-m", "venv", *(["--without-pip"] if uv else []), str(partial)], check=True)
    python = str(partial / "bin" / "python")
    command = [uv, "pip", "install", "-q", "--python", python] if uv else [python, "-m", "pip", "install", "-q"]
    done = subprocess.run([*command, *FEAST], capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(partial.parent)
        why = f"Feast cannot be installed: {done.stderr.strip()[-500:]}"
        if os.environ.get("GITHUB_ACTIONS"):
            pytest.fail(why)
        pytest.skip(why)
    try:
        partial.rename(place)
    except OSError:  # another process of the tests was faster
        shutil.rmtree(partial.parent)


def _install(place: Path) -> None:
    if not (shutil.which("node") and shutil.which("npm")):
        _unavailable("node and npm are not installed")
    partial = Path(mkdtemp(dir=place.parent))
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(NODE / name, partial / name)
    done = subprocess.run(INSTALL, cwd=partial, check=False, capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(partial)
        _unavailable(f"npm could not install: {done.stderr.strip()[-500:]}")
    try:
        partial.rename(place)
    except OSError:  # another process of the tests was faster
        shutil.rmtree(partial)


def _unavailable(why: str) -> None:
    if os.environ.get("GITHUB_ACTIONS"):
        pytest.fail(why)
    pytest.skip(why)
