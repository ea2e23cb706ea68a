"""How the models are made: data, networks, training, evaluation, reports."""

import os

# TensorFlow turns oneDNN on by itself only on the newest processors; convolutions learn twice as
# fast with it on older ones. It is read when TensorFlow is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
