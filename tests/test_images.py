"""Images through the whole service: as files, as built-in datasets, to versions that predict."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import sklearn.datasets

from luthier.client import Client, RequestRefused
from tests.answers import without_id
from tests.processes import fetch, free_bind, running
from tests.waiting import PATIENCE, wait_until

EXAMPLES = Path(__file__).parent.parent / "examples" / "4-images"
DIGITS = sklearn.datasets.load_digits()

SPACES = {
    "mlp": {
        "num_layers": 1,
        "units": {"type": "choice", "values": [32, 64]},
        "learning_rate": 0.01,
    },
    "cnn": {
        "conv_blocks": 2,
        "filters": {"type": "choice", "values": [8, 16], "per_layer": True},
        "num_layers": 0,
        "learning_rate": 0.01,
    },
}


ONE = {"budget": {"epochs": 1, "max_trials": 1}}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A whole service that finds small files where Keras would keep its datasets."""
    folder = tmp_path_factory.mktemp("images")
    cache = folder / "keras" / "datasets"
    cache.mkdir(parents=True)
    x = enlarged(DIGITS.images[:400])
    y = DIGITS.target[:400].astype(np.uint8)
    np.savez(cache / "mnist.npz", x_train=x[:300], x_test=x[300:], y_train=y[:300], y_test=y[300:])
    np.savez(cache / "fashion_mnist.npz", x=x.reshape(400, -1), y=y)
    bind, log = free_bind(), folder / "service.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(folder / "keras"))
        settings = {"bind": bind, "data": folder / "data", "trial_slots": 2, "forecast_seconds": 0}
        with running("serve", log, **settings) as process:
            wait_until(lambda: process.poll() is not None or "Luthier is ready" in log.read_text())
            assert process.poll() is None, log.read_text()
            yield f"http://{bind}"


@pytest.fixture(scope="module")
def images(url):
    with Client(url, timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="module")
def digits(images, tmp_path_factory):
    """The id of 600 digits, uploaded."""
    path = tmp_path_factory.mktemp("upload") / "digits.npz"
    return upload(images, path, DIGITS.images[:600].astype(np.uint8), DIGITS.target[:600])["id"]


def enlarged(digits):
    """8×8 digits of 0 to 16 as 28×28 images of 0 to 255: each pixel thrice, two at the edges."""
    pixels = np.kron(digits, np.ones((3, 3))) * 255 / 16
    return np.pad(pixels, ((0, 0), (2, 2), (2, 2))).astype(np.uint8)


def upload(client, path, x, y):
    np.savez(path, x=x, y=y)
    return client.upload(path)


def tuned(client, **request):
    """The finished job, its trials by number and its version."""
    request.setdefault("search_space", SPACES[request["network"]])
    quick = {"target": "y", "seed": 3, "ensemble": 1, "refit": False}
    job = client.wait(client.tune(quick | request)["id"], every=0.2)
    assert job["state"] == "succeeded", job["error"]
    version = client.version(job["model"], job["version"])
    assert version["evidence"]["parity"]["difference"] <= 1e-4
    return job, client.trials(job["id"]), version


@pytest.mark.parametrize("strategy", ["random", "grid", "bayesian"])
@pytest.mark.parametrize("network", SPACES)
def test_uploaded_images_are_tuned_and_predicted(images, digits, network, strategy):
    model = f"digits-{network}-{strategy}"
    budget = {"epochs": 8} | ({} if strategy == "grid" else {"max_trials": 2})
    _, trials, version = tuned(
        images,
        model=model,
        dataset=digits,
        network=network,
        strategy=strategy,
        objective={"metric": "val_accuracy"},
        budget=budget,
        reuse=False,  # other jobs of this test train the same values
    )
    assert len(trials) == (4 if (network, strategy) == ("cnn", "grid") else 2)
    for trial in trials:
        assert trial["state"] == "completed"
        assert trial["score"] == trial["metrics"]["accuracy"] > 0.5
        assert trial["metrics"]["loss"] > 0
        assert trial["seconds"] > 0
        assert len(trial["history"]["val_accuracy"]) == trial["epochs_trained"]
    assert version["metrics"]["accuracy"] > 0.8 > version["baseline"]["accuracy"]
    assert ("Conv2D" in version["summary"]) == (network == "cnn")

    pictures = DIGITS.images[:20].tolist()
    bare = images.predict(model, pictures)
    named = images.predict(model, [{"x": picture} for picture in pictures])
    assert without_id(bare) == without_id(named)
    assert bare["classes"] == list(range(10))
    assert np.mean(np.array(bare["predictions"]) == DIGITS.target[:20]) > 0.8
    np.testing.assert_allclose(np.sum(bare["probabilities"], axis=1), 1, atol=1e-5)


