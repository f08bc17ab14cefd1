"""The peer's side of `benchmarks.peers`: MultiVae's JMVAE with the networks of our MNIST experiment.

Runs in an environment of its own, in which MultiVae is installed and this package is not. It answers one JSON line for
each line read: `steps SECONDS`, `epochs SECONDS` and `likelihood SECONDS` give what was done in about that time.
"""

import json
import resource
import sys
import tempfile
import time

import torch
from multivae.data.datasets.base import DatasetOutput, MultimodalBaseDataset
from multivae.models import JMVAE, JMVAEConfig
from multivae.models.base import BaseDecoder, BaseEncoder
from multivae.models.nn.base_architectures import BaseJointEncoder
from multivae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.models.base.base_utils import ModelOutput
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

LATENTS, BATCH, K, POINTS = 26, 64, 1000, 6400
SIZES = {"image": (784, 512), "label": (10, 128)}  # inputs and width of the hidden layers


def hidden(inputs: int, width: int) -> list[nn.Module]:
    """Three linear layers, each with batch normalisation and a leaky rectifier."""
    layers: list[nn.Module] = []
    for size in (inputs, width, width):
        layers += [nn.Linear(size, width), nn.BatchNorm1d(width), nn.LeakyReLU()]
    return layers


class Encoder(BaseEncoder):
    def __init__(self, name: str) -> None:
        super().__init__()
        inputs, width = SIZES[name]
        self.latent_dim = LATENTS
        self.body = nn.Sequential(nn.Flatten(), *hidden(inputs, width))
        self.mean, self.log_variance = nn.Linear(width, LATENTS), nn.Linear(width, LATENTS)

    def forward(self, x: torch.Tensor) -> ModelOutput:
        h = self.body(x)
        return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))


class JointEncoder(BaseJointEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.latent_dim = LATENTS
        self.trunks = nn.ModuleDict({name: nn.Sequential(nn.Flatten(), *hidden(*size)) for name, size in SIZES.items()})
        self.body = nn.Sequential(nn.Linear(512 + 128, 512), nn.LeakyReLU())
        self.mean, self.log_variance = nn.Linear(512, LATENTS), nn.Linear(512, LATENTS)

    def forward(self, x: dict) -> ModelOutput:
        h = self.body(torch.cat([trunk(x[name]) for name, trunk in self.trunks.items()], dim=1))
        return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))


class Decoder(BaseDecoder):
    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        super().__init__()
        outputs, width = SIZES[name]
        self.latent_dim, self.shape = LATENTS, shape
        self.body = nn.Sequential(*hidden(LATENTS, width), nn.Linear(width, outputs))

    def forward(self, z: torch.Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.body(z).reshape(-1, *self.shape))


def build() -> JMVAE:
    shapes = {"image": (1, 28, 28), "label": (10,)}
    config = JMVAEConfig(
        n_modalities=2,
        latent_dim=LATENTS,
        input_dims=shapes,
        decoders_dist={"image": "bernoulli", "label": "categorical"},
        alpha=0.01,
        warmup=0,
    )
    encoders = {name: Encoder(name) for name in shapes}
    decoders = {name: Decoder(name, shape) for name, shape in shapes.items()}
    return JMVAE(config, encoders, decoders, JointEncoder())


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(0)
    model = build()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    images = (torch.rand(BATCH, 1, 28, 28) > 0.5).float()  # its Bernoulli takes no grey values
    data = {"image": images, "label": torch.eye(10)[torch.arange(BATCH) % 10]}

    many = {name: x.repeat(POINTS // BATCH, *[1] * (x.dim() - 1)) for name, x in data.items()}
    trainer = BaseTrainer(
        build(),
        train_dataset=MultimodalBaseDataset(many),
        training_config=BaseTrainerConfig(
            output_dir=tempfile.mkdtemp(), num_epochs=1, learning_rate=1e-3, per_device_train_batch_size=BATCH
        ),
    )
    trainer.prepare_training()

    def epoch() -> int:
        trainer.train_step(2)
        return POINTS

    def step() -> int:
        model.train()
        loss = model(DatasetOutput(data=data), epoch=2).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return BATCH

    def likelihood() -> int:
        with torch.no_grad():
            model.compute_joint_nll(MultimodalBaseDataset({name: x[:4] for name, x in data.items()}), K)
        return 4

    for line in sys.stdin:
        task, seconds = line.split()
        act = {"steps": step, "epochs": epoch, "likelihood": likelihood}[task]
        with FlopCounterMode(display=False) as counter:
            points = act()
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < float(seconds):
            done += act()
        print(
            json.dumps({
                "per_second": done / (time.perf_counter() - started),
                "mflop": counter.get_total_flops() / points / 1e6,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }),
            flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
