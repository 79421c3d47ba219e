import logging

import pytest

from iii_cluster.modules.imports import BadConfig
from iii_cluster.telemetry.environment import VARIABLES, observability


def test_the_environment_says_what_the_file_does_not() -> None:
    config = observability(
        {"service_name": "shop"},
        {
            "OTEL_SERVICE_NAME": "other",
            "SERVICE_VERSION": "1.2",
            "OTEL_EXPORTER_TYPE": "Both",
            "OTEL_TRACES_SAMPLER_ARG": "0.25",
            "OTEL_LOGS_BATCH_SIZE": "7",
            "OTEL_METRICS_ENABLED": "OFF",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4317",
        },
    )
    assert (config.service_name, config.service_version, config.exporter) == ("shop", "1.2", "both")
    assert (config.sampling_ratio, config.logs_batch_size, config.metrics_enabled) == (0.25, 7, False)
    assert config.endpoint == "https://collector:4317"


@pytest.mark.parametrize(("text", "expected"), [("false", False), ("0", False), ("No", False), ("on", True)])
def test_telemetry_is_switched_by_the_words_clients_know(text: str, *, expected: bool) -> None:
    assert observability({}, {"OTEL_ENABLED": text}).enabled is expected


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("OTEL_ENABLED", "perhaps"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("OTEL_LOGS_EXPORTER", "console"),
        ("OTEL_LOGS_BATCH_SIZE", "many"),
    ],
)
def test_a_variable_that_makes_no_sense_is_told_and_ignored(
    caplog: pytest.LogCaptureFixture, variable: str, text: str
) -> None:
    with caplog.at_level(logging.WARNING):
        assert observability({}, {variable: text}) == observability({}, {})
    assert [f"variable={variable} " in line for line in caplog.messages] == [True]


def test_empty_variables_say_nothing() -> None:
    assert observability({}, dict.fromkeys(VARIABLES, " ")) == observability({}, {})


def test_what_is_wrong_in_the_file_is_refused_as_ever() -> None:
    with pytest.raises(BadConfig, match="exporter"):
        observability({"exporter": "file"}, {})
