"""What the doctor reads out of the systemd unit and its drop-ins."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenode.doctor.unit import Unit, read_unit

SHIPPED = Path(__file__).parents[3] / "deploy/systemd/edgenode.service"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    etc, lib = tmp_path / "etc", tmp_path / "lib"
    (etc / "edgenode.service.d").mkdir(parents=True)
    lib.mkdir()
    (lib / "edgenode.service").write_text(SHIPPED.read_text())
    return etc, lib


def test_nothing_installed_is_no_unit(tmp_path: Path) -> None:
    assert read_unit([tmp_path]).file is None


def test_the_shipped_unit_lets_private_networks_through_and_nothing_else(folders: tuple[Path, Path]) -> None:
    unit = read_unit(folders)
    assert unit.barred(["192.168.7.5", "10.0.0.1", "127.0.0.1", "::1", "fe80::1%eth0"]) is None
    assert unit.barred(["192.168.7.5", "93.184.216.34"]) == "93.184.216.34"
    assert unit.last("LimitNOFILE") == "4096"


def test_a_drop_in_adds_to_a_list_and_an_empty_value_empties_it(folders: tuple[Path, Path]) -> None:
    drop_in = folders[0] / "edgenode.service.d/override.conf"
    drop_in.write_text("[Service]\nIPAddressAllow=93.184.216.34\n")
    unit = read_unit(folders)
    assert unit.drop_ins == (drop_in,)
    assert unit.barred(["93.184.216.34"]) is None
    assert unit.barred(["192.168.7.5"]) is None
    drop_in.write_text("[Service]\nIPAddressAllow=\nIPAddressAllow=93.184.216.34\n")
    assert read_unit(folders).barred(["192.168.7.5"]) == "192.168.7.5"


def test_a_drop_in_of_etc_hides_one_of_lib_with_its_name(folders: tuple[Path, Path]) -> None:
    other = folders[1] / "edgenode.service.d"
    other.mkdir()
    (other / "10-limits.conf").write_text("[Service]\nLimitNOFILE=1\n")
    assert read_unit(folders).last("LimitNOFILE") == "1"
    (folders[0] / "edgenode.service.d/10-limits.conf").write_text("[Unit]\nLimitNOFILE=3\n[Service]\n")
    assert read_unit(folders).last("LimitNOFILE") == "4096"


def test_a_credential_is_found_where_systemd_takes_it_from(folders: tuple[Path, Path]) -> None:
    shown = Path("/run/credentials/edgenode.service/mqtt")
    assert read_unit(folders).credential(shown) is None
    (folders[0] / "edgenode.service.d/p.conf").write_text("[Service]\nLoadCredential=mqtt:/etc/edgenode/pw\n")
    assert read_unit(folders).credential(shown) == Path("/etc/edgenode/pw")
    assert read_unit(folders).credential(Path("/etc/edgenode/mqtt")) is None


def test_a_unit_without_a_network_filter_bars_nothing() -> None:
    assert Unit(Path("x"), (), {"IPAddressAllow": ["10.0.0.0/8"]}).barred(["1.1.1.1"]) is None
