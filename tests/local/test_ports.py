import os
import socket
from collections.abc import Iterator

import pytest

from local.ports import free_port, is_free, require_free
from local.settings import UserError


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_is_reported_with_its_process_and_another_port(taken: int) -> None:
    with pytest.raises(UserError) as caught:
        require_free(taken, "Airflow", "AIRSCRIPT_AIRFLOW_PORT")
    message = str(caught.value)
    assert f"port {taken} for Airflow is taken" in message
    assert f"pid {os.getpid()}" in message
    proposed = int(message.split("AIRSCRIPT_AIRFLOW_PORT=")[1].split()[0])
    assert proposed != taken
    assert is_free(proposed)


def test_a_free_port_is_no_error(taken: int) -> None:
    require_free(free_port(), "Airflow", "AIRSCRIPT_AIRFLOW_PORT")
    assert not is_free(taken)
