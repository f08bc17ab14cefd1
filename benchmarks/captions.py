"""How much caption features say of images and classes that no network has seen, beside TF-IDF and chance.

    python -m benchmarks.captions --data runs/reduced/data/oxford_flower-0a1b2c3d \\
        --network runs/reduced/evaluators/oxford_flower-4e5f6a7b/char_cnn_rnn/seed0

AP@50: classes ask by the mean of their captions for images (Reed et al., 2016, Sec. 5). TF-IDF has no space in common
with images: a ridge regression to their features, fitted on the training classes, takes its captions there.
Neighbours: share of the same class among the 50 images whose caption features are nearest (cosine), images unused.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from shared.data.arrays import load_array, load_captions
from shared.errors import run_cli
from shared.files import read_json
from shared.models.char_cnn_rnn import RANKED, CharCnnRnn, average_precision
from shared.run.devices import load_trained, prepare_torch

DIRECTIONS, PENALTIES = 1024, (1e-1, 1.0, 1e1, 1e2, 1e3)


def neighbours(features: Tensor, labels: Tensor, count: int = RANKED) -> float:
    """Share of the same class among the `count` nearest others of each point (N, D), the mean over points."""
    cosines = F.normalize(features) @ F.normalize(features).T
    nearest = cosines.fill_diagonal_(-2).topk(min(count, len(features) - 1)).indices
    return (labels[nearest] == labels[:, None]).float().mean().item()


def tfidf(captions: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """TF-IDF of words and word pairs of all captions of an image, and the leading singular directions of training."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    documents = {split: [" ".join(row) for row in rows] for split, rows in captions.items()}
    vectoriser = TfidfVectorizer(ngram_range=(1, 2), max_features=3072, sublinear_tf=True)
    terms = {"train": vectoriser.fit_transform(documents["train"])}
    terms |= {split: vectoriser.transform(documents[split]) for split in documents if split != "train"}
    reduce = TruncatedSVD(min(DIRECTIONS, terms["train"].shape[1] - 1), random_state=0).fit(terms["train"])
    return {split: torch.from_numpy(reduce.transform(each)).float() for split, each in terms.items()}


def ridge(x: Tensor, y: Tensor, penalty: float) -> Tensor:
    """W (D, V) that minimises |x W - y|² + penalty |W|²."""
    return torch.linalg.solve(x.T @ x + penalty * torch.eye(x.shape[1]), x.T @ y)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the completed data")
    parser.add_argument("--network", type=Path, required=True, help="run of the char-CNN-RNN that completed them")
    arguments = parser.parse_args()
    prepare_torch(1)
    trained = read_json(arguments.network / "train.json", "spec", "weights_sha256")
    weights = arguments.network / "weights.pt"
    network: CharCnnRnn = load_trained(trained["spec"], weights, trained["weights_sha256"], torch.device("cpu"))

    def arrays(name: str) -> dict[str, Tensor]:
        splits = ("train", "val", "test")
        return {split: torch.from_numpy(load_array(arguments.data / f"{name}_{split}.npy")) for split in splits}

    images, labels, ours = arrays("x1_features"), arrays("labels"), arrays("x2")
    mean, std = (torch.from_numpy(load_array(arguments.data / f"x2_{name}.npy")) for name in ("mean", "std"))
    words = tfidf({split: load_captions(arguments.data, split) for split in images})
    queries = {
        penalty: {split: words[split] @ ridge(words["train"], images["train"], penalty) for split in ("val", "test")}
        for penalty in PENALTIES
    }
    best = max(
        PENALTIES, key=lambda each: average_precision(images["val"], queries[each]["val"], labels["val"], RANKED)
    )
    print(f"ridge penalty {best}, the best on the validation classes")
    for split in ("val", "test"):
        chance = 1 / len(labels[split].unique())
        joint = network.layers["of_images"](images[split])
        rows = {
            f"AP@{RANKED}": (
                average_precision(joint, ours[split] * std + mean, labels[split], RANKED),
                average_precision(images[split], queries[best][split], labels[split], RANKED),
            ),
            "neighbours": tuple(neighbours(each[split], labels[split]) for each in (ours, words)),
        }
        for name, (network_share, tfidf_share) in rows.items():
            shares = f"char-CNN-RNN {network_share:.3f}, TF-IDF {tfidf_share:.3f}, chance {chance:.3f}"
            print(f"{split}: {name}: {shares}")


if __name__ == "__main__":
    run_cli(main)
