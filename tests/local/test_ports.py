import os
import socket
from collections.abc import Iterator

import pytest

from local.ports import is_free, require_free
from local.settings import LaptopError


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_is_named_with_its_holder_and_another_choice(taken: int) -> None:
    with pytest.raises(LaptopError) as caught:
        require_free(taken, "Airflow", "AIRSCRIPT_AIRFLOW_PORT")
    message = str(caught.value)
    assert f"port {taken} for Airflow is taken" in message
    assert f"pid {os.getpid()}" in message
    proposed = int(message.split("AIRSCRIPT_AIRFLOW_PORT=")[1].split()[0])
    assert proposed != taken
    assert is_free(proposed)


def test_a_free_port_is_no_error(taken: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    require_free(port, "Airflow", "AIRSCRIPT_AIRFLOW_PORT")
    assert not is_free(taken)
