from __future__ import annotations

import socket

import pytest

from bandit.errors import SetupError
from cli.service import check_address
from tests.processes import free_port


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.com", ""])
def test_without_api_keys_only_loopback_is_listened_on(host: str) -> None:
    with pytest.raises(SetupError, match="loopback"):
        check_address(host, free_port())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_loopback_addresses_pass(host: str) -> None:
    check_address(host, free_port())


def test_a_taken_port_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SetupError, match="free port"):
            check_address("127.0.0.1", taken.getsockname()[1])
