"""The search for hyper-parameters: KerasTuner over `pipeline.training.fit`, resumable, in one or many processes."""
