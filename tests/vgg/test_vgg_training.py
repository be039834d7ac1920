"""Training: the course's loops, whole runs, and runs that stop and go on."""

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from vgg_generated import generated, run, tiny, weights

from handgrad import vgg
from handgrad.analysis import Analysis
from handgrad.errors import DataError, NonFiniteLossError
from handgrad.experiments import EXPERIMENTS
from handgrad.vgg import RECIPES, RunResult, loops, training
from handgrad.vgg.ablation import CHANGES
from handgrad.vgg.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def data():
    return generated()


def tensors(data):
    return TensorDataset(torch.tensor(data.X_train) / 127.5 - 1, torch.tensor(data.y_train))


# The course's train and test


def test_train_and_test_take_a_data_loader_and_learn(data):
    torch.manual_seed(0)
    net = tiny(widths=(8,) * 8, head=()).network()
    images = tensors(data)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    said = []
    losses = vgg.train(
        DataLoader(images, batch_size=20, shuffle=True),
        net,
        nn.CrossEntropyLoss(),
        optimizer,
        "cpu",
        epochs=20,
        print_every=5,
        report=said.append,
    )
    assert len(losses) == 20
    assert losses[-1] < losses[0] / 2
    assert len(said) == 40
    assert said[0].startswith("[epoch 1, iteration     5] loss: ")
    # Guessing gives 0.1; three seeds at two rates gave 0.6 to 1.0 (the running statistics of 200
    # steps are what varies).
    assert vgg.test(DataLoader(images, batch_size=64), net, "cpu") > 0.4


def test_the_mean_loss_counts_every_image_once():
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    nn.init.zeros_(net[1].weight)
    nn.init.zeros_(net[1].bias)
    batches = [(torch.zeros(3, 1), torch.tensor([0, 0, 0])), (torch.zeros(1, 1), torch.tensor([1]))]
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    # first batch: ln 2; its gradient moves the scores to (1/2, -1/2), then ln(1 + e) for class 1
    expected = (3 * 0.693147 + 1.313262) / 4
    losses = vgg.train(batches, net, nn.CrossEntropyLoss(), optimizer, "cpu", epochs=1)
    assert losses == [pytest.approx(expected, abs=1e-5)]


def test_test_judges_in_eval_mode_and_leaves_the_mode_alone(data):
    net = tiny().network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    accuracy = vgg.test(DataLoader(tensors(data), batch_size=7), net, "cpu")
    assert 0 <= accuracy <= 1
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_a_diverging_run_says_where_and_what_to_try(data):
    net = tiny(batch_norm=False).network()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e30)
    loader = DataLoader(tensors(data), batch_size=20)
    text = r"nan|inf in epoch 1, iteration \d+ at learning rate 1e\+30. Try a learning rate"
    with pytest.raises(NonFiniteLossError, match=text):
        vgg.train(loader, net, nn.CrossEntropyLoss(), optimizer, "cpu")


def test_a_loop_that_goes_on_names_its_own_epoch_and_goes_back_as_it_is_told(data):
    net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=1e38)
    went = []

    def backward(loss):
        went.append(loss.item())
        loss.backward()

    loader = DataLoader(tensors(data), batch_size=20)
    with pytest.raises(NonFiniteLossError, match=r"in epoch 7, iteration [23]"):
        loops.train_epoch(
            loader, net, nn.CrossEntropyLoss(), optimizer, "cpu", epoch=7, backward=backward
        )
    assert went


def test_an_empty_loader_is_an_error():
    net = tiny().network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(DataError, match="train: the loader gave no batch"):
        vgg.train([], net, nn.CrossEntropyLoss(), optimizer, "cpu")
    with pytest.raises(DataError, match="test: the loader gave no batch"):
        vgg.test([], net, "cpu")


# Whole runs


