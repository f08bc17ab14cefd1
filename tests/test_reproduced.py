"""What was published stays readable: each table is what the present rules and layouts make of its CSV."""

import pytest

from shared.stages.render import FORMATS, view_of
from tests.repository import ROOT

PUBLISHED = sorted((ROOT / "papers").glob("*/reproduced/*/*.csv"))


def test_tables_were_published():
    assert PUBLISHED


@pytest.mark.parametrize("csv", PUBLISHED, ids=lambda csv: "/".join(csv.relative_to(ROOT / "papers").parts))
def test_a_published_table_is_what_its_csv_renders_to(csv):
    view = view_of(csv.relative_to(ROOT / "papers").parts[0], csv.stem, csv)
    assert set(FORMATS) == {".md", ".tex"}
    for suffix, text_of in FORMATS.items():
        assert csv.with_suffix(suffix).read_text(encoding="utf-8") == text_of(view)
