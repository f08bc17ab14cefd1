"""The paper that CONTRIBUTING.md writes out, put in place as a reader would and made: nothing else is changed."""

import csv
import re

from tests.repository import ROOT, copy_of_this, run


def written_out():
    """{path: text} of the files that CONTRIBUTING.md shows."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^`(papers/toy/\S+)`\n\n```\w+\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL))


def test_the_example_is_a_whole_paper(tmp_path):
    root = copy_of_this(tmp_path / "repository")
    files = written_out()
    assert len(files) == 8
    for path, text in files.items():
        (root / path).parent.mkdir(exist_ok=True)
        # as few epochs as it takes to see that everything fits together
        (root / path).write_text(text.replace("demo: 5, reduced: 20", "demo: 1, reduced: 20"), encoding="utf-8")
    (root / "papers" / "toy" / "__init__.py").touch()
    assert run(root, "ruff", "check", "--config", ROOT / "pyproject.toml", "papers/toy").returncode == 0
    result = run(root, "snakemake", "toy", "--cores", "2", "--config", "device=cpu")
    assert result.returncode == 0, result.stdout + result.stderr
    for name in ("results/table1_toy.tex", "figures/fig1_toy_samples.pdf", "figures/fig2_toy_beta.png"):
        assert (root / name).stat().st_size > 1000
    with (root / "results" / "fig2_toy_beta.csv").open(newline="") as file:
        cells = {line["row"]: line for line in csv.DictReader(file)}
    assert cells["Product, beta=1.0"]["reproduced_mean"]
    assert cells["Product, beta=0.5"]["reproduced_mean"] != cells["Product, beta=1.0"]["reproduced_mean"]
    assert cells["Product, beta=4.0"]["verdict"] == "not run"
    trained = sorted(path.parent.parent.name for path in root.glob("runs/demo/toy/mnist/*/seed0/train.json"))
    assert trained == ["mvae", "product", "product~beta=0.5"]  # the model's own value is its own run, trained once