def test_a_run_learns_and_leaves_its_record(data, tmp_path):
    seen = []
    recipe = tiny(epochs=30, widths=(8,) * 8, head=(), ema_decay=0.9, optimizer="muon")
    result = run(data, tmp_path, recipe, evaluate_test=True, progress=seen.append)
    assert result.val_accuracy > 0.7
    assert result.test_accuracy > 0.7
    assert result.val_accuracy_tta > 0.7
    assert result.test_accuracy_tta > 0.7
    assert result.parameters == sum(p.numel() for p in recipe.network().parameters())
    assert seen == result.history
    assert [line["epoch"] for line in seen] == list(range(1, 31))
    assert seen[-1]["train_loss"] < seen[0]["train_loss"]
    assert seen[-1]["val_accuracy"] == result.val_accuracy
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == seen
    assert RunResult(**json.loads((tmp_path / "result.json").read_text())) == result
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "analysis.json",
        "checkpoint.pt",
        "history.jsonl",
        "model.safetensors",
        "result.json",
    ]


def test_the_first_loss_is_that_of_guessing(data, tmp_path):
    recipe = tiny(epochs=1, learning_rate=1e-6, batch_norm=False, label_smoothing=0.0)
    result = run(data, tmp_path, recipe)
    assert result.history[0]["train_loss"] == pytest.approx(2.302585, abs=0.15)


def test_the_test_rows_are_judged_only_when_asked(data, tmp_path):
    class Guarded:
        def __getattr__(self, name):
            assert "test" not in name
            return getattr(data, name)

    result = run(Guarded(), tmp_path)
    assert (result.test_accuracy, result.test_accuracy_tta) == (None, None)
    later = run(data, tmp_path, evaluate_test=True)
    assert later.history == result.history
    assert later.test_accuracy is not None


def test_a_finished_run_is_returned_as_it_is(data, tmp_path, monkeypatch):
    result = run(data, tmp_path, evaluate_test=True)
    monkeypatch.setattr(training, "training_batches", None)
    monkeypatch.setattr(training, "probabilities", None)
    assert run(data, tmp_path, evaluate_test=True) == result


def test_what_it_does_on_the_test_rows_is_recorded_and_made_again_where_lost(data, tmp_path):
    result = run(data, tmp_path, evaluate_test=True, seed=3)
    path = tmp_path / "analysis.json"
    analysis, before = Analysis.read(path), path.read_bytes()
    assert (analysis.seed, analysis.rows) == (3, len(data.y_test))
    assert analysis.accuracy == result.test_accuracy
    assert [sum(line) for line in analysis.confusion] == np.bincount(data.y_test).tolist()
    assert all(mistake.png for mistake in analysis.mistakes)
    assert analysis.sheets[0].tiles == tiny().widths[0]
    path.unlink()
    again = run(data, tmp_path, evaluate_test=True, seed=3)
    assert path.read_bytes() == before
    assert (again.test_accuracy, again.history) == (result.test_accuracy, result.history)


