"""The table of results: which clients, which versions, and how it gets into its page."""

import re

import pytest

from autospace.exporters.targets import TARGETS
from tests.clients.run import (
    CLIENTS,
    PAGE,
    REQUIREMENTS,
    ROOT,
    Result,
    main,
    pinned,
    renewed,
    table,
)

# A row of the page: client, version, targets, and the three counts.
ROW = re.compile(r"^\| ([\w-]+) \| (\S+) \| (.+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)


def test_every_client_has_versions_tests_and_targets() -> None:
    assert {path.stem for path in REQUIREMENTS.glob("*.txt")} == set(CLIENTS)
    for name, client in CLIENTS.items():
        assert client.package in pinned(name)
        assert (ROOT / "tests" / "clients" / f"test_{name}.py").is_file()
        assert set(client.targets) <= set(TARGETS)


def test_requirements_are_pinned() -> None:
    for path in REQUIREMENTS.glob("*.txt"):
        for line in path.read_text("utf-8").splitlines():
            assert re.fullmatch(r"#.*|[\w.-]+(\[\w+\])?==[\w.!]+", line), f"{path.name}: {line}"


def test_the_page_has_a_result_of_the_pinned_version_of_every_client() -> None:
    page = PAGE.read_text("utf-8")
    rows = {row[0]: row for row in ROW.findall(page)}
    assert list(rows) == [client.package for client in CLIENTS.values()]
    for name, client in CLIENTS.items():
        _, version, targets, *_ = rows[client.package]
        assert version == pinned(name)[client.package], "renew it: make test-clients"
        assert targets == ", ".join(f"`{target}`" for target in client.targets)


def test_a_table_takes_the_place_of_the_old_one() -> None:
    results = {name: Result(passed=3, skipped=1) for name in CLIENTS}
    page = PAGE.read_text("utf-8")
    once = renewed(page, table(results))
    assert {row[3:] for row in ROW.findall(once)} == {("3", "0", "1")}
    assert renewed(once, table(results)) == once
    assert once.partition("<!-- results")[0] == page.partition("<!-- results")[0]


def test_a_client_that_does_not_install_says_why() -> None:
    results = {name: Result(passed=1) for name in CLIENTS} | {"ray": Result(problem="no wheel")}
    text = table(results)
    assert "| ray | 2.60.0 | `ray` | 0 | 0 | 0 |" in text
    assert text.endswith("\nray: no wheel\n")
    assert not results["ray"].good


def test_an_unknown_client_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hyperopt"]) == 2
    assert capsys.readouterr().out.startswith(
        "error: hyperopt: no such client; allowed: configspace,"
    )
