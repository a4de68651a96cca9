"""Images per second of every stage, beside its peers and its limit, in one run."""

from pneumo_tfds.program.libraries import prepare_tensorflow

prepare_tensorflow()