def test_the_downloaded_network_answers_what_predict_does(images, url, digits, tmp_path):
    tuned(images, model="kept", dataset=digits, network="cnn", search_space={"filters": 4}, **ONE)
    files = f"{url}/models/kept/versions/1/artifacts"
    image = fetch(f"{files}/preprocessing.json").json()["preprocessor"]["image"]
    (tmp_path / "model.keras").write_bytes(fetch(f"{files}/model.keras").content)
    network = keras.models.load_model(tmp_path / "model.keras")
    pixels = (DIGITS.images[:30, :, :, np.newaxis] - image["mean"]) / image["scale"]
    expected = np.asarray(network(pixels.astype(np.float32)))
    answer = images.predict("kept", DIGITS.images[:30].tolist())
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-4)


def test_a_picture_of_another_size_is_refused_with_its_shape(images, digits):
    tuned(images, model="sized", dataset=digits, network="mlp", **ONE)
    with pytest.raises(RequestRefused) as caught:
        images.predict("sized", [DIGITS.images[0].tolist(), DIGITS.images[0][:7].tolist()])
    assert caught.value.status == 422
    ((path, messages),) = caught.value.problem["errors"].items()
    assert path == "instances.1.x"
    assert "8×8" in messages[0]


@pytest.mark.parametrize("network", SPACES)
def test_mnist_is_read_from_where_keras_keeps_it(images, url, network):
    request = json.loads((EXAMPLES / "mnist-grid.json").read_text(encoding="utf-8"))
    space = {
        **(SPACES["cnn"] if network == "cnn" else {"num_layers": 1}),
        "learning_rate": {"type": "choice", "values": [0.003]},
        "batch_size": {"type": "choice", "values": [16, 32]},
        "filters" if network == "cnn" else "units": {"type": "choice", "values": [8, 16]},
    }
    job, trials, version = tuned(
        images,
        **request
        | {"model": f"mnist-{network}", "network": network, "search_space": space}
        | {"budget": {"epochs": 6}},
    )
    assert len(trials) == 4
    dataset = fetch(f"{url}/datasets/{job['dataset']}").json()
    assert dataset["rows"] == 400
    assert dataset["columns"][0]["shape"] == [28, 28]
    assert all(trial["seconds"] > 0 and trial["metrics"]["loss"] > 0 for trial in trials)
    assert version["metrics"]["accuracy"] > 0.7
    answer = images.predict(f"mnist-{network}", enlarged(DIGITS.images[500:510]).tolist())
    assert len(answer["predictions"]) == 10


def test_a_cached_file_that_holds_no_images_fails_the_job_by_name(images):
    request = {"model": "none", "dataset": "builtin:fashion_mnist", "target": "target"}
    job = images.wait(images.tune({**request, "network": "cnn"})["id"], every=0.2)
    assert job["state"] == "failed"
    assert "'fashion_mnist' should be images, but `x` has shape (400, 784)" in job["error"]


@pytest.mark.parametrize("network", SPACES)
def test_colours_are_seen(images, tmp_path, network):
    generator = np.random.default_rng(0)
    brightest = np.arange(90) % 3
    x = generator.integers(0, 100, (90, 6, 5, 3)).astype(np.uint8)
    x[np.arange(90), :, :, brightest] += 120
    y = np.array(["red", "green", "blue"])[brightest]
    dataset = upload(images, tmp_path / "colours.npz", x, y)
    assert dataset["columns"][0]["shape"] == [6, 5, 3]
    model = f"colours-{network}"
    _, _, version = tuned(
        images,
        model=model,
        dataset=dataset["id"],
        network=network,
        budget={"epochs": 20, "max_trials": 1},
    )
    assert version["metrics"]["accuracy"] == 1.0
    answer = images.predict(model, [x[0].tolist(), {"x": x[1].tolist()}])
    assert answer["predictions"] == ["red", "green"]


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 1, 1)])
@pytest.mark.parametrize("network", SPACES)
def test_images_of_a_few_pixels(images, tmp_path, network, shape):
    x = np.zeros((60, *shape), dtype=np.uint8)
    x[::2] = 200
    dataset = upload(images, tmp_path / "tiny.npz", x, np.arange(60) % 2)
    model = f"tiny-{network}-{'x'.join(map(str, shape))}"
    tuned(
        images,
        model=model,
        dataset=dataset["id"],
        network=network,
        budget={"epochs": 10, "max_trials": 1},
    )
    answer = images.predict(model, [x[0].tolist(), x[1].tolist()])
    assert answer["predictions"] == [0, 1]
    named = images.predict(model, [{"x": x[0].tolist()}, {"x": x[1].tolist()}])
    assert without_id(answer) == without_id(named)


