"""The search for hyper-parameters: KerasTuner over `pipeline.training.fit`, resumable, in one or many processes."""

from pneumo_tfds.program.libraries import prepare_tensorflow

prepare_tensorflow()
