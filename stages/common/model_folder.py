"""A folder that transformers saved a model into: what lies in it, found out without transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from curate.errors import RecipeError
from stages.common.hub import go_offline
from stages.common.torchvision_cure import cure_torchvision
from stages.common.weight_files import digests

CONFIG = "config.json"
# The forms of weights, the first that is there counts. An index names the files it is spread over.
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_IMAGES = ("preprocessor_config.json", "processor_config.json")


class ModelFolder:
    """`field` is the recipe's that named it: the place of what is wrong with it."""

    def __init__(self, path: str, field: str = "model") -> None:
        self.path = Path(path)
        self._field = field

    def config(self) -> Mapping[str, Any]:
        """What config.json says."""
        return self._json(CONFIG)

    def images(self) -> Mapping[str, Any]:
        """How its images are prepared; nothing where it does not say."""
        for name in _IMAGES:
            if (self.path / name).is_file():
                found = self._json(name)
                inner = found.get("image_processor")
                return inner if isinstance(inner, dict) else found
        return {}

    def weights(self) -> list[Path]:
        """Its files of weights."""
        for name in _WEIGHTS:
            path = self.path / name
            if not path.is_file():
                continue
            if not name.endswith(".index.json"):
                return [path]
            parts = self._json(name).get("weight_map")
            if not isinstance(parts, dict) or not all(isinstance(p, str) for p in parts.values()):
                raise self.error(f"{path} is no index of weights")
            found = [self.path / part for part in sorted(set(parts.values()))]
            for part in found:
                if part.parent != self.path or not part.is_file():
                    raise self.error(f"{path} names {part.name}, which is not there", "copy all of its files")
            return found
        raise self.error(f"{self.path} holds no weights", f"it takes one of {', '.join(_WEIGHTS)}")

    def tokenizer(self, names: Sequence[str], more: Sequence[str] = ()) -> list[Path]:
        """Those of `names`, one of which must be there, and of `more`."""
        if not any((self.path / name).is_file() for name in names):
            raise self.error(f"{self.path} holds no tokenizer", f"it takes one of {', '.join(names)}")
        return [self.path / name for name in (*names, *more) if (self.path / name).is_file()]

    def assets(self, tokenizer: Sequence[Path]) -> Mapping[str, str]:
        """SHA-256 of all that decides what it computes, by file name."""
        images = [self.path / name for name in _IMAGES if (self.path / name).is_file()][:1]
        return digests([self.path / CONFIG, *images, *tokenizer, *self.weights()], self._field)

    def error(self, problem: str, hint: str = "") -> RecipeError:
        """A mistake in the recipe, or in what it names."""
        return RecipeError(self._field, problem, hint)

    def _json(self, name: str) -> Mapping[str, Any]:
        path = self.path / name
        if not self.path.is_dir():
            raise self.error(
                f"there is no folder {self.path}",
                "the folder of a model as transformers saves it, relative to where the command is given",
            )
        try:
            found = json.loads(path.read_bytes())
        except OSError as error:
            raise self.error(f"cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise self.error(f"{path} is no JSON: {error}") from error
        if not isinstance(found, dict):
            raise self.error(f"{path} is no JSON object")
        return found


def require(packages: Sequence[str], what: str, field: str = "model") -> None:
    """RecipeError where one of the packages is not installed; none is imported."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise RecipeError(
            field,
            f"{what} needs {' and '.join(missing)}, not installed here",
            "pip install 'mmcurate[clip]'",
        )


def transformers_offline() -> Any:
    """transformers: no progress bars, and no hub is asked for what a folder lacks."""
    go_offline()
    cure_torchvision()
    import transformers

    quiet: Any = transformers.utils.logging.disable_progress_bar  # untyped
    quiet()
    return transformers
