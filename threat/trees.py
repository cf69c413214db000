"""Trees as ONNX graphs of one node each. skl2onnx makes a graph of hundreds of nodes of a forest, and none of histogram trees."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest  # type: ignore[import-untyped]

_OPSET = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
_NODE = ("treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids")
_LEAF = ("treeids", "nodeids", "ids", "weights")
Node = tuple[bool, int, float, int, int, float, int]
"""Leaf, feature, threshold, where to go if not above it, where else, the leaf's weight, of which output."""


def boosting(model: HistGradientBoostingClassifier, columns: int) -> bytes:
    """Input `X`, float32 (n, columns); output `probabilities`, float32 (n, classes); more than two classes."""
    classes = len(model.classes_)
    start = [float(value) for value in model._baseline_prediction.ravel()]
    attributes: dict[str, Any] = {"post_transform": "SOFTMAX", "base_values": start, "classlabels_int64s": list(range(classes))}
    trees = (_histogram(predictor.nodes, label) for iteration in model._predictors for label, predictor in enumerate(iteration))
    attributes |= _flat(trees, "class")
    node = helper.make_node("TreeEnsembleClassifier", ["X"], ["label", "probabilities"], domain="ai.onnx.ml", **attributes)
    labels = helper.make_tensor_value_info("label", TensorProto.INT64, [None])
    return _graph(node, columns, [labels, helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, classes])])


def forest(model: IsolationForest, columns: int) -> bytes:
    """Input `X`, float32 (n, columns); output `exponent`, float32 (n, 1): the score is 2 to its power, in (0, 1), 1 the strangest.

    Liu, Ting and Zhou 2008, equation 2: the exponent is the mean depth of the leaves over that of a random search tree, negative.
    """
    usual = float(_depths(np.array([model.max_samples_]))[0])
    scale = -1.0 / (usual * len(model.estimators_))
    attributes: dict[str, Any] = {"n_targets": 1, "aggregate_function": "SUM"}
    attributes |= _flat((_isolation(estimator.tree_, scale) for estimator in model.estimators_), "target")
    node = helper.make_node("TreeEnsembleRegressor", ["X"], ["exponent"], domain="ai.onnx.ml", **attributes)
    return _graph(node, columns, [helper.make_tensor_value_info("exponent", TensorProto.FLOAT, [None, 1])])


def _histogram(nodes: Any, label: int) -> Iterator[Node]:
    for node in nodes:
        leaf = bool(node["is_leaf"])
        threshold = 0.0 if leaf else float(node["num_threshold"])
        yield leaf, int(node["feature_idx"]), threshold, int(node["left"]), int(node["right"]), float(node["value"]), label


def _isolation(tree: Any, scale: float) -> Iterator[Node]:
    depth = np.zeros(tree.node_count)
    for place in range(tree.node_count):
        for child in (tree.children_left[place], tree.children_right[place]):
            if child >= 0:
                depth[child] = depth[place] + 1
    weights = scale * (depth + _depths(tree.n_node_samples))
    for place in range(tree.node_count):
        left, right = int(tree.children_left[place]), int(tree.children_right[place])
        leaf = left < 0
        yield leaf, max(0, int(tree.feature[place])), float(tree.threshold[place]), max(0, left), max(0, right), weights[place], 0


def _depths(samples: Any) -> Any:
    """The mean depth of an unsuccessful search among so many: equation 1."""
    count = np.asarray(samples, dtype=np.float64)
    many = np.maximum(count, 3)
    found = 2 * (np.log(many - 1) + np.euler_gamma) - 2 * (many - 1) / many
    return np.where(count <= 1, 0.0, np.where(count == 2, 1.0, found))


def _flat(trees: Iterator[Iterator[Node]], output: str) -> dict[str, Any]:
    """The attributes of ONNX's tree ensembles: one long list a property."""
    nodes: dict[str, list[Any]] = {f"nodes_{name}": [] for name in _NODE}
    leaves: dict[str, list[Any]] = {f"{output}_{name}": [] for name in _LEAF}
    for number, tree in enumerate(trees):
        for place, (leaf, feature, threshold, left, right, weight, of) in enumerate(tree):
            row = (number, place, "LEAF" if leaf else "BRANCH_LEQ", feature, threshold, left, right)
            for values, value in zip(nodes.values(), row, strict=True):
                values.append(value)
            if leaf:
                for values, value in zip(leaves.values(), (number, place, of, float(weight)), strict=True):
                    values.append(value)
    return {**nodes, **leaves}


def _graph(node: Any, columns: int, outputs: list[Any]) -> bytes:
    graph = helper.make_graph(
        [node], node.op_type, [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, columns])], outputs
    )
    model: ModelProto = helper.make_model(graph, opset_imports=_OPSET, ir_version=9)
    return bytes(model.SerializeToString())
