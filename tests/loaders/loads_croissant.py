"""Run by an interpreter that has mlcroissant: problems of the metadata, then the records, as lines of JSON.

read FOLDER
"""

import json
import os
import sys

import mlcroissant as mlc


def told(value):
    if isinstance(value, bytes):
        return value.decode()
    if hasattr(value, "tolist"):
        return told(value.tolist())
    if isinstance(value, list):
        return [told(v) for v in value]
    return None if value != value else value  # a missing value is NaN there


def main(folder):
    dataset = mlc.Dataset(jsonld=os.path.join(folder, "croissant.json"))
    issues = dataset.metadata.ctx.issues
    print(json.dumps({"errors": sorted(issues.errors), "warnings": sorted(issues.warnings)}))
    for record in dataset.records("samples"):
        print(json.dumps({name.partition("/")[2]: told(value) for name, value in record.items()}))


main(sys.argv[2])
