import json

import pytest
import yaml

from shared.errors import InputError
from shared.run import config
from tests.repository import ROOT


@pytest.fixture
def defaults(monkeypatch):
    monkeypatch.chdir(ROOT)
    return yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))


def test_the_defaults_are_valid(defaults):
    config.check(defaults)


@pytest.mark.parametrize(
    ("key", "value"),
    [("scale", "paper"), ("device", "cuda"), ("precision", "bfloat16"), ("seeds", 5), ("data_root", "../elsewhere")],
)
def test_possible_values_are_accepted(defaults, key, value):
    config.check(defaults | {key: value})


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("scale", "huge", "'demo', 'reduced' or 'paper'"),
        ("device", "tpu", "'auto', 'cpu', 'cuda' or 'mps'"),
        ("precision", "float8", "'float32' or 'bfloat16'"),
        ("seeds", "abc", "valid integer"),
        ("seeds", 0, "greater than or equal to 1"),
        ("seeds", 101, "less than or equal to 100"),
        ("seeds", 2.5, "valid integer"),
        ("seeds", True, "valid integer"),
        ("data_root", 7, "valid string"),
        ("data_root", "", "at least 1 character"),
        ("margins", None, "valid string"),
    ],
)
def test_an_impossible_value_is_one_line_with_its_key(defaults, key, value, allowed):
    with pytest.raises(InputError) as caught:
        config.check(defaults | {key: value})
    line = str(caught.value)
    assert "\n" not in line
    assert f"config key {key}: {value!r} should" in line
    assert allowed in line


def test_an_unknown_key_is_one_line_with_the_known_ones(defaults):
    with pytest.raises(InputError, match=r"\Aconfig key seed: is unknown; there are .*seeds[^\n]*\Z"):
        config.check(defaults | {"seed": 1})


def test_a_missing_key_is_one_line(defaults):
    del defaults["margins"]
    with pytest.raises(InputError, match=r"\Aconfig key margins: is missing[^\n]*\Z"):
        config.check(defaults)


def test_the_schema_for_editors_is_that_of_the_class():
    schema = json.loads((ROOT / "config" / "schema.json").read_text(encoding="utf-8"))
    assert schema == config.Configuration.model_json_schema()


def test_every_setting_of_the_file_is_explained_where_it_stands():
    lines = (ROOT / "config" / "config.yaml").read_text(encoding="utf-8").splitlines()
    assert all("#" in line for line in lines)
