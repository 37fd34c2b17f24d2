"""Fetch pinned packages from Debian, PyPI and npm with their ordinary clients, and unpack them.

Each function leaves an unpacked folder and is a no-op when that folder exists, so a broken download is
resumed by running the pipeline again. A version that its registry no longer serves makes the client fail;
put the version it does serve into recipe.json and say so in the data sheet: the numbers then belong to that.
"""
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path


def fetch(source: dict, cache: Path) -> Path:
    """Return the folder with the unpacked package of one `sources` entry of recipe.json."""
    registry, package, version = source["registry"], source["package"], source["version"]
    if registry == "generated":
        return cache
    folder = cache / re.sub(r"[^A-Za-z0-9.+-]", "_", f"{registry}-{package}-{version}")
    if folder.exists():
        return folder
    staging = folder.with_name(folder.name + ".part")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    FETCHERS[registry](package, version, staging)
    if "program" in source:  # the reader of a data package that only its own program understands
        from_debian(source["program"], version, staging)
    staging.rename(folder)
    return folder


def from_debian(package: str, version: str, folder: Path) -> None:
    run(["apt-get", "download", f"{package}={version}"], folder)
    for deb in folder.glob("*.deb"):
        run(["dpkg-deb", "-x", deb.name, "."], folder)
        deb.unlink()


def from_debian_source(package: str, version: str, folder: Path) -> None:
    """The upstream tarball, through a private package list so that the machine's own stays as it is."""
    apt = folder / "apt"
    (apt / "lists" / "partial").mkdir(parents=True)
    (apt / "parts").mkdir()
    (apt / "parts" / "source.sources").write_text(source_stanzas())
    options = [f"-oDir::Etc::sourcelist={apt / 'none'}", f"-oDir::Etc::sourceparts={apt / 'parts'}",
               f"-oDir::State::Lists={apt / 'lists'}"]
    run(["apt-get", *options, "update"], folder)
    run(["apt-get", *options, "source", "--download-only", f"{package}={version}"], folder)
    shutil.rmtree(apt)
    for tarball in folder.glob("*.orig.tar.*"):
        if not tarball.name.endswith(".asc"):
            with tarfile.open(tarball) as archive:
                archive.extractall(folder, filter="data")
    for leftover in folder.glob(f"{package}_*"):
        leftover.unlink()


def source_stanzas() -> str:
    """The machine's Debian stanzas as source ones; not the security suite, whose pool keeps no old versions."""
    kept = []
    for path in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        for stanza in path.read_text().split("\n\n"):
            suites = re.search(r"(?m)^Suites:.*$", stanza)
            if suites and "/debian" in stanza and "-security" not in suites[0]:
                kept.append(re.sub(r"(?m)^Types:.*$", "Types: deb-src", stanza))
    if not kept:
        raise RuntimeError("no Debian entry in /etc/apt/sources.list.d/*.sources: run this on Debian 12 or newer")
    return "\n\n".join(kept) + "\n"


def from_pypi(package: str, version: str, folder: Path) -> None:
    run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version=3.11",
         "--dest=.", f"{package}=={version}"], folder)
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        wheel.unlink()


def from_npm(package: str, version: str, folder: Path) -> None:
    run(["npm", "pack", "--silent", f"{package}@{version}"], folder)
    for tarball in folder.glob("*.tgz"):
        with tarfile.open(tarball) as archive:
            archive.extractall(folder, filter="data")
        tarball.unlink()


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed ({done.returncode}):\n{done.stderr.strip()}")


FETCHERS = {"debian": from_debian, "debian-source": from_debian_source, "pypi": from_pypi, "npm": from_npm}
