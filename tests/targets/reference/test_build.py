"""How kernels are compiled and kept."""

from __future__ import annotations

import ctypes
import shutil
import sys

import pytest

from targets.reference.kernels import build


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of one kernel that returns 1, and a cache of its own."""
    folder = tmp_path / "own_kernels"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "kernels.c").write_text("int answer(void) { return 1; }")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    return folder


def test_a_library_is_what_its_name_says_though_the_source_is_edited_meanwhile(package, monkeypatch):
    run = build._output

    def slow(command):
        if "-shared" in command:
            (package / "kernels.c").write_text("int answer(void) { return 2; }")
        return run(command)

    monkeypatch.setattr(build, "_output", slow)
    (package / "kernels.c").write_text("int answer(void) { return 1; }")
    first = build._built("cc", "own_kernels")
    assert ctypes.CDLL(str(first)).answer() == 1
    second = build._built("cc", "own_kernels")
    assert second != first
    assert ctypes.CDLL(str(second)).answer() == 2
    assert sorted(first.parent.iterdir()) == sorted([first, second])


def test_headers_beside_the_build_serve_every_package(package):
    (package / "kernels.c").write_text('#include "bits.h"\nint answer(void) { return sizeof(uint64_t); }')
    assert ctypes.CDLL(str(build._built("cc", "own_kernels"))).answer() == 8
