"""What a user gets: the wheel holds exactly our files, under one top-level name."""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
INSTALLED_UNDER = {"autospace": "autospace", "cli": "autospace/cli", "spaces": "autospace/spaces"}


LIBRARIES = (".so", ".pyd")


def _files(folder: str) -> list[Path]:
    found = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    kept = [path for path in found if "__pycache__" not in path.parts and path.name[0] != "."]
    # A page that explains a folder is for readers of the repository.
    return [p for p in kept if p.suffix not in LIBRARIES and p.name != "README.md"]


IGNORED = shutil.ignore_patterns("__pycache__", *(f"*{suffix}" for suffix in LIBRARIES))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return _build(tmp_path_factory.mktemp("copy"), {})


def _build(copy: Path, environment: dict[str, str]) -> zipfile.ZipFile:
    """Built offline, from a copy: a build/ left in the tree would bring deleted files back."""
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "NOTICE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy)
    # What is packed does not depend on how well the library is optimised; that takes half a minute.
    settings = copy / "pyproject.toml"
    text = settings.read_text()
    assert text.count('"-O3"') == 1
    settings.write_text(text.replace('"-O3"', '"-O0"'))
    for folder in INSTALLED_UNDER:
        shutil.copytree(ROOT / folder, copy / folder, ignore=IGNORED)
    return _wheel_of(copy, environment)


def _wheel_of(copy: Path, environment: dict[str, str]) -> zipfile.ZipFile:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", "dist", "."]
    whole = {**os.environ, **environment}
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False, env=whole)
    assert done.returncode == 0, done.stderr
    (built,) = (copy / "dist").glob("*.whl")
    return zipfile.ZipFile(built)


def _read(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = (path for path in wheel.namelist() if path.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


def test_the_wheel_holds_exactly_the_files_of_the_three_folders(wheel: zipfile.ZipFile) -> None:
    expected = {
        f"{target}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, target in INSTALLED_UNDER.items()
        for path in _files(folder)
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    library = {name for name in packed if name.endswith(LIBRARIES)}
    assert packed - library == expected
    if shutil.which("cc"):
        assert library == {
            f"autospace/networks/kernels/_native.{'pyd' if os.name == 'nt' else 'so'}"
        }


def test_the_wheel_fits_every_python_of_one_platform(wheel: zipfile.ZipFile) -> None:
    metadata = Parser().parsestr(_read(wheel, "WHEEL"))
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert metadata["Tag"] == f"py3-none-{platform}"
    assert metadata["Root-Is-Purelib"] == "false"
    assert f"-py3-none-{platform}.whl" in str(wheel.filename)


def test_the_library_asks_nothing_of_python(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    if shutil.which("cc") is None or shutil.which("nm") is None:
        pytest.skip("needs a compiler and nm")
    path = wheel.extract("autospace/networks/kernels/_native.so", tmp_path)
    done = subprocess.run(["nm", "-D", path], capture_output=True, text=True, check=True)
    names = [line.split()[-1] for line in done.stdout.splitlines()]
    assert "widest" in names
    assert [name for name in names if name.startswith(("Py", "_Py"))] == []


@pytest.mark.slow
def test_the_source_distribution_holds_all_that_is_tracked(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("needs a checkout")
    tracked = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    source = tmp_path / "source"
    for name in tracked:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    code = "from setuptools import build_meta; print(build_meta.build_sdist('dist'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (built,) = (source / "dist").glob("*.tar.gz")
    with tarfile.open(built) as archive:
        members = [member.name for member in archive.getmembers() if member.isfile()]
        archive.extractall(tmp_path / "unpacked", filter="data")
    packed = {name.partition("/")[2] for name in members}
    assert tracked - packed == set()
    # Beside what is tracked, only what the format asks for.
    made = {name for name in packed - tracked if not name.startswith("autospace.egg-info/")}
    assert made == {"PKG-INFO", "setup.cfg"}
    # A wheel that is built from it, without a compiler to be quick, is the same as from a checkout.
    (folder,) = (tmp_path / "unpacked").iterdir()
    again = set(_wheel_of(folder, {"CC": "no-such-compiler"}).namelist())
    assert again == {name for name in wheel.namelist() if not name.endswith(LIBRARIES)}


def test_without_a_compiler_the_package_is_built_all_the_same(tmp_path: Path) -> None:
    built = _build(tmp_path, {"CC": "no-such-compiler"})
    assert "autospace/networks/kernels/native.py" in built.namelist()
    assert not [name for name in built.namelist() if name.endswith(LIBRARIES)]


def test_the_only_top_level_name_is_autospace(wheel: zipfile.ZipFile) -> None:
    assert _read(wheel, "top_level.txt").split() == ["autospace"]
    assert {name.partition("/")[0] for name in wheel.namelist()} == {
        "autospace",
        next(name for name in wheel.namelist() if ".dist-info/" in name).partition("/")[0],
    }


def test_the_metadata_names_licence_command_and_version(wheel: zipfile.ZipFile) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = Parser().parsestr(_read(wheel, "METADATA"))
    # The program; scikit-learn's file of digits; the digits themselves; a table.
    assert metadata["License-Expression"] == "Apache-2.0 AND BSD-3-Clause AND CC-BY-4.0 AND MIT"
    assert metadata["Version"] == project["version"]
    assert "autospace = autospace.__main__:main" in _read(wheel, "entry_points.txt")
    assert "Apache License" in _read(wheel, "licenses/LICENSE")
    notice = _read(wheel, "licenses/NOTICE")
    for fact in ("NAS-Bench-Macro", "xiusu", "61a2bfc2", "Apache License", "changes"):
        assert fact in notice
    for name in ("nasbench-macro", "nasbench201-12epochs", "nasbench201-200epochs"):
        assert f"autospace/evaluators/data/{name}.json" in wheel.namelist()
    for name in ("nasbench201-eyeriss", "nasbench201-fpga"):
        assert f"autospace/latency/data/{name}.json" in wheel.namelist()
    for fact in ("Copyright (c) 2021 BayesWatch", "Permission is hereby granted", "17b3a95c"):
        assert fact in notice
    name = "autospace/data/readers/data/digits.csv.gz"
    assert hashlib.sha256(wheel.read(name)).hexdigest() in notice
    licence = _read(wheel, "licenses/autospace/data/readers/data/digits-license.txt")
    assert "Redistributions in binary form must reproduce" in licence


def test_the_representation_imports_from_the_wheel_alone(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    wheel.extractall(tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import autospace.spaces as s; "
        "sys.exit(not s.__file__.startswith(sys.argv[1]))"
    )
    command = [sys.executable, "-P", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr


def test_every_direct_dependency_is_pinned_by_the_constraints() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(line for extra in extras for line in extra)]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0].lower() for line in lines if "==" in line}
    # An extra of a dependency, as in mkdocstrings[python], is not part of its name.
    names = {line.partition(">=")[0].partition("[")[0].lower() for line in wanted}
    missing = names - pinned
    assert missing == set()
