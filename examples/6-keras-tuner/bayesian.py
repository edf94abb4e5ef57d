"""BayesianOptimization of a HyperModel that chooses its own layers and batch size."""

from typing import Any

import keras
import keras_tuner
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

MAX_TRIALS, EPOCHS = 15, 20


class Digits(keras_tuner.HyperModel):
    """Convolutions with optional batch normalization, then dense layers."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Build blocks of convolution, normalization and pooling."""
        model = keras.Sequential([keras.Input((8, 8, 1))])
        normalize = hp.Boolean("batch_normalization")
        for block in range(hp.Int("conv_blocks", 1, 2)):
            filters = hp.Choice(f"filters_{block}", [8, 16, 32])
            model.add(keras.layers.Conv2D(filters, 3, padding="same"))
            if normalize:
                model.add(keras.layers.BatchNormalization())
            model.add(keras.layers.Activation("relu"))
            model.add(keras.layers.MaxPooling2D())
        model.add(keras.layers.Flatten())
        model.add(keras.layers.Dense(hp.Int("units", 16, 64, step=16), activation="relu"))
        model.add(keras.layers.Dense(10, activation="softmax"))
        rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
        model.compile(
            keras.optimizers.Adam(rate),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model

    def fit(self, hp: keras_tuner.HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Train with a batch size that is searched, too."""
        return model.fit(*args, batch_size=hp.Choice("batch_size", [32, 64]), **kwargs)


if __name__ == "__main__":
    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8, 1) / 16
    x, x_validation, y, y_validation = train_test_split(x, y, test_size=0.2, random_state=0)
    tuner = keras_tuner.BayesianOptimization(
        Digits(),
        objective="val_loss",
        max_trials=MAX_TRIALS,
        num_initial_points=4,
        seed=0,
        directory="tuning",
        project_name="digits",
    )
    tuner.search(x, y, validation_data=(x_validation, y_validation), epochs=EPOCHS)
    tuner.get_best_models()[0].save("digits.keras")
