"""The arrows that imports between rooms may follow. A room is a package; its own modules may import each other.

Each room may use the rooms named beside it and nothing else. The order is that of the floors: no room uses one that
stands below it in this table. `test_architecture.py` holds the code to it, and holds it to the code: an arrow that no
import follows any more has to go.
"""

MAY_USE = {
    # The dataset.
    "pneumo_tfds.program": "",
    "pneumo_tfds.decode": "program",
    "pneumo_tfds.sources": "program decode",
    "pneumo_tfds.phantoms": "program sources",
    "pneumo_tfds.splits": "program decode sources",
    "pneumo_tfds.audit": "program decode sources phantoms splits",
    "pneumo_tfds.writing": "program decode sources splits",
    "pneumo_tfds": "program sources phantoms splits audit writing",
    # Training and evaluation.
    "pipeline.config": "pneumo_tfds.program pneumo_tfds.sources pneumo_tfds.splits pneumo_tfds.writing",
    "pipeline.run_folder": "pneumo_tfds.program config",
    "pipeline.devices": "pneumo_tfds.program config",
    "pipeline.augmentation": "config",
    "pipeline.data": "pneumo_tfds pneumo_tfds.program pneumo_tfds.sources pneumo_tfds.splits config augmentation",
    "pipeline.conversion": "pneumo_tfds.program",
    "pipeline.networks": "pneumo_tfds.program config conversion",
    "pipeline.training": "pneumo_tfds.program config run_folder devices augmentation data networks",
    "pipeline.evaluation": "pneumo_tfds.program pneumo_tfds.sources config run_folder",
    "pipeline.report": "pneumo_tfds.program config run_folder evaluation",
    "pipeline.tracking": "pneumo_tfds pneumo_tfds.program config run_folder",
    "pipeline.stages": (
        "pneumo_tfds pneumo_tfds.program pneumo_tfds.decode pneumo_tfds.sources pneumo_tfds.splits config run_folder "
        "devices data networks training evaluation report"
    ),
    "pipeline": (
        "pneumo_tfds pneumo_tfds.program pneumo_tfds.decode pneumo_tfds.sources pneumo_tfds.phantoms pneumo_tfds.audit "
        "config run_folder devices augmentation data networks evaluation report tracking training stages "
        "tuning export"  # these two from the commands in APPLICATIONS alone
    ),
    # The search.
    "tuning.search": (
        "pneumo_tfds.program pipeline.config pipeline.run_folder pipeline.data pipeline.networks pipeline.training "
        "pipeline.evaluation"
    ),
    "tuning.results": (
        "pneumo_tfds.program pipeline.config pipeline.run_folder pipeline.conversion pipeline.networks "
        "pipeline.training pipeline.report pipeline.tracking search"
    ),
    "tuning": (
        "pneumo_tfds.program pipeline.config pipeline.run_folder pipeline.devices pipeline.data pipeline.networks "
        "pipeline.tracking search results"
    ),
    # The ONNX file. `export.inference`, `export.serve` and `export.web` must work without TensorFlow.
    "export.inference": "pneumo_tfds.program pneumo_tfds.decode pneumo_tfds.sources pneumo_tfds.phantoms",
    "export.graph": "pneumo_tfds.program pipeline.run_folder pipeline.conversion inference",
    "export.parity": "pneumo_tfds.program pipeline.config pipeline.data inference",
    # Recalibration decides again as a run does, so it uses what a run decides by, also without TensorFlow.
    "export.recalibration": (
        "pneumo_tfds.program pneumo_tfds.sources pneumo_tfds.splits pneumo_tfds.writing pipeline.config "
        "pipeline.networks pipeline.evaluation graph inference"
    ),
    "export.serve": "pneumo_tfds.program pneumo_tfds.decode inference",
    "export.web": "pneumo_tfds.program inference",
    "export.dicom_out": "pneumo_tfds pneumo_tfds.program pneumo_tfds.decode pneumo_tfds.sources inference",
    "export.watching": "pneumo_tfds.program pneumo_tfds.decode pneumo_tfds.sources inference dicom_out",
    "export": (
        "pneumo_tfds pneumo_tfds.program pneumo_tfds.decode pneumo_tfds.sources pipeline.config pipeline.run_folder "
        "pipeline.evaluation graph inference parity recalibration dicom_out watching"
    ),
    # The measurements.
    "benchmarks.measuring": "pneumo_tfds.program",
    "benchmarks.peers": "pneumo_tfds.program pipeline.config pipeline.networks measuring",
    "benchmarks": (
        "pneumo_tfds pneumo_tfds.program pneumo_tfds.decode pneumo_tfds.sources pneumo_tfds.phantoms pipeline.config "
        "pipeline.run_folder pipeline.devices pipeline.augmentation pipeline.data pipeline.networks pipeline.training "
        "export.graph export.inference measuring peers"
    ),
}  # fmt: skip

APPLICATIONS = {"pipeline.train", "pipeline.evaluate", "pipeline.api"}
"""The modules that stand above all packages: one starts the search and the export, one carries a new decision into
exported files, and the third has both as functions for notebooks. Nothing may import them but that third."""
