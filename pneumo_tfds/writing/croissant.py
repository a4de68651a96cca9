"""The `croissant.json` of a built dataset: what catalogues of data sets read (MLCommons' Croissant 1.0, a JSON-LD).

TFDS reads this format but does not write it. Nothing in it depends on the machine or the day, and it names no patient.
Programs that load Croissant know no TFRecord; the names of the features stand where it has columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.inventory import PHANTOMS
from pneumo_tfds.writing.shard_files import ShardInfo

TERMS = (
    "citeAs column equivalentProperty extract field fileObject fileProperty fileSet format includes isLiveDataset "
    "jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source "
    "subField transform"
)
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in TERMS.split()},
}
"""The context of Croissant 1.0, which readers compare with their own."""

FEATURES = {
    "image": ("sc:ImageObject", "Grey levels 0 to 255, row by row, one byte each"),
    "label": ("sc:Integer", "0 NORMAL, 1 PNEUMONIA"),
    "patient": ("sc:Text", "The same text for all images of one patient"),
    "subtype": ("sc:Text", "normal, bacteria, virus or unknown"),
    "filename": ("sc:Text", "Path within the source"),
    "official_split": ("sc:Text", "train, val or test by the source, or empty"),
}

CC_BY, APACHE = "https://creativecommons.org/licenses/by/4.0/", "https://www.apache.org/licenses/LICENSE-2.0"
KERMANY = (
    "Kermany, Zhang, Goldbaum: Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for Classification. "
    "Mendeley Data, 2018. https://doi.org/10.17632/rscbjbr9sj"
)
TERMS_OF_USE = {
    "kermany": {"license": CC_BY, "citeAs": KERMANY},
    "phantom": {"license": APACHE},
}
"""Of what is known to be open. Of other sources nothing is claimed."""
OF_ITS_SOURCE = {"license": "not known to the program that built it: that of the source"}


def croissant(
    config: str, version: str, file_format: str, metadata: Mapping[str, Any], shards: Mapping[str, Sequence[ShardInfo]]
) -> dict[str, Any]:
    """Return the content of `croissant.json`.

    Args:
        config: name of the config, such as `gray_224`.
        version: version of the dataset.
        file_format: format of the records, such as `tfrecord`.
        metadata: content of `metadata.json`.
        shards: split to its files of records.
    """
    drawn = metadata["source_kind"] == "phantom" or metadata["layout"] == PHANTOMS
    kind = "phantom" if drawn else metadata["layout"]
    images = counted(sum(shard.count for files in shards.values() for shard in files), "image")
    what = "drawn, not medical ones" if kind == "phantom" else f"frontal chest X-rays, from {metadata['title']}"
    records = f"application/x-{file_format}"
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"pneumo_tfds-{config}",
        "version": version,
        "description": f"{images} labelled NORMAL or PNEUMONIA: {what}; as grey squares ({metadata['framing']}). "
        f"Splits {metadata['split_rule']}. For research only.",
        **TERMS_OF_USE.get(kind, OF_ITS_SOURCE),
        "distribution": [
            {"@type": "cr:FileObject", "@id": shard.name, "name": shard.name, "contentUrl": shard.name}
            | {"contentSize": f"{shard.bytes} B", "encodingFormat": records, "sha256": shard.sha256}
            for files in shards.values()
            for shard in files
        ]
        + [
            {"@type": "cr:FileSet", "@id": f"{split}-records", "name": f"{split}-records"}
            | {"encodingFormat": records, "includes": f"*-{split}.{file_format}-*"}
            for split in shards
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": split,
                "name": split,
                "description": counted(sum(shard.count for shard in files), "example"),
                "field": [_field(split, name, *about) for name, about in FEATURES.items()],
            }
            for split, files in shards.items()
        ],
    }


def _field(split: str, name: str, data_type: str, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{split}/{name}",
        "name": name,
        "description": description,
        "dataType": data_type,
        "source": {"fileSet": {"@id": f"{split}-records"}, "extract": {"column": name}},
    }
