"""Following a guide to the letter: saving its programs and running its commands, in its order."""

import os
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from tests.docs.pages import Page


def followed(page: Page, folder: Path, *, leave_out: Collection[str] = ()) -> str:
    """What the commands of a page print; lines in `leave_out` are not run.

    A Python block begins with the name of its file as a comment.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    # Programs of the guides must not find this folder's packages by chance.
    environment = {**os.environ, "PATH": path, "PYTHONSAFEPATH": "", "OMP_NUM_THREADS": "1"}
    printed = []
    for block in page.blocks:
        if block.language == "python":
            name = re.match(r"# (\w+\.py)\n", block.text)
            assert name is not None, "a program begins with its name"
            (folder / name[1]).write_text(block.text, "utf-8")
        elif block.language == "sh":
            lines = [line for line in block.text.splitlines() if line not in leave_out]
            command = ["bash", "-euc", "\n".join(lines)]
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            printed.append(done.stdout)
    return "".join(printed)
