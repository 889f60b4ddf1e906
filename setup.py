"""What pyproject.toml cannot say: the kernels are a plain library, and fit every Python version."""

import os
from typing import Any

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext


class BuildLibrary(build_ext):
    """Builds a library for ctypes: nothing in it depends on Python."""

    def get_ext_filename(self, fullname: str) -> str:
        """The path without the tag of a Python version: `.../_native.so`."""
        return os.path.join(*fullname.split(".")) + (".pyd" if os.name == "nt" else ".so")

    def get_export_symbols(self, ext: Any) -> list[str]:
        """No `PyInit_...`, which a linker on Windows would miss."""
        return list(ext.export_symbols)


class PlatformWheel(bdist_wheel):
    """A wheel for one platform and every Python 3, such as `py3-none-linux_x86_64`."""

    def get_tag(self) -> tuple[str, str, str]:
        """Python, ABI and platform."""
        return "py3", "none", super().get_tag()[2]


setup(cmdclass={"build_ext": BuildLibrary, "bdist_wheel": PlatformWheel})
