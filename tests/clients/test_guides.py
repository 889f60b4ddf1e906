"""The guides about clients, followed to the letter where the client is installed."""

import json
import re
from pathlib import Path

import pytest

from autospace.spaces import load_architecture, to_json
from tests.clients.exchange import learned_space
from tests.docs.following import followed
from tests.docs.pages import FOLLOWED_CLIENTS, Page

GUIDES = {path.stem: path for path in FOLLOWED_CLIENTS}
# Guide -> what has to be installed for it besides autospace.
NEEDS = {"optuna": "optuna", "nni": "nni", "configspace-neps": "neps"}
EVOLVE = "autospace evolve --preset demo --seed 0 --out runs/demo"


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_is_short_and_its_links_lead_somewhere(name: str) -> None:
    path = GUIDES[name]
    page = Page.of(path)
    assert len(page.text.splitlines()) < 60
    assert page.broken_links(path.parent) == []
    assert page.missing_files() == []


def _installed(name: str) -> None:
    reason = "make test-clients has it"
    pytest.importorskip(NEEDS[name], reason=reason)
    pytest.importorskip("torch", reason=reason)


def _check_winner(folder: Path) -> None:
    """What the client found is an architecture of the space that it was given."""
    best = json.loads((folder / "best.json").read_text("utf-8"))
    assert load_architecture(folder / "network.json").choices == best


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDS)
def test_whoever_follows_a_guide_gets_a_network(name: str, tmp_path: Path) -> None:
    _installed(name)
    page = Page.of(GUIDES[name])
    assert EVOLVE in page.text
    followed(page, tmp_path)
    _check_winner(tmp_path)


@pytest.mark.slow
def test_the_search_of_the_optuna_guide_beats_its_reference(tmp_path: Path) -> None:
    """Without the minutes that learning the space takes: a space is there already."""
    _installed("optuna")
    run = tmp_path / "runs" / "demo"
    run.mkdir(parents=True)
    (run / "space.json").write_text(to_json(learned_space()), "utf-8")
    printed = followed(Page.of(GUIDES["optuna"]), tmp_path, leave_out=[EVOLVE])
    found = re.search(r"^reference (\d\.\d+), best (\d\.\d+)$", printed, re.MULTILINE)
    assert found is not None, printed
    assert float(found[2]) >= float(found[1]) > 0
    _check_winner(tmp_path)
