"""Paths that no system call takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenode.configuration.check import prove
from edgenode.errors import ConfigurationError


@pytest.mark.parametrize(
    "text",
    [
        '[node]\nstate_dir = "a\\u0000b"\n[models.tiny]\nfile = "tiny"\n',
        '[mqtt]\nhost = "127.0.0.1"\nca_file = "a\\u0000"\n',
        '[mqtt]\nhost = "127.0.0.1"\nusername = "x"\npassword_file = "\\u0000"\n',
    ],
)
def test_a_path_with_a_nul_is_a_mistake_with_its_place(tmp_path: Path, text: str) -> None:
    path = tmp_path / "edgenode.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        prove(path, {})
    assert any("holds a NUL character" in problem for problem in caught.value.problems)
    assert "\0" not in str(caught.value)
