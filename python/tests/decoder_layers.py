"""Every decoder layer class in a vLLM's source, and what its source says it hands on. Read, not run.

`check_layers.py` compares it with what was written down, `check_architectures.py` with what running the layers proves.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("model_executor/models", "models")

#: Not of the text, or not of the model: towers, encoders, drafts.
OTHERS = re.compile(
    r"vision|visual|vit|audio|encoder|whisper|bert|siglip|clip|eagle|mtp|medusa|draft|spark|dflash|conformer|pixtral", re.I
)
#: What a decoder layer has one of.
MIXERS = re.compile(r"attn|attention|mixer|mamba|conv|temporal|gdn|kda")


def layers_of(package: Path) -> dict[str, str]:
    """`module.Class` -> what :func:`handed_on` says, for every decoder layer."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((package / folder).rglob("*.py")):
            module = ".".join(path.relative_to(package).with_suffix("").parts)
            tree = ast.parse(path.read_text())
            classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
            for name, node in classes.items():
                forward = method(node, "forward")
                if forward is not None and is_decoder_layer(node) and not OTHERS.search(f"{path.stem}.{name}"):
                    found[f"{module}.{name}"] = handed_on(forward)
    return found


def is_decoder_layer(node: ast.ClassDef) -> bool:
    init = method(node, "__init__")
    if "DecoderLayer" in node.name and init is not None:
        return True
    if not re.search(r"(Block|Layer)$", node.name) or init is None:
        return False
    attributes = {target.attr for target in attribute_targets(init)}
    return any(MIXERS.search(name) for name in attributes) and any(re.search(r"mlp|ffn|feed_forward", name) for name in attributes)


def handed_on(forward: ast.FunctionDef) -> str:
    """- "tensor": one tensor.
    - "sum": a pair, of which the layer adds both when it gets them: it hands both to one norm, or adds them.
    - "first": a pair, of which the layer ignores the second one, or that has none.
    - "several": more than two, or another structure in the pair.
    - "unclear": something else."""
    returned = [node.value for node in own_nodes(forward) if isinstance(node, ast.Return) and node.value is not None]
    tuples = [value for value in returned if isinstance(value, ast.Tuple)]
    if not tuples:
        return (
            "unclear" if any(isinstance(value, ast.Call) and "_forward" in ast.unparse(value.func) for value in returned) else "tensor"
        )
    if any(len(value.elts) != 2 or any(isinstance(part, ast.Tuple) for part in value.elts) for value in tuples):
        return "several"
    if all(isinstance(value.elts[1], ast.Constant) for value in tuples):
        return "first"
    second = second_name(forward)
    return "unclear" if second is None else what_becomes_of(forward, second)


def second_name(forward: ast.FunctionDef) -> str | None:
    names = [argument.arg for argument in forward.args.args]
    return next((name for name in names if "residual" in name), None)


def what_becomes_of(forward: ast.FunctionDef, name: str) -> str:
    """Of the second tensor a layer gets."""
    for statement in forward.body:
        if isinstance(statement, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == name for target in statement.targets
        ):
            return "first"  # overwritten before anything reads it
        if any(isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load) for node in ast.walk(statement)):
            return "sum" if goes_with_others(statement, name) else "unclear"
    return "first"


def goes_with_others(statement: ast.stmt, name: str) -> bool:
    """Whether it is handed to a call together with another tensor, or added to one."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and len(node.args) + len(node.keywords) >= 2:
            handed = [*node.args, *(keyword.value for keyword in node.keywords)]
            if any(isinstance(part, ast.Name) and part.id == name for part in handed):
                return True
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and name in (ast.unparse(node.left), ast.unparse(node.right)):
            return True
    return False


def method(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    return next((inner for inner in node.body if isinstance(inner, ast.FunctionDef) and inner.name == name), None)


def own_nodes(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Without functions inside."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)


def attribute_targets(function: ast.FunctionDef) -> Iterator[ast.Attribute]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            yield from (target for target in node.targets if isinstance(target, ast.Attribute))
