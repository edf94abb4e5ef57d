"""Other libraries train the networks of `tuning.py`: a task as JSON in, seconds a trial out.

Runs in the environment of the library, so it imports nothing of Luthier.
"""

import json
import sys
import tempfile
import time

import numpy as np

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

Array = np.ndarray


def rows() -> tuple[Array, Array, Array, Array]:
    """Numbers of the shape of the diabetes rows; their values do not matter to the time."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((442, 10), dtype=np.float32)
    y = x.sum(axis=1, keepdims=True)
    return x[:353], y[:353], x[353:], y[353:]


def torch_loop(networks: list[list[int]], epochs: int, batch: int, clock: str) -> float:
    """The usual training loop, written by hand."""
    import torch

    torch.set_num_threads(1)
    x, y, x_validation, y_validation = map(torch.from_numpy, rows())
    started = CLOCKS[clock]()
    for units in networks:
        layers: list[torch.nn.Module] = []
        inputs = x.shape[1]
        for width in units:
            layers += [torch.nn.Linear(inputs, width), torch.nn.ReLU()]
            inputs = width
        model = torch.nn.Sequential(*layers, torch.nn.Linear(inputs, 1))
        optimizer, loss = torch.optim.Adam(model.parameters()), torch.nn.MSELoss()
        for _ in range(epochs):
            order = torch.randperm(len(x))
            for chosen in order.split(batch):
                optimizer.zero_grad()
                loss(model(x[chosen]), y[chosen]).backward()
                optimizer.step()
            with torch.no_grad():
                loss(model(x_validation), y_validation).item()
    return (CLOCKS[clock]() - started) / len(networks)


def keras_tuner_search(networks: list[list[int]], epochs: int, batch: int, clock: str) -> float:
    """`RandomSearch` over networks of the same range as those given, as its guide has it."""
    import keras
    import keras_tuner

    x, y, x_validation, y_validation = rows()

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        layers = [
            keras.layers.Dense(hp.Int(f"units_{number}", 64, 512, 32), activation="relu")
            for number in range(hp.Int("num_layers", 2, 5))
        ]
        model = keras.Sequential([*layers, keras.layers.Dense(1)])
        model.compile("adam", "mse", metrics=["mae"])
        return model

    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.RandomSearch(
            build, "val_loss", max_trials=len(networks), seed=1, directory=folder
        )
        started = CLOCKS[clock]()
        tuner.search(
            x,
            y,
            validation_data=(x_validation, y_validation),
            epochs=epochs,
            batch_size=batch,
            verbose=0,
        )
        return (CLOCKS[clock]() - started) / len(networks)


PEERS = {"torch": torch_loop, "keras_tuner": keras_tuner_search}


if __name__ == "__main__":
    task = json.load(sys.stdin)
    print(PEERS[task["peer"]](task["networks"], task["epochs"], task["batch"], task["clock"]))
