"""The search for hyper-parameters: KerasTuner's algorithms over `pipeline.fit`, resumable, on one process or many."""
