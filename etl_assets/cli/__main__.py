"""``python -m etl_assets.cli``: the same command where no script is installed."""

from etl_assets.cli import main

if __name__ == "__main__":
    main()
