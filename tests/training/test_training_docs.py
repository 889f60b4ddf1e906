"""docs/guide/training.md against the settings and recipes themselves."""

import os
import re

from autospace.training.settings import RECIPES, TrainConfig
from tests.docs import settings_table
from tests.docs.pages import ROOT, Page

PAGE = ROOT / "docs" / "guide" / "training.md"


def test_the_table_of_settings_is_up_to_date() -> None:
    text = PAGE.read_text("utf-8")
    renewed = settings_table.renewed(text, TrainConfig)
    if os.environ.get("AUTOSPACE_GOLDEN") == "1":
        PAGE.write_text(renewed, "utf-8")
        text = renewed
    assert text == renewed, "renew it: make golden"
    unexplained = [name for name, what in settings_table.meanings(text).items() if not what]
    assert unexplained == [], "write into docs/guide/training.md what these settings mean"


def test_the_recipes_are_described_as_they_are() -> None:
    section = Page.of(PAGE).section("Recipes")
    rows = re.findall(r"^\| `([\w-]+)` \| .+ \| (\d+) \| (\d+) \| .+ \|$", section, re.MULTILINE)
    found = {name: (int(epochs), int(batch)) for name, epochs, batch in rows}
    default = TrainConfig().training
    assert found == {
        name: (
            recipe["training"].get("epochs", default.epochs),
            recipe["training"].get("batch", default.batch),
        )
        for name, recipe in RECIPES.items()
    }
