"""What a model draws at random while it is trained."""

from torch import nn

_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def without_dropout(model: nn.Module) -> None:
    """Switch all dropout off, in training mode, too: a policy's log-probs must be those of the policy that sampled.

    The configuration, which is saved, stays as it is.
    """
    for module in model.modules():
        if isinstance(module, _DROPOUT):
            module.p = 0.0
        for name, value in vars(module).items():
            if "drop" in name and isinstance(value, float):
                setattr(module, name, 0.0)


def has_dropout(model: nn.Module) -> bool:
    """Whether anything in it draws at random while it is trained."""
    rates = (value for module in model.modules() for name, value in vars(module).items() if "drop" in name)
    return any(isinstance(module, _DROPOUT) and module.p > 0 for module in model.modules()) or any(
        isinstance(rate, float) and rate > 0 for rate in rates
    )
