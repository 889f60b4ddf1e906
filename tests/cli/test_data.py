"""`autospace data`: what was read, as text, JSON and a contact sheet."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autospace.data.contact_sheet import sheet_html, sheet_png
from autospace.data.load import load_data
from autospace.data.readers.arrays import images
from tests.cli.conftest import Run


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two splits of other names, an archive's rest, and images of another size."""
    random = np.random.default_rng(0)
    for split, count in (("Train", 5), ("Testing", 3)):
        for name in ("cat", "<b>dog"):
            folder = tmp_path / "pets" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 256, (8, 8 + 4 * (index == 0), 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    (tmp_path / "pets/__MACOSX").mkdir()
    (tmp_path / "pets/Train/cat/notes.txt").write_text("text")
    return tmp_path / "pets"


def test_what_is_read_is_shown(run: Run, pets: Path) -> None:
    ran = run("data", f"folder:{pets}")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "folder:pets: 10 training and 6 test images, 2 classes, 8x8 pixels, colour",
        "classes (training+test): <b>dog 5+3, cat 5+3",
        "image sizes met: 8x8 (12), 12x8 (4)",
        "not read: .txt files (1): Train/cat/notes.txt",
        "not read: folders of the system (1): __MACOSX",
        "resized 4 images to 8x8",
        "4 images not square or not as the others: their proportions are changed, and "
        "data.aspect=crop or pad keeps them",
    ]


def test_progress_is_shown_on_request_and_never_in_the_result(run: Run, pets: Path) -> None:
    plain = run("data", f"folder:{pets}", "--progress", "none")
    shown = run("data", f"folder:{pets}", "--progress", "json")
    assert shown.out == plain.out
    events = [json.loads(line) for line in shown.err.splitlines() if line.startswith("{")]
    # One after the other: the ten training and the six test images.
    assert events[-1] == {"event": "data", "done": 6, "total": 6}
    assert run("data", "text", "--progress", "bars").code == 2
    wrong = run("data", f"folder:{pets}", "--progress", "bars")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)


def test_what_cannot_be_learned_from_is_said(run: Run, pets: Path) -> None:
    ran = run("data", f"folder:{pets}")
    few = "2 of 2 classes have fewer than 20 training images (class <b>dog has 5)"
    assert ran.err == f"warning: {few}, too few to learn from\n"
    found = json.loads(run("data", f"folder:{pets}", "--format", "json").out)
    assert found["warnings"] == [f"{few}, too few to learn from"]


def test_programs_get_json(run: Run, pets: Path) -> None:
    ran = run("data", f"folder:{pets}", "--resolution", "4", "--aspect", "pad", "--format", "json")
    found = json.loads(ran.out)
    assert found["classes"][1] == {"name": "cat", "train": 5, "test": 3}
    assert (found["height"], found["width"], found["train"], found["test"]) == (4, 4, 10, 6)
    assert found["skipped"][0] == {
        "reason": ".txt files", "count": 1, "examples": ["Train/cat/notes.txt"]
    }  # fmt: skip
    assert "margins are added (data.aspect)" in found["notes"][-1]


def test_a_contact_sheet_is_written_once(run: Run, pets: Path, tmp_path: Path) -> None:
    for name in ("sheet.png", "sheet.html"):
        arguments = ("data", f"folder:{pets}", "--sheet", str(tmp_path / name))
        assert "wrote" in run(*arguments).err
        again = run(*arguments)
        assert (again.code, "already exists" in again.err) == (2, True)
        assert run(*arguments, "--force").code == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 700
    wrong = run("data", "--sheet", str(tmp_path / "sheet.pdf"))
    assert wrong.code == 2
    assert "allowed: a name that ends in .png or .html" in wrong.err


def test_a_sheet_shows_the_pixels_of_each_class() -> None:
    reds, greens = np.zeros((8, 4, 4, 3), np.uint8), np.zeros((8, 4, 4, 3), np.uint8)
    reds[..., 0], greens[..., 1] = 255, 255
    labels = np.arange(8) // 4
    pixels = np.where((labels == 0)[:, None, None, None], reds, greens)
    data = images((pixels, labels), (pixels, labels), classes=["red", "green"])
    with Image.open(io.BytesIO(sheet_png(data))) as sheet:
        colours = sheet.getcolors(1 << 20)
        first, second = sheet.getpixel((20, 40)), sheet.getpixel((20, 126))
    assert colours is not None
    assert (first, second) == ((255, 0, 0), (0, 255, 0))
    counts = {colour: count for count, colour in colours}
    assert counts[255, 0, 0] == counts[0, 255, 0] == 8 * 64 * 64


def test_a_sheet_says_that_it_has_not_all_classes(
    run: Run, pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "the first 1 of 2 classes are shown"
    out = tmp_path / "sheet.html"
    assert said not in run("data", f"folder:{pets}", "--sheet", str(out)).err
    monkeypatch.setattr("autospace.data.contact_sheet.MOST_CLASSES", 1)
    ran = run("data", f"folder:{pets}", "--sheet", str(out), "--force")
    assert ran.err.endswith(f"wrote {out}: {said}\n")
    assert f"<li>{said}</li>" in out.read_text()


def test_names_cannot_steer_the_page(pets: Path) -> None:
    page = sheet_html(load_data(f"folder:{pets}"))
    assert "&lt;b&gt;dog" in page
    assert "<b>dog" not in page
    assert page.count("data:image/png;base64,") == 4


def test_a_source_that_cannot_be_read_is_one_line(run: Run, pets: Path) -> None:
    for source in (f"folder:{pets}/nowhere", "nonsense", f"npz:{pets}"):
        ran = run("data", source)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    ran = run("data", "digits", "--ground", "whitish")
    assert "error: ground 'whitish' is no colour; did you mean white? Allow" in ran.err


@pytest.mark.parametrize("name", ["s.png", "s.html"])
def test_sentences_have_no_contact_sheet(run: Run, tmp_path: Path, name: str) -> None:
    ran = run("data", "sentences", "--sheet", str(tmp_path / name))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "error: 'sentences': --sheet shows images; allowed for sentences: --limit\n"
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("kind", ["folder", "text"])
def test_a_name_stays_on_its_line(run: Run, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "two\nlines\x1b[31m"
    for name in ("a", "b"):
        (place / name).mkdir(parents=True)
        (place / name / "0.txt").write_text("some words in a text\n" * 30)
        for index in range(3):
            Image.new("L", (8, 8), 40 * index + len(name)).save(place / name / f"{index}.png")
    first = run("data", f"{kind}:{place}").out.splitlines()[0]
    assert first.startswith(f"{kind}:two\\nlines\\x1b[31m: ")
