import re
from pathlib import Path

from backends.ibm.settings import IbmSettings
from backends.mock import FAULTS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_names_all_settings_with_their_defaults() -> None:
    rows = dict(re.findall(r"^\| `IBM_QUANTUM_([A-Z_]+)` \| (?:`([^`]*)`)?", (DOCS / "run-on-ibm.md").read_text(), re.MULTILINE))
    defaults = {name.upper(): field.get_default() for name, field in IbmSettings.model_fields.items()}
    assert rows == {name: "" if default is None else str(default) for name, default in defaults.items()}


def test_the_page_names_all_faults_of_the_mock() -> None:
    assert set(re.findall(r"^\| `mock:([a-z]+)-N`", (DOCS / "add-a-backend.md").read_text(), re.MULTILINE)) == set(FAULTS)
