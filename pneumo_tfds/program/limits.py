"""Limits of what is read from untrusted files; whatever exceeds them is refused before it takes memory or time."""

MAX_FILE_BYTES = 256 << 20
"""One image file, also inside a zip. An uncompressed 16-bit radiograph of 120 million pixels just fits."""

MAX_RATIO = 100
"""Uncompressed over compressed size of a zip's member or an `.npz` file; more is a decompression bomb. Image files and
weights hardly shrink, and arrays of drawn images by a factor of ten."""

RATIO_FLOOR_BYTES = 4 << 20
"""Members of a zip up to this size are read whatever their ratio."""

MIN_SIDE = 16
"""Pixels. A smaller image is an icon or a broken export, not a radiograph."""

MAX_PIXELS = 120_000_000
"""Declared width times height. A 43 x 43 cm detector at 0.1 mm has 18 million; far more is a decompression bomb."""

MAX_DEEP_PIXELS = 40_000_000
"""The same where a pixel takes 16 bytes or more while decoding: DICOM (tables in float64) and PNG with transparency."""

MAX_INFLATION = 1032
"""Bytes that one byte of a PNG can become at most: deflate copies 258 for 2 bits (zlib, "maximum compression")."""

MAX_CHUNKS = 100_000
"""Chunks of a PNG. Encoders write one for every 8 KB or more; a chunk of 12 bytes takes as long to look at."""

MAX_SCANS = 100
"""Scans of a progressive JPEG. Encoders write about ten; one of a few bytes can take as long as a whole image."""
