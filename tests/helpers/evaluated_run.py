"""A run that was evaluated on made predictions, whose files name patients, files and folders that begin with SECRET."""

import json

import numpy as np

from pipeline.evaluation.predictions import Predictions, write_csv
from pipeline.evaluation.scoring import calibrated, decide, score_splits
from pipeline.run_folder.folder import RunFolder


def split(n, seed, prefix):
    generator = np.random.default_rng(seed)
    labels = (np.arange(n) % 3 > 0).astype(int)
    kinds = np.where(labels == 0, "normal", np.where(np.arange(n) % 2, "bacteria", "virus"))
    scores = 1 / (1 + np.exp(-generator.normal(3 * labels - 1.5, 1.5)))
    names = np.array([f"{prefix}/SECRETFILE{i}.jpeg" for i in range(n)])
    return Predictions(names, np.array([f"SECRETPATIENT{prefix}{i // 2}" for i in range(n)]), kinds, labels, scores)


def evaluated_run(path):
    """Write metrics, predictions and settings of a run into a folder."""
    folder = RunFolder(path)
    raw = {"validation": split(90, 0, "v"), "test": split(120, 1, "t")}
    decision = decide(raw["validation"], "sensitivity>=0.9")
    tables = {name: calibrated(table, decision) for name, table in raw.items()}
    write_csv(folder.predictions, tables)
    dataset = {
        "name": "pneumo_tfds/gray_224",
        "version": "1.0.0",
        "test_origin": "official",
        "worst": "t/SECRETFILE3.jpeg",
        "skipped": [{"name": "SECRETFILE9.jpeg", "why": "corrupt"}],
        "unreadable": {"t/SECRETFILE8.JPG": "cut short"},
        "note": "left out SECRETFILE7.png, which is empty",
        "rule": "by patient",
    }
    metrics = {"dataset": dataset, **score_splits(tables, decision, seed=0, resamples=50)}
    folder.metrics.write_text(json.dumps(metrics))
    data = {"source": "/home/somebody/xrays", "corrections": ["../somebody/suspects.csv"]}
    folder.config.write_text(json.dumps({"data": data, "fit": {"epochs": 3}}))
    return folder
