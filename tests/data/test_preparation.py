"""What happens to the pixels of a file: transparency, orientation, depth, proportions, damage."""

import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps, PngImagePlugin

from autospace.data.errors import DataError
from autospace.data.examples import DataSet
from autospace.data.load import load_data
from autospace.data.readers import image_decoding
from autospace.data.readers.convert import resize
from autospace.data.readers.depth import Scale, measure
from autospace.data.readers.image_opening import header
from tests.slow import slowly

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (8, 8, 4), dtype=np.uint8)


def set_of(folder: Path, image: Image.Image, name: str, count: int = 4, **options: Any) -> str:
    """A source of two classes that hold the same image."""
    for label in ("a", "b"):
        (folder / "set" / label).mkdir(parents=True, exist_ok=True)
        for index in range(count // 2):
            image.save(folder / "set" / label / f"{index}{name}", **options)
    return f"folder:{folder / 'set'}"


def first(data: DataSet) -> np.ndarray:
    """The first image as [H, W, C]."""
    image: np.ndarray = data.train.images[0].permute(1, 2, 0).numpy()
    return image


def laid(pixels: np.ndarray, ground: tuple[int, int, int]) -> np.ndarray:
    """Alpha blending, computed in floats."""
    colour, alpha = pixels[..., :3].astype(float), pixels[..., 3:].astype(float) / 255
    blended: np.ndarray = colour * alpha + np.array(ground, float) * (1 - alpha)
    return blended


@pytest.mark.parametrize("name", [".png", ".webp", ".tif"])
@pytest.mark.parametrize(
    ("ground", "colour"),
    [("white", (255,) * 3), ("black", (0,) * 3), ("#10a0f0", (0x10, 0xA0, 0xF0))],
)
def test_transparent_images_are_laid_on_the_ground(
    tmp_path: Path, name: str, ground: str, colour: tuple[int, int, int]
) -> None:
    options = {"lossless": True, "exact": True} if name == ".webp" else {}
    source = set_of(tmp_path, Image.fromarray(PIXELS), name, **options)
    data = load_data(source, ground=ground)
    assert np.abs(first(data) - laid(PIXELS, colour)).max() <= 1
    assert f"4 images with transparent pixels, laid on {ground}" in " ".join(data.notes)


@pytest.mark.parametrize("mode", ["LA", "P", "RGB", "L", "gif"])
def test_every_way_to_be_transparent_shows_the_shape(tmp_path: Path, mode: str) -> None:
    # A black square on a transparent ground that is black as well.
    alpha = np.zeros((8, 8), np.uint8)
    alpha[2:6, 2:6] = 255
    if mode == "LA":
        image = Image.merge("LA", [Image.new("L", (8, 8)), Image.fromarray(alpha)])
        source = set_of(tmp_path, image, ".png")
    elif mode in ("P", "gif"):
        image = Image.fromarray((alpha > 0).astype(np.uint8), "P")
        image.putpalette([0] * 6)
        source = set_of(tmp_path, image, ".gif" if mode == "gif" else ".png", transparency=0)
    else:  # A colour that counts as transparent.
        values = np.where(alpha > 0, 0, 9).astype(np.uint8)
        image = Image.fromarray(values).convert(mode)
        source = set_of(tmp_path, image, ".png", transparency=9 if mode == "L" else (9, 9, 9))
    assert (first(load_data(source))[..., 0] == np.where(alpha > 0, 0, 255)).all()


def test_colour_below_transparent_pixels_cannot_be_seen(tmp_path: Path) -> None:
    hidden = PIXELS.copy()
    hidden[..., 3] = 255 * (PIXELS[..., 3] > 127)
    other = hidden.copy()
    other[hidden[..., 3] == 0, :3] = 77
    for label, pixels in (("a", hidden), ("b", other)):
        (tmp_path / "set" / label).mkdir(parents=True)
        for index in range(3):
            Image.fromarray(pixels).save(tmp_path / "set" / label / f"{index}.png")
    images = load_data(f"folder:{tmp_path / 'set'}").train.images
    assert torch.equal(images[0], images[-1])


def test_opaque_images_are_what_they_were(tmp_path: Path) -> None:
    opaque = PIXELS.copy()
    opaque[..., 3] = 255
    data = load_data(set_of(tmp_path, Image.fromarray(opaque), ".png"), ground="black")
    assert np.array_equal(first(data), opaque[..., :3])
    assert not any("transparent" in note for note in data.notes)


WIDE = Image.fromarray(RANDOM.integers(0, 256, (4, 8, 3), dtype=np.uint8))


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("name", [".png", ".webp", ".tif", ".jpg", ".avif"])
def test_orientation_is_applied_in_every_format(tmp_path: Path, value: int, name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    best: dict[str, Any] = {"lossless": True} if name == ".webp" else {"quality": 100}
    options = best if name in (".webp", ".jpg", ".avif") else {}
    source = set_of(tmp_path, WIDE, name, exif=exif.tobytes(), **options)
    with Image.open(tmp_path / "set/a" / f"0{name}") as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    upright = ImageOps.exif_transpose(_tagged(value))
    data = load_data(source)
    found = first(data)
    assert found.shape == np.asarray(upright).shape
    assert np.array_equal(found, expected)
    if name in (".png", ".webp", ".tif"):
        assert np.array_equal(found, np.asarray(upright))
    size = header(str(tmp_path / "set/a" / f"0{name}"))
    assert not isinstance(size, str)
    assert (size.width, size.height) == upright.size


def _tagged(value: int) -> Image.Image:
    image = WIDE.copy()
    image.getexif()[0x0112] = value
    return image


def test_a_large_turned_photograph_is_drafted_along_its_sides(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:300, :600]
    pixels = (127 + 100 * np.sin(rows / 40) * np.cos(columns / 90)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    source = set_of(tmp_path, Image.fromarray(pixels), ".jpg", exif=exif, quality=95)
    upright = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_270)
    expected = np.asarray(upright.resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(first(load_data(source, resolution=16))[..., 0] - expected).max() <= 10


def test_exif_data_behind_the_pixels_of_a_png_count(tmp_path: Path) -> None:
    source = set_of(tmp_path, WIDE, ".png")
    exif = Image.Exif()
    exif[0x0112] = 3
    content = exif.tobytes()[6:]
    for path in (tmp_path / "set").rglob("*.png"):
        whole = path.read_bytes()
        end = whole.index(b"IEND") - 4
        extra = io.BytesIO()
        PngImagePlugin.putchunk(extra, b"eXIf", content)
        path.write_bytes(whole[:end] + extra.getvalue() + whole[end:])
    turned = np.asarray(WIDE.transpose(Image.Transpose.ROTATE_180))
    assert np.array_equal(first(load_data(source)), turned)


def test_damaged_exif_data_do_not_cost_the_image(tmp_path: Path) -> None:
    source = set_of(tmp_path, WIDE, ".png", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff nonsense")
    assert np.array_equal(first(load_data(source)), np.asarray(WIDE))


RAMP = np.arange(64).reshape(8, 8)


@pytest.mark.parametrize(
    ("values", "expected", "rule"),
    [
        (RAMP.astype(np.uint16) * 1040, RAMP * 1040 // 256, "0 to 65,520, divided by 256"),
        (RAMP.astype(np.uint16) * 47, RAMP * 47 // 16, "0 to 2,961, divided by 16"),
        (RAMP.astype(np.uint16) * 4, RAMP * 4, "0 to 252, taken as they are"),
        (RAMP.astype(np.int32) * 3, RAMP * 3, "0 to 189, taken as they are"),
        (RAMP.astype(np.int32) * 10**6, RAMP * 10**6 // 2**18, "divided by 262144"),
        (RAMP.astype(np.int32) - 32, np.rint(RAMP * 255 / 63), "-32 to 31, stretched"),
        ((RAMP / 63).astype(np.float32), np.rint(RAMP * 255 / 63), "0 to 1, multiplied by 255"),
        (RAMP.astype(np.float32) * 3, RAMP * 3, "0 to 189, rounded"),
        ((RAMP / 9 - 3).astype(np.float32), np.rint(RAMP * 255 / 63), "-3 to 4, stretched"),
        ((RAMP * 1e4).astype(np.float32), np.rint(RAMP * 255 / 63), "stretched to 0..255"),
    ],
)
def test_deep_files_are_scaled_by_one_rule(
    tmp_path: Path, values: np.ndarray, expected: np.ndarray, rule: str
) -> None:
    data = load_data(set_of(tmp_path, Image.fromarray(values), ".tif"))
    assert data.train.images.shape[1:] == (1, 8, 8)
    assert np.array_equal(first(data)[..., 0], expected)
    assert rule in " ".join(data.notes)
    assert "4 images with more than 8 bits a value" in " ".join(data.notes)


def test_all_deep_files_have_one_scale(tmp_path: Path) -> None:
    source = set_of(tmp_path, Image.fromarray(np.full((8, 8), 100, np.uint16)), ".png")
    bright = Image.fromarray(np.full((8, 8), 4000, np.uint16))
    bright.save(tmp_path / "set/b/1.png")
    images = load_data(source).train.images
    assert int(images.min()) == 100 // 16


@given(
    hnp.arrays(
        st.sampled_from([np.uint16, np.int32, np.int64, np.uint64, np.float32, np.float64]),
        st.integers(1, 20),
        elements={"allow_nan": False, "allow_infinity": False},
        fill=st.nothing(),
    )
)
def test_a_scale_keeps_the_order_and_fills_bytes(values: np.ndarray) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        found = measure(values)(values)
    assert found.dtype == np.uint8
    order = np.argsort(values, kind="stable")
    assert (np.diff(found[order].astype(int)) >= 0).all()


@given(st.integers(0, 2**62))
def test_whole_numbers_keep_their_upper_bits(high: int) -> None:
    (found,) = Scale(0, high, True)(np.array([high], dtype=np.int64))
    assert found == (high if high < 256 else int(bin(high)[2:10], 2))


def test_values_that_are_not_finite_are_unreadable(tmp_path: Path) -> None:
    values = (RAMP / 63).astype(np.float32)
    source = set_of(tmp_path, Image.fromarray(values), ".tif", count=8)
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "set/a/0.tif")
    assert "values that are not finite (1): a/0.tif" in " ".join(load_data(source).notes)


SPLIT = Image.fromarray(
    np.concatenate([np.full((8, 8), 200), np.full((8, 16), 50)], axis=1).astype(np.uint8)
)


@pytest.mark.parametrize(
    ("aspect", "remark"),
    [("squash", "proportions are changed"), ("crop", "are cut"), ("pad", "margins are added")],
)
def test_proportions_are_a_setting_and_said(tmp_path: Path, aspect: str, remark: str) -> None:
    data = load_data(set_of(tmp_path, SPLIT, ".png"), resolution=12, aspect=aspect)  # type: ignore[arg-type]
    oracle = {
        "squash": SPLIT.resize((12, 12), Image.Resampling.BILINEAR),
        "crop": ImageOps.fit(SPLIT, (12, 12), Image.Resampling.BILINEAR),
        "pad": ImageOps.pad(SPLIT, (12, 12), Image.Resampling.BILINEAR, "white"),
    }[aspect]
    assert np.array_equal(first(data)[..., 0], np.asarray(oracle))
    assert "4 images not square" in " ".join(data.notes)
    assert remark in " ".join(data.notes)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), st.sampled_from(["crop", "pad"]))
def test_arrays_get_other_proportions_as_files_do(
    height: int, width: int, side: int, aspect: str
) -> None:
    image = torch.full((1, 1, height, width), 100, dtype=torch.uint8)
    found = resize(image, side, side, aspect, (7,))  # type: ignore[arg-type]
    assert found.shape == (1, 1, side, side)
    assert (found == 100).any()
    if aspect == "crop" or height == width:
        assert (found == 100).all()
    elif round(side * min(height, width) / max(height, width)):  # Pillow would show nothing.
        padded = ImageOps.pad(
            Image.fromarray(image[0, 0].numpy()), (side, side), Image.Resampling.BILINEAR, 7
        )
        assert torch.equal(found[0, 0], torch.from_numpy(np.array(padded)))


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(DataError, match="aspect 'stretch' is not known; allowed: squash, crop"):
        load_data("digits", aspect="stretch")  # type: ignore[arg-type]
    for ground in ("whitish", "#12345", "white\n", "none"):
        with pytest.raises(DataError, match=r"is no colour; .*llowed: white, black"):
            load_data("digits", ground=ground)


REASONS = {
    b"": "empty",
    b"<!DOCTYPE html><html>": "web pages",
    b"\n <html lang=en>": "web pages",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0": "pointers of Git LFS",
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic": "HEIC images, which need",
    b"%!PS-Adobe-3.0 EPSF-3.0\n": "no image format that is known",
}


@pytest.mark.parametrize("content", REASONS)
def test_the_reason_is_given(pets: Path, content: bytes) -> None:
    (pets / "train/cat/0.jpg").write_bytes(content)
    found = load_data(f"folder:{pets}")
    assert REASONS[content] in found.notes[-1]
    assert found.reading.skipped[-1].count == 1


def test_long_texts_do_not_cost_the_image(pets: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("note", "x" * 2_000_000, zip=True)
    Image.fromarray(PIXELS[..., :3]).save(pets / "train/cat/a.png", pnginfo=text)
    assert load_data(f"folder:{pets}").notes == ()
    assert PngImagePlugin.MAX_TEXT_CHUNK == 2**20  # as it was


def test_several_pages_are_said(tmp_path: Path) -> None:
    pages = [Image.fromarray(PIXELS[..., :3]) for _ in range(3)]
    source = set_of(tmp_path, pages[0], ".tif", save_all=True, append_images=pages[1:])
    notes = load_data(source).notes
    assert any(note.startswith("4 images with several frames or pages") for note in notes)


def test_a_gate_bounds_the_pixels_at_work() -> None:
    gate = image_decoding._Gate(100)
    inside, seen, lock = 0, [], threading.Lock()

    def work(pixels: int) -> None:
        nonlocal inside
        with gate.passed(pixels):
            with lock:
                inside += pixels
                seen.append(inside)
            time.sleep(0.002)
            with lock:
                inside -= pixels

    threads = [threading.Thread(target=work, args=(size,)) for size in (60, 30, 500, 70, 10) * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(seen) == 30
    # One image may be larger than the bound; it is then alone.
    assert {total for total in seen if total > 100} == {500}


@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"P5"])
)
@settings(max_examples=200)
def test_any_bytes_have_a_header_or_a_reason(content: bytes, start: bytes) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        file.write(start + content)
        file.flush()
        found = header(file.name)
    assert not isinstance(found, str) or (found.isprintable() and "\n" not in found and found)


def test_heic_images_are_read_with_the_extra(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    rows = np.mgrid[:32, :32][0] * 7
    for label in ("a", "b"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for index in range(2):
            image = Image.fromarray(rows.astype(np.uint8)).convert("RGB")
            path = tmp_path / "set" / label / f"IMG_{index}.HEIC"
            heif.from_pillow(image).save(path, quality=95)
    found = first(load_data(f"folder:{tmp_path / 'set'}"))[..., 0]
    assert np.abs(found.astype(int) - rows).max() <= 8


MODES = {"RGBA": 4, "LA": 2, "I;16": 0, "I": 0, "F": 0}


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(sorted(MODES)),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 30),
    st.randoms(use_true_random=False),
)
def test_pixels_do_not_depend_on_the_strips_in_which_they_are_done(
    mode: str, width: int, height: int, pixels: int, random: Any
) -> None:
    values = np.random.default_rng(random.getrandbits(32)).integers(0, 256, (height, width, 4))
    image = {
        "RGBA": lambda: Image.fromarray(values.astype(np.uint8)),
        "LA": lambda: Image.fromarray(values[..., :2].astype(np.uint8), "LA"),
        "I;16": lambda: Image.fromarray((values[..., 0] * 257).astype(np.uint16)),
        "I": lambda: Image.fromarray((values[..., 0] * 65_537 - 9).astype(np.int32)),
        "F": lambda: Image.fromarray((values[..., 0] / 255).astype(np.float32)),
    }[mode]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_decoding, "_PIXELS_OF_STRIP", pixels)
        found, transparent = image_decoding._plain(image, 3, image_decoding.PLAIN)
    if MODES[mode]:
        ground = Image.new("RGBA", image.size, "white")
        expected = Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
        assert transparent == bool((np.asarray(image)[..., -1] < 255).any())
    else:
        deep = np.asarray(image)
        expected = Image.fromarray(measure(deep)(deep)).convert("RGB")
    assert np.array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.skipif(os.name != "posix", reason="the peak of memory is measured by resource")
@pytest.mark.parametrize("mode", ["RGBA", *slowly("F", "LA", "I")])
def test_a_huge_image_takes_little_more_than_its_pixels(mode: str, tmp_path: Path) -> None:
    side, suffix = 4000, ".tif" if mode in "FI" else ".png"
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        colours: dict[str, Any] = {"RGBA": (9, 9, 9, 90), "LA": (9, 90), "F": 0.5, "I": 70_000}
        colour = colours[mode]
        Image.new(mode, (side, side), colour).save(tmp_path / label / f"0{suffix}")
        Image.new(mode, (8, 8), colour).save(tmp_path / label / f"1{suffix}")
    script = (
        "import resource, sys\n"
        "from autospace.data.load import load_data\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "load_data(sys.argv[1], resolution=8)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    command = [sys.executable, "-c", script, f"folder:{tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    pixels = side * side / 2**20  # Pillow takes 4 bytes for a pixel, before and after; two at once.
    assert int(done.stdout) < 2 * (4 + 4) * pixels + 100


def test_whole_numbers_and_floats_are_counted_apart(tmp_path: Path) -> None:
    source = set_of(tmp_path, Image.fromarray(RAMP.astype(np.uint16) * 47), ".png", count=6)
    for name in ("a", "b"):
        Image.fromarray((RAMP / 63).astype(np.float32)).save(tmp_path / f"set/{name}/x.tif")
    notes = " ".join(load_data(source).notes)
    assert "6 images with more than 8 bits a value: values from 0 to 2,961" in notes
    assert "2 images with more than 8 bits a value: values from 0 to 1," in notes


def test_tiff_files_that_are_turned_are_counted_as_others_are(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = load_data(set_of(tmp_path, WIDE, ".tif", exif=exif))
    assert np.array_equal(first(data), np.asarray(WIDE.transpose(Image.Transpose.ROTATE_270)))
    assert "turned 4 images upright, as the EXIF orientation says" in data.notes


def test_a_class_without_a_readable_image_is_told_with_the_reason(tmp_path: Path) -> None:
    source = set_of(tmp_path, WIDE, ".png")
    for path in (tmp_path / "set/a").glob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"train image in class a \(empty \(1\): a/.*allowed"):
        load_data(source)


def test_an_unreadable_image_that_was_held_out_does_not_cost_the_others(tmp_path: Path) -> None:
    source = set_of(tmp_path, WIDE, ".png", count=6)
    held = [index for index in range(3) if _is_held_out(tmp_path, source, index)]
    assert len(held) == 1


def _is_held_out(folder: Path, source: str, index: int) -> bool:
    path = folder / f"set/a/{index}.png"
    whole = path.read_bytes()
    path.write_bytes(b"")
    data = load_data(source)
    path.write_bytes(whole)
    assert len(data.train) + len(data.test) == 5
    return len(data.test) == 1


def test_a_size_that_chance_has_chosen_is_said(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for index in range(6):
            side = 8 + index + (6 if name == "b" else 0)
            Image.new("L", (side, 9), 30 * index + 5).save(tmp_path / f"set/{name}/{index}.png")
    remark = "the most common size, 8x9, is that of 1 of 12 images only: data.resolution"
    assert any(note.startswith(remark) for note in load_data(f"folder:{tmp_path / 'set'}").notes)
    notes = load_data(f"folder:{tmp_path / 'set'}", resolution=8).notes
    assert not any("most common size" in note for note in notes)


def test_a_common_size_out_of_bounds_is_told_as_width_and_height(tmp_path: Path) -> None:
    source = set_of(tmp_path, Image.new("L", (5000, 3)), ".png")
    with pytest.raises(DataError, match=r"is 5000x3; allowed: .* or a resolution"):
        load_data(source)
    assert "resized 4 images to 8x8" in load_data(source, resolution=8).notes