def test_images_are_cross_validated_and_the_winner_is_trained_anew(images, digits):
    _, (trial,), version = tuned(
        images,
        model="folds",
        dataset=digits,
        network="cnn",
        evaluation={"method": "cv", "folds": 3},
        refit="auto",
        budget={"epochs": 4, "max_trials": 1},
        objective={"metric": "val_accuracy"},
    )
    assert [fold["fold"] for fold in trial["folds"]] == [0, 1, 2]
    scores = [fold["score"] for fold in trial["folds"]]
    assert trial["score"] == pytest.approx(np.mean(scores))
    assert trial["spread"] == pytest.approx(np.std(scores))
    assert trial["seconds"] == pytest.approx(sum(fold["seconds"] for fold in trial["folds"]))
    assert version["evidence"]["training"]["refit"]
    assert version["evidence"]["training"]["rows"] == 540
    assert version["metrics"]["accuracy"] > 0.7


def test_a_number_is_read_off_images_given_inline(images):
    x = np.random.default_rng(0).random((80, 4, 4)).round(3)
    y = x.mean(axis=(1, 2)) * 1000
    _, (trial,), version = tuned(
        images,
        model="brightness",
        dataset={"x": x.tolist(), "y": y.tolist()},
        network="cnn",
        search_space={"filters": 4, "conv_blocks": 1, "learning_rate": 0.02},
        strategy="grid",
        budget={"epochs": 40},
    )
    assert trial["metrics"]["r2"] == pytest.approx(
        version["evidence"]["validation"]["metrics"]["r2"]
    )
    assert version["metrics"]["r2"] > 0.5
    (answer,) = images.predict("brightness", [x[0].tolist()])["predictions"]
    assert answer == pytest.approx(y[0], abs=60)


@pytest.mark.parametrize(
    "dataset",
    [
        "builtin:iris",
        {"records": [{"a": n * 0.7, "y": ["no", "yes"][n % 2]} for n in range(40)]},
        {"x": [[n, n * n] for n in range(40)], "y": [n % 2 for n in range(40)]},
    ],
    ids=["builtin", "records", "arrays"],
)
def test_a_table_is_refused_at_the_network(app_client, dataset):
    target = "target" if isinstance(dataset, str) else "y"
    answer = app_client.post(
        "/tune", json={"model": "m", "dataset": dataset, "target": target, "network": "cnn"}
    )
    assert answer.status_code == 422
    assert list(answer.json["errors"]) == ["network"]
    assert "'cnn' learns from images" in answer.json["errors"]["network"][0]


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion_mnist"])
@pytest.mark.parametrize("network", SPACES)
def test_builtin_images_are_taken_by_both_networks(app_client, name, network):
    body = {"model": "m", "dataset": f"builtin:{name}", "target": "target", "network": network}
    answer = app_client.post("/tune?dry_run=true", json=body)
    assert answer.status_code == 200, answer.json


@pytest.mark.parametrize(
    ("file", "trials"),
    [("digits-mlp-random", 10), ("digits-cnn-bayesian", 10), ("mnist-grid", 24)],
)
def test_the_requests_of_the_example_can_be_sent_as_they_are(app_client, file, trials):
    body = (EXAMPLES / f"{file}.json").read_text(encoding="utf-8")
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert f"{file}.json" in page
    answer = app_client.post("/tune?dry_run=true", data=body, content_type="application/json")
    assert answer.status_code == 200, answer.json
    assert answer.json["trials"] == trials
