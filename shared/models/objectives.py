"""Pieces of training objectives that several papers share."""


def linear_warmup(epoch: int, epochs: int) -> float:
    """Weight of a KL term that grows linearly from 0 in the first epoch to 1 after `epochs` epochs.

    epoch counts from 0. epochs = 0 means no warm-up: always 1 (Sønderby et al., 2016; HMVAE App. C.4).
    """
    return 1.0 if epochs == 0 else min(1.0, epoch / epochs)
