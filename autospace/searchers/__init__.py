"""Downstream search methods: find an architecture in any space.

`search` and `resume` are the command `autospace search` for Python programs.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autospace.progress import Observer
    from autospace.searchers.driver import Found
    from autospace.spaces import Space


def search(
    space: "Space | str",
    data: str,
    out: Path | str,
    *,
    force: bool = False,
    observer: "Observer | None" = None,
    **settings: Any,
) -> "Found":
    """Searches a space, and returns what was found.

    Args:
        space: a space; or a file, a run folder, or the name of a built-in one.
        data: the images, as `--data` names them.
        out: folder of the search, which is its state too.
        force: replace a search that is in the folder.
        observer: receives the progress; may raise to stop the search.
        settings: those of `SearchConfig` by name, sections as dicts: `method="evolution"`,
            `supernet={"steps": 500}`, `options={"population": 50}`.

    Raises:
        SpaceError, DataError, SearchError, ConfigError, RunError: what was asked for cannot be.
    """
    # A space is read, and methods are listed, without torch: it is loaded when something is run.
    from autospace.runs.settings import make_settings
    from autospace.searchers.driver import found_in
    from autospace.searchers.folder import SearchFolder
    from autospace.searchers.settings import SearchConfig
    from autospace.spaces import load

    config = make_settings(SearchConfig, {"data": {"source": data}}, settings)
    given = load(space) if isinstance(space, str) else space
    return found_in(SearchFolder.create(Path(out), config, force=force), given, observer)


def resume(out: Path | str, *, observer: "Observer | None" = None) -> "Found":
    """Goes on with a search that was stopped, or returns what a finished one has found.

    Raises:
        RunError: no search there, or not the same data.
        CheckpointError: the search was damaged.
    """
    from autospace.searchers.driver import found_in
    from autospace.searchers.folder import SearchFolder

    return found_in(SearchFolder.open(Path(out)), None, observer)
