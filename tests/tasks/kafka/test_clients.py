"""Configuration of Kafka clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks import kafka
from tasks.contract import Misconfigured


def test_settings_are_json_or_the_path_of_a_json_file(tmp_path: Path) -> None:
    file = tmp_path / "kafka.json"
    file.write_text('{"security.protocol": "ssl"}')
    expected = {"bootstrap.servers": "a:9092", "security.protocol": "ssl"}
    for config in (str(file), file.read_text(), "\n" + file.read_text()):
        assert kafka.client_config({kafka.BROKERS_VARIABLE: "a:9092", kafka.CONFIG_VARIABLE: config}) == expected
    for torn in ('{"sasl.password": "secret"', str(tmp_path / "none.json")):
        with pytest.raises(Misconfigured, match=kafka.CONFIG_VARIABLE) as raised:
            kafka.client_config({kafka.BROKERS_VARIABLE: "a:9092", kafka.CONFIG_VARIABLE: torn})
        assert "secret" not in str(raised.value)
