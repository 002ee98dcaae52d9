"""Makes and exports the Keras and TensorFlow models that `test_interop.py` imports.

Run by an interpreter of its own, which has TensorFlow and nothing of edgenode: `make_models.py FOLDER`. For each
model it writes `<name>.onnx` and `<name>.npz`: test pictures, their labels, and the answers that the framework
itself gives for them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import tf2onnx

SIDE = 24
LABELS = ("disc", "square", "cross")


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [count, SIDE, SIDE, 3] RGB and int64 [count]: one reddish shape on a bluish noisy ground.

    The colours matter: a model that is given BGR, or pixels of another scale, answers worse.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    images = np.empty((count, SIDE, SIDE, 3), np.float64)
    labels = rng.integers(0, len(LABELS), count)
    for image, label in zip(images, labels, strict=True):
        y, x = rng.uniform(8, SIDE - 8, 2)
        size = rng.uniform(4, 7)
        down, right = np.abs(rows - y), np.abs(columns - x)
        inside = {
            "disc": np.hypot(down, right) < size,
            "square": np.maximum(down, right) < 0.88 * size,
            "cross": (np.minimum(down, right) < 0.3 * size) & (np.maximum(down, right) < size),
        }[LABELS[label]]
        image[...] = rng.uniform((20, 40, 90), (90, 110, 220))
        decoy = np.hypot(rows - rng.uniform(0, SIDE), columns - rng.uniform(0, SIDE)) < 5
        image[decoy] = rng.uniform((20, 30, 150), (80, 90, 255))
        image[inside] = rng.uniform((150, 30, 20), (255, 90, 80))
    images += rng.normal(0, 12, images.shape)
    return images.clip(0, 255).astype(np.uint8), labels.astype(np.int64)


def keras_model() -> keras.Model:
    """A functional Keras CNN with batch norm and separable convolutions; takes RGB / 127.5 - 1, answers softmax."""
    layers = keras.layers
    inputs = keras.Input((SIDE, SIDE, 3))
    maps = layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    maps = layers.BatchNormalization(momentum=0.9)(maps)
    maps = layers.MaxPooling2D()(maps)
    maps = layers.SeparableConv2D(32, 3, padding="same", activation="relu")(maps)
    maps = layers.MaxPooling2D()(maps)
    maps = layers.Flatten()(maps)
    maps = layers.Dropout(0.2)(maps)
    maps = layers.Dense(32, activation="relu")(maps)
    return keras.Model(inputs, layers.Dense(len(LABELS), activation="softmax")(maps))


class PlainTensorFlow(tf.Module):
    """Variables and `tf.nn` alone, no Keras; takes RGB / 255, answers logits."""

    def __init__(self) -> None:
        super().__init__()
        start = tf.random.stateless_normal
        self.first = tf.Variable(start((3, 3, 3, 16), (1, 1)) * 0.2)
        self.second = tf.Variable(start((3, 3, 16, 32), (2, 2)) * 0.1)
        self.dense = tf.Variable(start(((SIDE // 4) ** 2 * 32, len(LABELS)), (3, 3)) * 0.03)
        self.bias = tf.Variable(tf.zeros(len(LABELS)))

    @tf.function(input_signature=[tf.TensorSpec((1, SIDE, SIDE, 3), tf.float32, name="pixels")])
    def one(self, pixels: tf.Tensor) -> tf.Tensor:
        """As a frozen graph is often exported: exactly one picture."""
        return self.logits(pixels)

    def logits(self, pixels: tf.Tensor) -> tf.Tensor:
        maps = tf.nn.relu(tf.nn.conv2d(pixels, self.first, 1, "SAME"))
        maps = tf.nn.max_pool2d(maps, 2, 2, "VALID")
        maps = tf.nn.relu(tf.nn.conv2d(maps, self.second, 1, "SAME"))
        maps = tf.nn.max_pool2d(maps, 2, 2, "VALID")
        flat = tf.reshape(maps, (tf.shape(maps)[0], -1))
        return flat @ self.dense + self.bias


def train_plain(model: PlainTensorFlow, pixels: np.ndarray, labels: np.ndarray) -> None:
    optimiser = keras.optimizers.Adam(2e-3)
    rng = np.random.default_rng(0)

    @tf.function
    def step(some: tf.Tensor, wanted: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            cost = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=wanted, logits=model.logits(some))
            )
        variables = model.trainable_variables
        optimiser.apply_gradients(zip(tape.gradient(cost, variables), variables, strict=True))

    for _ in range(10):
        for chosen in np.array_split(rng.permutation(len(pixels)), len(pixels) // 32):
            step(tf.constant(pixels[chosen]), tf.constant(labels[chosen]))


def main(folder: Path) -> None:
    keras.utils.set_random_seed(0)
    images, labels = pictures(1500, 0)
    tests, truth = pictures(400, 1)

    model = keras_model()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images / 127.5 - 1.0, labels, batch_size=32, epochs=15, verbose=0)
    answers = model.predict(tests.astype(np.float32) / 127.5 - 1.0, verbose=0)
    model.export(folder / "keras.onnx", format="onnx", verbose=False)
    np.savez(folder / "keras.npz", images=tests, labels=truth, answers=answers)

    plain = PlainTensorFlow()
    train_plain(plain, images.astype(np.float32) / 255.0, labels)
    answers = tf.nn.softmax(plain.logits(tf.constant(tests.astype(np.float32) / 255.0))).numpy()
    tf2onnx.convert.from_function(
        plain.one,
        input_signature=plain.one.input_signature,
        opset=17,
        output_path=str(folder / "tensorflow.onnx"),
    )
    np.savez(folder / "tensorflow.npz", images=tests, labels=truth, answers=answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
