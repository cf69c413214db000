"""Boosted trees as an ONNX graph. scikit-learn's histogram trees are read as they are: skl2onnx writes flags that onnx refuses."""

from typing import Any

from onnx import ModelProto, TensorProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier  # type: ignore[import-untyped]

_OPSET = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]


def to_onnx(boosting: HistGradientBoostingClassifier, columns: int) -> bytes:
    """The model with input `X`, float32 (n, columns), and output `probabilities`, float32 (n, classes); more than two classes."""
    nodes: dict[str, list[Any]] = {name: [] for name in _NODE}
    leaves: dict[str, list[Any]] = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    tree = 0
    for iteration in boosting._predictors:
        for label, predictor in enumerate(iteration):
            for place, node in enumerate(predictor.nodes):
                leaf = bool(node["is_leaf"])
                threshold = 0.0 if leaf else float(node["num_threshold"])
                row = (tree, place, "LEAF" if leaf else "BRANCH_LEQ", int(node["feature_idx"]), threshold)
                for name, value in zip(_NODE, (*row, int(node["left"]), int(node["right"])), strict=True):
                    nodes[name].append(value)
                if leaf:
                    for name, value in zip(leaves, (tree, place, label, float(node["value"])), strict=True):
                        leaves[name].append(value)
            tree += 1
    classes = len(boosting.classes_)
    attributes: dict[str, Any] = {f"nodes_{name}": values for name, values in nodes.items()}
    attributes |= {f"class_{name}": values for name, values in leaves.items()}
    ensemble = helper.make_node(
        "TreeEnsembleClassifier",
        ["X"],
        ["label", "probabilities"],
        domain="ai.onnx.ml",
        post_transform="SOFTMAX",
        base_values=[float(value) for value in boosting._baseline_prediction.ravel()],
        classlabels_int64s=list(range(classes)),
        **attributes,
    )
    graph = helper.make_graph(
        [ensemble],
        "boosting",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, columns])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, classes]),
        ],
    )
    model: ModelProto = helper.make_model(graph, opset_imports=_OPSET, ir_version=9)
    return bytes(model.SerializeToString())


_NODE = ("treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids")
