"""A regression with RandomSearch."""

import keras
import keras_tuner
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

MAX_TRIALS, EPOCHS = 20, 50


def build_model(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Build a network of one to three layers."""
    model = keras.Sequential([keras.Input((10,)), keras.layers.Normalization()])
    for _ in range(hp.Int("num_layers", 1, 3)):
        units = hp.Int("units", 16, 128, step=16)
        model.add(keras.layers.Dense(units, activation=hp.Choice("activation", ["relu", "tanh"])))
    model.add(keras.layers.Dense(1))
    rate = hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
    model.compile(keras.optimizers.Adam(rate), loss="mse", metrics=["mae"])
    return model


if __name__ == "__main__":
    x, y = load_diabetes(return_X_y=True)
    x, x_validation, y, y_validation = train_test_split(x, y, test_size=0.2, random_state=0)
    tuner = keras_tuner.RandomSearch(
        build_model,
        objective="val_loss",
        max_trials=MAX_TRIALS,
        seed=0,
        directory="tuning",
        project_name="diabetes",
    )
    stop = keras.callbacks.EarlyStopping(patience=10, restore_best_weights=True)
    tuner.search(
        x, y, validation_data=(x_validation, y_validation), epochs=EPOCHS, callbacks=[stop]
    )
    tuner.results_summary()
    best = tuner.get_best_models()[0]
    print(best.evaluate(x_validation, y_validation))
