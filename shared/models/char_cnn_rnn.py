"""The text encoder of Reed et al. (2016a): characters to features that fit the images that they describe.

Reed, Akata, Lee, Schiele: Learning deep representations of fine-grained visual descriptions, CVPR 2016.
"""

from collections.abc import Mapping

import torch
from pydantic import PositiveInt
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from shared.data.arrays import Split
from shared.data.captioned import LETTERS
from shared.models.averaged import AveragedEncoder
from shared.models.contract import Batch, Loss
from shared.models.linear import Linear

RANKED = 50  # images that a class is shown, in AP@50
# Weights start below it, as in the authors' code. With torch's own, three to four times smaller but in the first layer,
# captions hardly differ at first, and their features keep to few directions.
_INITIAL = 0.08


class CharCnnRnn(AveragedEncoder):
    """phi(t): one-hot letters, three temporal convolutions, an LSTM over the 8 steps that remain, their mean, and a
    linear layer. F(v, t) = (W v) · phi(t) is the compatibility of image features v with a caption.

    image_dim: of v. feature_dim: D of phi.
    """

    name = "char-CNN-RNN trained here"
    encodes = "caption_features"

    def __init__(self, image_dim: PositiveInt = 2048, feature_dim: PositiveInt = 1024) -> None:
        convolutions = nn.Sequential(
            nn.Conv1d(len(LETTERS), 384, 4),  # 201 letters: 198 steps
            nn.ReLU(),
            nn.MaxPool1d(3, 3),  # 66
            nn.Conv1d(384, 512, 4),  # 63
            nn.ReLU(),
            nn.MaxPool1d(3, 3),  # 21
            nn.Conv1d(512, 512, 4),  # 18
            nn.ReLU(),
            nn.MaxPool1d(3, 2),  # 8
        )
        recurrent, to_features = nn.LSTM(512, 512, batch_first=True), Linear(512, feature_dim)
        of_images = Linear(image_dim, feature_dim, bias=False)
        network = nn.ModuleDict(
            {"convolutions": convolutions, "recurrent": recurrent, "to_features": to_features, "of_images": of_images}
        )
        for parameter in network.parameters():
            nn.init.uniform_(parameter, -_INITIAL, _INITIAL)
        super().__init__(network)
        self.feature_dim = feature_dim

    def forward(self, characters: Tensor) -> Tensor:
        """Features (B, D) of captions (B, 201), whose letters are counted from 1, and 0 is none."""
        one_hot = F.one_hot(characters.long(), len(LETTERS) + 1)[..., 1:].transpose(1, 2)
        steps, _ = self.layers["recurrent"](self.layers["convolutions"](one_hot.float()).transpose(1, 2))
        return self.layers["to_features"](steps.mean(dim=1))

    def loss(self, batch: Batch, epoch: int, samples: int, generator: Generator) -> Loss:
        """The structured joint embedding loss of "image" features (B, V) and one drawn caption each of "characters"
        (B, 10, 201), with "labels" (B,). `epoch` and `samples` have no meaning here.
        """
        self.advance()
        captions, labels = batch["characters"], batch["labels"]
        count, per_image, _ = captions.shape
        drawn = torch.randint(per_image, (count,), generator=generator, device=generator.device).to(captions.device)
        texts = self(captions[torch.arange(count, device=captions.device), drawn])
        scores = (self.layers["of_images"](batch["image"]) @ texts.T).float()
        loss = structured_joint_embedding(scores, labels)
        right = (labels[scores.argmax(dim=1)] == labels).float().mean()
        return Loss(loss, {"embedding_loss": loss.detach(), "accuracy": right})

    def encode(self, batch: Batch) -> Tensor:
        """The mean (B, D) of the features of each image's captions."""
        captions = batch["characters"]
        different, place = captions.flatten(0, 1).unique(dim=0, return_inverse=True)
        return self(different)[place].unflatten(0, captions.shape[:2]).mean(dim=1)

    def quality(self, features: Mapping[str, Tensor], splits: Mapping[str, Split]) -> dict[str, float]:
        """AP@50 for the classes of the other splits, which the training has not seen.

        A class with fewer images can't fill the 50 places: what can be had at most is said beside it.
        """
        found = {}
        for split, words in (("val", "validation"), ("test", "test")):
            tensors = splits[split].tensors
            images, labels = self.layers["of_images"](tensors["image"]), tensors["labels"]
            sizes, shown = labels.unique(return_counts=True)[1], min(RANKED, len(labels))
            most = sizes.clamp(max=shown).double().mean().item() / shown
            bounds = f"by chance {100 / len(sizes):.1f} %, at most {100 * most:.1f} %"
            name = f"AP@{RANKED} on {words} classes ({bounds})"
            found[name] = average_precision(images, features[split], labels, RANKED)
        return found


def structured_joint_embedding(scores: Tensor, labels: Tensor) -> Tensor:
    """The mean over all pairs of max(0, 1 + F(v_n, t_k) - F(v_n, t_n)), plus the same with the roles of images and
    texts exchanged, as in the code of Reed et al. (2016a); their formula takes the worst of the other classes in place
    of the mean. Pairs of one class have no margin to keep and count 0.

    scores: F(v_n, t_k), (B, B); the diagonal holds the true pairs. labels: (B,).
    """
    own, other = scores.diagonal(), labels[:, None] != labels
    of_images, of_texts = F.relu(1 + scores - own[:, None]), F.relu(1 + scores - own)
    return (other * (of_images + of_texts)).mean()


def average_precision(images: Tensor, texts: Tensor, labels: Tensor, ranked: int) -> float:
    """AP@K of Reed et al. (2016a), Sec. 5: a class is asked for by the mean of its texts; the share of its own images
    among the `ranked` that fit best, the mean over classes.

    images, texts: (N, D), compatible by their product. labels: (N,).
    """
    classes = labels.unique()
    queries = torch.stack([texts[labels == each].mean(dim=0) for each in classes])
    best = (queries @ images.T).topk(min(ranked, len(images)), dim=1).indices
    return (labels[best] == classes[:, None]).float().mean().item()
