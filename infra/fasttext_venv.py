"""The fastText that trains, in a virtual environment of its own.

Curate needs only the part that predicts (fasttext-predict); the whole library is a module of the same name,
so the two cannot be installed side by side.
"""

from __future__ import annotations

import json
import subprocess
import venv
from pathlib import Path
from typing import Any

PACKAGE = "fasttext-numpy2-wheel==0.9.2"

# argv: JSON of {input, output, train, quantize}. One thread: several race for the weights, and the same input
# would no longer give the same model.
_TRAIN = """
import json, sys
import fasttext
job = json.loads(sys.argv[1])
model = fasttext.train_supervised(job["input"], thread=1, seed=1, verbose=0, **job["train"])
model.quantize(input=job["input"], thread=1, verbose=0, **job["quantize"])
model.save_model(job["output"])
"""

# argv: path of a model and a number k; lines on stdin; a JSON list of [label, probability] pairs a line.
_PREDICT = """
import json, sys
import fasttext
model = fasttext.load_model(sys.argv[1])
for line in sys.stdin.buffer.read().decode().splitlines():
    labels, shares = model.predict(json.loads(line), k=int(sys.argv[2]))
    print(json.dumps(list(zip(labels, map(float, shares)))))
"""


def python(folder: Path) -> Path:
    """The interpreter of the environment in `folder`, made there where it is not yet."""
    interpreter, whole = folder / "bin" / "python", folder / ".whole"
    if not whole.exists():
        venv.create(folder, with_pip=True, clear=True)
        command = [str(interpreter), "-m", "pip", "install", "-q", PACKAGE]
        subprocess.run(command, check=True)  # noqa: S603 - our own words
        whole.touch()
    return interpreter


def train(
    interpreter: Path, lines: Path, model: Path, arguments: dict[str, Any], quantize: dict[str, Any]
) -> None:
    """Train a classifier on `lines` (`__label__x words`) and write it, quantised, to `model`."""
    job = {"input": str(lines), "output": str(model), "train": arguments, "quantize": quantize}
    subprocess.run([str(interpreter), "-c", _TRAIN, json.dumps(job)], check=True)  # noqa: S603


def predict(
    interpreter: Path, model: Path, texts: list[str], count: int = 1
) -> list[list[tuple[str, float]]]:
    """What the original library says of each text: its `count` likeliest labels."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    command = [str(interpreter), "-c", _PREDICT, str(model), str(count)]
    done = subprocess.run(command, input=lines.encode(), capture_output=True, check=True)  # noqa: S603
    return [[(label, share) for label, share in json.loads(line)] for line in done.stdout.splitlines()]
