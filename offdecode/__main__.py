"""`offdecode` and `python -m offdecode`."""

from __future__ import annotations

from offdecode.cli import main

if __name__ == "__main__":
    main()
