"""Count of the mutants that the tests noticed, by module; `make mutants` runs it after `mutmut run`.

A mutant is noticed when a test fails or runs out of time. One that no test reaches counts as unnoticed.
"""

import json
import sys
from collections import Counter
from pathlib import Path

MUTANTS = Path("mutants")
LEAST = 0.8  # of the mutants of each group
GROUPS = {"pneumo_tfds": "splits", "pipeline": "evaluate", "export": "parity"}

SURVIVED, NOT_REACHED = (0,), (5, 33)
TIMED_OUT = (-24, 24, 36, 152, 255)
NOTICED = (1, 3, *TIMED_OUT)


def count(path):
    """Return the number of a module's mutants: all, noticed, timed out (noticed too), survived, not reached."""
    codes = list(json.loads(path.read_text())["exit_code_by_key"].values())
    kinds = {"noticed": NOTICED, "timed out": TIMED_OUT, "survived": SURVIVED, "not reached": NOT_REACHED}
    return Counter(
        {"mutants": len(codes)} | {name: sum(code in kind for code in codes) for name, kind in kinds.items()}
    )


def main():
    """Print the table; return 1 if a group is below `LEAST`, else 0."""
    modules = {path.relative_to(MUTANTS).with_suffix(""): count(path) for path in sorted(MUTANTS.rglob("*.py.meta"))}
    modules = {module: counts for module, counts in modules.items() if counts["mutants"]}
    columns = ("mutants", "noticed", "timed out", "survived", "not reached")
    print(f"{'module':32}" + "".join(f"{name:>13}" for name in columns) + f"{'noticed':>10}")
    enough = bool(modules)
    for folder, group in GROUPS.items():
        rows = {str(module): counts for module, counts in modules.items() if module.parts[0] == folder}
        rows[f"{group}, in all"] = total = sum(rows.values(), Counter())
        for name, counts in rows.items():
            share = counts["noticed"] / max(1, counts["mutants"])
            print(f"{name:32}" + "".join(f"{counts[column]:13}" for column in columns) + f"{share:10.1%}")
        enough &= total["noticed"] >= LEAST * total["mutants"]
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
