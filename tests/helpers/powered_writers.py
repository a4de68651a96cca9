"""Writers whose every step `power_loss.py` records: `python powered_writers.py WRITER`, in the working folder.

Each replaces something old, made by `python powered_writers.py WRITER old`.
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path()


def checkpoint(age):
    from pipeline.run_folder.checkpoint import save

    save(HERE / "checkpoint", {"network": [np.full(3000, float(age))]}, {"epoch": age})


def run_folder(age):
    from pipeline.config import FitConfig, RunConfig
    from pipeline.run_folder import history
    from pipeline.run_folder.folder import RunFolder
    from pneumo_tfds.program.files import write_json

    run = RunFolder(HERE / "run")
    run.write_config(RunConfig(fit=FitConfig(seed=age)))
    history.append(run.history, history.Epoch(age + 1, *[0.5] * 8))
    write_json(run.metrics, {"seed": age, "padding": "x" * 5000})


def model(age):
    import keras

    from pipeline.run_folder.model_file import save_model

    image = keras.Input((8, 8, 1))
    outputs = keras.layers.Dense(4, kernel_initializer=keras.initializers.Constant(age))(keras.layers.Flatten()(image))
    save_model(HERE / "model.keras", keras.Model(image, outputs))


def journal(age):
    from export.dicom_out.dicom_answers import AnswerFile
    from export.watching.watch_journal import SENT, WatchJournal
    from export.watching.watched_places import FolderTarget

    target = FolderTarget(HERE / "answers")
    watched = WatchJournal(HERE / "watch.sqlite", "model", "source")
    with watched.locked():
        for number in range(4 * age, 4 * age + 4):
            key, files = str(number), [AnswerFile("report", f"{number}.dcm", bytes([number]) * 6000)]
            watched.add([key])
            print(f"mark seen {key}", flush=True)
            watched.begin(key)
            watched.answered(key, f"1.2.{number}", "", files)
            print(f"mark answered {key}", flush=True)
            if number % 2:
                target.put(files)
                watched.end(key, SENT, "")
                print(f"mark sent {key}", flush=True)


def search(age):
    import stub_search as stub

    stub.plan(max_trials=2 + age, trial_epochs=2).write(HERE / "run/tuner/search.json")
    stub.tuner(HERE / "run", stub.plan(max_trials=2 + age, trial_epochs=2)).search()


def dataset(age):
    from pneumo_tfds.prepared import BuildOptions, build
    from pneumo_tfds.sources.opening import open_source

    build(open_source(HERE / f"../xrays{age}"), "gray_32", HERE / "data", options=BuildOptions(overwrite=True))


def export(age):
    import keras

    from export.export_options import ExportOptions
    from export.export_run import export_run
    from pipeline.config import ModelConfig
    from pipeline.networks.inference_model import inference_model
    from pipeline.networks.models import build
    from pipeline.run_folder.folder import RunFolder
    from pipeline.run_folder.model_file import save_model

    run = RunFolder(HERE / "run")
    keras.utils.set_random_seed(age)
    save_model(run.model, inference_model(build(ModelConfig(model="compact"), 32)))
    list(export_run(run.path, ExportOptions(threads=1, fp16=True, any_size=True)))


if __name__ == "__main__":
    globals()[sys.argv[1]](int(len(sys.argv) == 2))
    print("mark written", flush=True)
