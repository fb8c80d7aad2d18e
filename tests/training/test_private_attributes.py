"""What is used of libraries without being promised by them: each name stands here, and is where we look for it."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils import _python_dispatch
from transformers import PreTrainedConfig, PreTrainedModel, Qwen3Config, configuration_utils, initialization

PACKAGE = Path(__file__).parents[2] / "webdancer_cli"
KNOWN = {
    "_attn_implementation",
    "_no_split_modules",
    "_commit_hash",
    "_is_hf_initialized",
    "_cdata",
    "_python_dispatch",
    "_scaled_dot_product_flash_attention_for_cpu",
}

DOCUMENTED = {"_exit"}
"""Python's own ``os._exit``, which is promised for all its underscore."""


def private_names(tree: ast.Module) -> Iterator[str]:
    """Private attributes of something that is neither ``self`` nor of our own making, and private imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not (
            isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        ):
            yield node.attr
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "setattr"):
            yield from (arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant))
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("webdancer_cli"):
            yield from (node.module or "").split(".")
            yield from (alias.name for alias in node.names)


def own_names() -> set[str]:
    """What our own classes set on themselves."""
    trees = [ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")]
    attributes = {node.attr for tree in trees for node in ast.walk(tree) if is_own(node)}
    return attributes | {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def is_own(node: ast.AST) -> bool:
    is_set = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    return is_set and isinstance(node.value, ast.Name) and node.value.id == "self"


def test_every_private_name_of_a_library_is_known_here() -> None:
    used = {
        name
        for path in (PACKAGE / "training").rglob("*.py")
        for name in private_names(ast.parse(path.read_text("utf-8")))
        if name.startswith("_") and not name.startswith("__")
    }
    assert used - own_names() == KNOWN | DOCUMENTED


def test_they_are_where_we_look_for_them() -> None:
    config = Qwen3Config(num_hidden_layers=1, hidden_size=8, intermediate_size=8, num_attention_heads=1, vocab_size=8)
    assert isinstance(PreTrainedConfig._attn_implementation, property) and config._attn_implementation is None
    config._attn_implementation = "eager"
    assert config._attn_implementation == "eager"
    assert hasattr(PreTrainedModel, "_no_split_modules")
    assert "_is_hf_initialized" in inspect.getsource(initialization)
    assert "_commit_hash" in inspect.getsource(configuration_utils), "set on a configuration that comes from the hub"
    assert hasattr(_python_dispatch, "TorchDispatchMode")


def test_the_kernel_for_cpus_gives_attention_and_the_logarithm_of_its_sums() -> None:
    draw = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 3, length, 8, generator=draw) for length in (2, 5, 5))
    hidden = torch.tensor([0.0, 0.0, 0.0, 0.0, float("-inf")])[None, None, None].expand(2, 1, 1, 5)
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    out, sums = kernel(query, key, value, attn_mask=hidden, scale=0.3)
    torch.testing.assert_close(
        out, F.scaled_dot_product_attention(query, key[:, :, :4], value[:, :, :4], scale=0.3), atol=1e-6, rtol=1e-6
    )
    scores = 0.3 * query @ key[:, :, :4].mT
    torch.testing.assert_close(sums, scores.logsumexp(-1), atol=1e-6, rtol=1e-6)
