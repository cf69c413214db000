"""The quantum models that were trained here, and which of them is in use. Old ones are kept, so that a step back is one command."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threat.errors import ModelError
from threat.vqc.model import Model, load, shipped

_INDEX = "in-use.json"


@dataclass(frozen=True, slots=True)
class Shelf:
    """A folder with a model in each sub-folder, called by its version, and an index.

    The index holds `versions`, of which the last is in use and those before it were, and `periods`, whose decisions have been
    carried out: a period that is run again, after a step back for example, changes nothing.
    """

    folder: Path

    def current(self) -> Model:
        """The model in use: the one in the package until another was promoted.

        Raises:
            ModelError: it is not there, or damaged.
        """
        versions = self._index()["versions"]
        return load(self.folder / versions[-1]) if versions else shipped()

    def keep(self, model: Model) -> Path:
        """Writes a model, complete or not at all; its folder."""
        place, draft = self.folder / model.version, self.folder / f"{model.version}.part"
        if not place.exists():
            shutil.rmtree(draft, ignore_errors=True)
            model.save(draft)
            draft.replace(place)
        return place

    def promote(self, version: str, period: str) -> bool:
        """Puts a kept model to use; False, and nothing changes, where this period's decision has been carried out before.

        Raises:
            ModelError: it is not there.
        """
        index = self._index()
        if period in index["periods"]:
            return False
        load(self.folder / version)
        self._write({"versions": [*index["versions"], version], "periods": [*index["periods"], period]})
        return True

    def roll_back(self) -> Model:
        """Puts the model to use that was before, and returns it.

        Raises:
            ModelError: there was none.
        """
        index = self._index()
        if not index["versions"]:
            raise ModelError("the model in use is the one in the package: there is none before it")
        self._write({**index, "versions": index["versions"][:-1]})
        return self.current()

    def _index(self) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / _INDEX).read_text())
            return {"versions": list(found["versions"]), "periods": list(found["periods"])}
        except FileNotFoundError:
            return {"versions": [], "periods": []}
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{self.folder / _INDEX} is damaged ({error}): restore it, or delete it to use the shipped model"
            ) from error

    def _write(self, index: dict[str, Any]) -> None:
        draft = self.folder / f"{_INDEX}.part"
        with draft.open("w") as file:
            json.dump(index, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.folder / _INDEX)
