"""From records to a trained, evaluated run folder."""

from pneumo_tfds.program.libraries import prepare_tensorflow

prepare_tensorflow()
