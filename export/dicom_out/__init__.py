"""Answers as DICOM objects in the study of their image: a Structured Report, and a Secondary Capture."""
