"""From trained towers to the two ONNX files of the package: weights as float16, computing in float32."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from model import TOKENS, ImageTower, TextTower, fused
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from stages.common.encoder_mini import FEATURES, SIZE

SMALLEST = 64  # values; shorter weights stay float32


def export(image: ImageTower, text: TextTower, folder: Path) -> None:
    """`mini_image.onnx` and `mini_text.onnx`. Weights keep their names in the fused towers."""
    pixels = torch.zeros(2, SIZE, SIZE, 3, dtype=torch.uint8)
    rows = torch.ones(2, 5, FEATURES, dtype=torch.int64)
    many, length = torch.export.Dim("many", max=1 << 20), torch.export.Dim("length", max=TOKENS)
    _write(fused(image), pixels, "pixels", {0: many}, folder / "mini_image.onnx")
    _write(text.eval(), rows, "tokens", {0: many, 1: length}, folder / "mini_text.onnx")


def _write(
    tower: nn.Module, example: torch.Tensor, name: str, dynamic: dict[int, object], path: Path
) -> None:
    program = torch.onnx.export(
        tower,
        (example,),
        input_names=[name],
        output_names=["vector"],
        dynamic_shapes=(dynamic,),
        dynamo=True,
        optimize=True,
        opset_version=18,
        verbose=False,
    )
    assert program is not None
    model = _halved(program.model_proto)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights as float16 and a cast before each, which onnxruntime computes once, when it loads the graph."""
    casts = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if weight.data_type == TensorProto.FLOAT and values.size >= SMALLEST:
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(values.astype("float16"), f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for node in model.graph.node:  # the exporter's notes: where in the source a node comes from
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    del model.metadata_props[:]
    return model
