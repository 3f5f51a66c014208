"""The written-out softmax classifier is Adam on the cross-entropy."""

import torch

from zeroscene.training.softmax import fit_softmax


def test_steps_equal_torch_adam_on_cross_entropy() -> None:
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(90, 6, generator=g), torch.randint(0, 4, (90,), generator=g)
    weight, bias = fit_softmax(x, y, 4, epochs=5, learning_rate=1e-2, batch=32, seed=3)

    layer = torch.nn.Linear(6, 4)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimiser = torch.optim.Adam(layer.parameters(), 1e-2, betas=(0.5, 0.999))
    order = torch.Generator().manual_seed(3)
    for _ in range(5):
        for rows in torch.randperm(90, generator=order).split(32):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(layer(x[rows]), y[rows]).backward()
            optimiser.step()
    torch.testing.assert_close(weight, layer.weight.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(bias, layer.bias.detach(), rtol=1e-4, atol=1e-5)
