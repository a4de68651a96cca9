"""Find the X-rays in a folder, a zip or a table, and read label, patient and official split of each."""
