"""A classification with Hyperband."""

import keras
import keras_tuner
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

MAX_EPOCHS = 27


def build_model(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Build a network with a width and a dropout for each layer."""
    model = keras.Sequential([keras.Input((30,)), keras.layers.BatchNormalization()])
    for layer in range(hp.Int("num_layers", 1, 3)):
        model.add(keras.layers.Dense(hp.Int(f"units_{layer}", 8, 64, step=8), activation="relu"))
        model.add(keras.layers.Dropout(hp.Float(f"dropout_{layer}", 0.0, 0.5, step=0.1)))
    model.add(keras.layers.Dense(1, activation="sigmoid"))
    optimizer = hp.Choice("optimizer", ["adam", "sgd"])
    rate = hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
    if optimizer == "sgd":
        with hp.conditional_scope("optimizer", ["sgd"]):
            momentum = hp.Float("momentum", 0.0, 0.95)
        built = keras.optimizers.SGD(rate, momentum)
    else:
        built = keras.optimizers.Adam(rate)
    model.compile(built, loss="binary_crossentropy", metrics=["accuracy"])
    return model


if __name__ == "__main__":
    x, y = load_breast_cancer(return_X_y=True)
    x, x_validation, y, y_validation = train_test_split(
        x, y, test_size=0.2, stratify=y, random_state=0
    )
    tuner = keras_tuner.Hyperband(
        build_model,
        objective=keras_tuner.Objective("val_accuracy", direction="max"),
        max_epochs=MAX_EPOCHS,
        factor=3,
        executions_per_trial=2,
        seed=0,
        directory="tuning",
        project_name="cancer",
        overwrite=True,
    )
    tuner.search(x, y, validation_data=(x_validation, y_validation))
    print(tuner.get_best_hyperparameters()[0].values)
