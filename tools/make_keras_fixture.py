"""Write tests/fixtures/keras_3.keras and keras_3.json: a Keras 3 model, inputs and its outputs.

Run it where Keras is installed, with any backend: ``KERAS_BACKEND=torch python
tools/make_keras_fixture.py``. The tests read it with h5py alone.
"""

import json
from pathlib import Path

import keras
import numpy as np
from keras import layers

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"


def main() -> None:
    """Build a model of every layer with weights that handgrad has, all of them drawn."""
    rng = np.random.default_rng(0)
    model = keras.Sequential(
        [
            layers.Input((5, 4, 2)),
            layers.Conv2D(3, 3, padding="same", name="first"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(2),
            layers.Conv2D(4, 1, use_bias=False),
            layers.LayerNormalization(axis=[1, 2, 3]),
            layers.ReLU(),
            layers.Flatten(),
            layers.BatchNormalization(),
            layers.Dropout(0.25),
            layers.Dense(6),
            layers.LayerNormalization(),
            layers.Activation("tanh"),
            layers.Dense(3, name="scores"),
        ]
    )
    model.set_weights([rng.uniform(0.2, 1.5, w.shape) - (w.ndim > 1) for w in model.get_weights()])
    X = np.round(rng.normal(size=(4, 5, 4, 2)), 2)
    scores = model.predict(X.astype(np.float32), verbose=0)
    model.save(FIXTURES / "keras_3.keras")
    content = {"keras": keras.__version__, "X": X.tolist(), "scores": scores.tolist()}
    (FIXTURES / "keras_3.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