def test_the_seed_decides_the_weights_to_the_last_bit(data, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(data, tmp_path / name, seed=seed)
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert any(not torch.equal(a[key], c[key]) for key in a)


def test_the_global_generator_is_left_alone(data, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(data, tmp_path)
    run(data, tmp_path, evaluate_test=True)
    assert torch.equal(torch.rand(3), expected)


def test_averaged_weights_are_a_decayed_mean(data, tmp_path):
    recipe = tiny(epochs=1, batch_size=200, ema_decay=0.9)
    run(data, tmp_path, recipe)
    content = load_checkpoint(tmp_path / "checkpoint.pt")
    torch.manual_seed(0)
    start = dict(recipe.network().state_dict())
    for name in ("features.0.weight", "classifier.2.bias"):
        # one step, decay min(0.9, 1 / 10) at the start
        expected = 0.1 * start[name] + 0.9 * content["net"][name]
        torch.testing.assert_close(content["averaged"][name], expected)


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_named_recipe_takes_a_few_steps(name, tmp_path):
    small = generated(train=8, val=4, test=4)
    recipe = dataclasses.replace(RECIPES[name], epochs=1, batch_size=4)
    result = run(small, tmp_path, recipe)
    assert len(result.history) == 1
    assert result.parameters == {"as-given": 149_370, "improved": 197_994}.get(
        name, result.parameters
    )
    assert name == "wide" or result.parameters <= 200_000


def test_wide_has_the_papers_widths():
    net = RECIPES["wide"].network()
    widths = [layer.out_channels for layer in net.features if isinstance(layer, nn.Conv2d)]
    assert widths == [64, 128, 256, 256, 512, 512, 512, 512]


def test_a_diverging_recipe_stops_with_advice(data, tmp_path):
    recipe = tiny(learning_rate=1e30, warmup=0.0, batch_norm=False)
    with pytest.raises(NonFiniteLossError, match=r"epoch 1, iteration \d+ .* check that the"):
        run(data, tmp_path, recipe)


def test_a_batch_larger_than_the_data_is_an_error(data, tmp_path):
    with pytest.raises(ValueError, match="needs 1000 training images; there are 200"):
        run(data, tmp_path, tiny(batch_size=1000))


# Until validation accuracy stops rising

# What `test` gives after each epoch; the best, and the first of the best, is epoch 2.
RISING = (0.25, 0.5, 0.25, 0.5, 0.25, 0.75)


def judged(monkeypatch, accuracies=RISING):
    """Let the validation rows be judged so, epoch after epoch."""
    left = list(accuracies)
    monkeypatch.setattr(training, "accuracy", lambda *_: left.pop(0) if left else 1.0)


@pytest.mark.parametrize(("patience", "epochs", "best"), [(1, 3, 2), (3, 5, 2), (4, 6, 6)])
def test_with_patience_training_stops_and_the_best_epoch_is_kept(
    data, tmp_path, monkeypatch, patience, epochs, best
):
    def keep(line):
        kept.append({k: v.clone() for k, v in nets[-1].state_dict().items()})

    kept, nets = [], []
    build = vgg.Recipe.network
    monkeypatch.setattr(vgg.Recipe, "network", lambda r: nets.append(build(r)) or nets[-1])
    judged(monkeypatch)
    recipe = tiny(epochs=6, patience=patience)
    result = run(data, tmp_path, recipe, progress=keep)
    assert [line["epoch"] for line in result.history] == list(range(1, epochs + 1))
    judged_weights = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(judged_weights[name], kept[best - 1][name]) for name in kept[0])
    monkeypatch.setattr(training, "training_batches", None)
    assert run(data, tmp_path, recipe) == result


def test_a_stopped_run_with_patience_goes_on_to_the_same_bits(data, tmp_path, monkeypatch):
    def interrupt(line):
        if line["epoch"] == 3:
            raise KeyboardInterrupt

    recipe = tiny(epochs=9, patience=3)
    judged(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "stopped", recipe, progress=interrupt)
    judged(monkeypatch, RISING[3:])
    resumed = run(data, tmp_path / "stopped", recipe)
    judged(monkeypatch)
    whole = run(data, tmp_path / "whole", recipe)
    assert len(resumed.history) == len(whole.history) == 5
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("stopped", "whole"))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_the_accuracies_of_a_run_are_those_of_the_courses_test(data, tmp_path):
    result = run(data, tmp_path, tiny(epochs=20, widths=(8,) * 8), evaluate_test=True)
    net = tiny(widths=(8,) * 8).network()
    net.load_state_dict(load_file(tmp_path / "model.safetensors"))
    mean = data.X_train.mean((0, 2, 3), keepdims=True)
    std = data.X_train.std((0, 2, 3), keepdims=True)
    images = torch.tensor((data.X_test - mean) / std, dtype=torch.float32)
    loader = DataLoader(TensorDataset(images, torch.tensor(data.y_test)), batch_size=16)
    assert result.test_accuracy == vgg.test(loader, net, "cpu")


# The ablation table


def test_every_row_of_the_table_is_one_change_to_a_valid_recipe():
    improved = RECIPES["improved"]
    for change in CHANGES[1:]:
        recipe = change.applied(epochs=3)
        assert recipe.epochs == 3
        fields = {name: getattr(recipe, name) for name in change.fields}
        assert fields == {name: change.fields[name] for name in fields}
        same = dataclasses.replace(improved, **change.fields)
        assert same != improved, change.name
        recipe.network()
    assert len({change.name for change in CHANGES}) == len(CHANGES)
    assert {change.group for change in CHANGES[1:]} == {
        "optimizer",
        "preprocessing",
        "activation",
        "size",
        "learning rate",
        "architecture",
        "convolution size",
    }
    table = EXPERIMENTS["6.3"].budgets["standard"].ablation
    assert set(table.changes) <= {change.name for change in CHANGES}
    assert len(table.changes) >= 9  # the recipe itself and eight changes, of every group
    groups = {change.group for change in CHANGES if change.name in table.changes}
    assert groups == {change.group for change in CHANGES}
