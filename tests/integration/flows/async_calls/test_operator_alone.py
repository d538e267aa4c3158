"""flows/async_calls/operator.py imports no other package of Parley."""

from __future__ import annotations

import subprocess
import sys


def test_the_operator_imports_no_other_package_of_parley() -> None:
    listing = "import sys, flows.async_calls.operator; print(*(m for m in sys.modules if m in sys.argv[1:]))"
    packages = ["operators", "storage", "serve", "cluster", "alembic"]
    assert (
        subprocess.run([sys.executable, "-c", listing, *packages], check=True, stdout=subprocess.PIPE).stdout == b"\n"
    )
